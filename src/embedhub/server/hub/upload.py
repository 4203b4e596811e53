"""What a client asks before it uploads: which files git keeps, which are large files, which are not wanted at all."""

from typing import Annotated

import msgspec
from starlette.responses import Response

from embedhub.hub.access import Action
from embedhub.hub.attributes import ignore_rule, large_file_rule
from embedhub.hub.commits import ATTRIBUTES
from embedhub.server.hub.exchange import Exchange, answer
from embedhub.server.hub.routing import HubRoute

# What is longer than this is a large file, whatever it is called. Clients and the Hugging Face Hub have the same bound.
LARGEST_REGULAR_BYTES = 10_000_000

_IGNORE = ".gitignore"

# Of one question; the client asks again for more.
_MOST_FILES = 1000


class PlannedFile(msgspec.Struct):
    """A file that is about to be uploaded: its path, its size in bytes, its first bytes in base64."""

    path: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    sample: str = ""


class Plan(msgspec.Struct):
    """Files, and the rules that will hold once they are uploaded, if they come along."""

    files: Annotated[list[PlannedFile], msgspec.Meta(max_length=_MOST_FILES)]
    gitAttributes: str | None = None  # noqa: N815 - as on the wire
    gitIgnore: str | None = None  # noqa: N815


def preupload(exchange: Exchange) -> Response:
    """For each file how it is to be uploaded, and what is there under its path already."""
    plan: Plan = exchange.json(Plan)
    # Who may change a pull request is asked when it is changed.
    proposes = exchange.flag("create_pr") or exchange.path["revision"].startswith("refs/pr/")
    repository = exchange.repository(Action.DISCUSS if proposes else Action.WRITE)
    with exchange.hub.open(repository) as git:
        commit = git.resolve(exchange.path["revision"])
        attributes = plan.gitAttributes if plan.gitAttributes is not None else git.read_text(commit, ATTRIBUTES)
        ignore = plan.gitIgnore if plan.gitIgnore is not None else git.read_text(commit, _IGNORE)
        is_large, is_ignored = large_file_rule(attributes), ignore_rule(ignore)
        # All at once: what each by itself costs grows with the folder it lies in.
        known = git.entries_at(commit, (file.path.strip("/") for file in plan.files))
        files = []
        for file in plan.files:
            entry = known.get(file.path.strip("/"))
            # An empty file has nothing to be kept elsewhere.
            large = file.size > 0 and (file.size > LARGEST_REGULAR_BYTES or is_large(file.path))
            files.append(
                {
                    "path": file.path,
                    "uploadMode": "lfs" if large else "regular",
                    "shouldIgnore": is_ignored(file.path),
                    "oid": None if entry is None or entry.is_folder else entry.etag,
                }
            )
    return answer({"files": files, "commitOid": commit})


ROUTES = (
    HubRoute("POST", "/api/{kinds}/{namespace}/{name}/preupload/{revision}", preupload, scope="read", large=True),
)
