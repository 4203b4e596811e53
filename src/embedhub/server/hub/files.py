"""What lies in a repository: folders by pages, single paths, sizes.

Pages of a folder are of one commit: the address of the next page names it, so that a list stays whole while somebody
pushes.
"""

from itertools import islice
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from embedhub.errors import RequestError, RequestTooLargeError
from embedhub.hub.access import Action
from embedhub.hub.reading import GitReader
from embedhub.hub.trees import Entry
from embedhub.server.hub.exchange import Exchange, answer, moment
from embedhub.server.hub.routing import HubRoute

_PAGE = 1000
# Who changed each of them last takes a look into the past.
_EXPANDED_PAGE = 50

_MOST_PATHS = 10_000
# Of paths and commits, when it is asked who changed what last: two hundred thousand take a second or two.
_MOST_LOOKS = 200_000
_MOST_COMMITS = 2000


class Paths(msgspec.Struct):
    """Paths that somebody wants to know about."""

    paths: list[str] | str = []
    expand: bool | str = False


def tree(exchange: Exchange) -> Response:
    """A page of what lies in a folder."""
    expand, recursive = exchange.flag("expand"), exchange.flag("recursive")
    most = _EXPANDED_PAGE if expand else _PAGE
    limit = max(1, exchange.number("limit", most, most))
    path = exchange.path["path"].strip("/")
    after = exchange.query.get("cursor", "")
    repository = exchange.repository(Action.READ)
    with exchange.hub.open(repository) as git:
        commit = git.resolve(exchange.path["revision"])
        within = f"{path}/" if path else ""
        if after and (not after.startswith(within) or git.entry(commit, after) is None):
            raise RequestError(f"cursor={after!r:.200}: not a path of this folder; begin again without it")
        found = list(islice(git.entries(commit, path, recursive=recursive, after=after), limit + 1))
        page = _told(git, commit, found[:limit], expand=expand)
    headers = {"x-repo-commit": commit}
    if len(found) > limit:
        address = f"/api/{repository.kind.plural}/{repository.id}/tree/{commit}"
        address += f"/{quote(path)}" if path else ""
        headers |= exchange.next_page(address, cursor=found[limit - 1].path)
    return answer(page, headers)


def paths_info(exchange: Exchange) -> Response:
    """What lies at each of some paths; those where nothing does are left out."""
    wanted, expand = asked_paths(exchange)
    repository = exchange.repository(Action.READ)
    with exchange.hub.open(repository) as git:
        commit = git.resolve(exchange.path["revision"])
        found = git.entries_at(commit, wanted)
        page = _told(git, commit, [found[path] for path in wanted if path in found], expand=expand)
    return answer(page, {"x-repo-commit": commit})


def tree_size(exchange: Exchange) -> Response:
    """Bytes of all files in a folder."""
    repository = exchange.repository(Action.READ)
    path = exchange.path["path"].strip("/")
    with exchange.hub.open(repository) as git:
        size = git.size(git.resolve(exchange.path["revision"]), path)
    return answer({"path": f"/{path}", "size": size})


def asked_paths(exchange: Exchange) -> tuple[list[str], bool]:
    """Paths, each once, and whether it is asked who changed them last.

    Raises:
        RequestTooLargeError: so many are not told of at once.
    """
    paths, expand = _sent(exchange)
    if len(paths) > _MOST_PATHS:
        raise RequestTooLargeError(f"{len(paths)} paths at once; {_MOST_PATHS} is the most")
    return list(dict.fromkeys(path.strip("/") for path in paths if path.strip("/"))), expand


def _sent(exchange: Exchange) -> tuple[list[str], bool]:
    """Of a form, as Python's client sends it, or of JSON."""
    if "json" in exchange.headers.get("content-type", ""):
        body: Paths = exchange.json(Paths)
        paths = [body.paths] if isinstance(body.paths, str) else body.paths
        return paths, str(body.expand).lower() in ("true", "1")
    form = exchange.form()
    return form.get("paths", []), form.get("expand", [""])[0].lower() in ("true", "1")


def _told(git: GitReader, commit: str, entries: list[Entry], *, expand: bool) -> list[dict[str, Any]]:
    page = [told_of(entry) for entry in entries]
    if expand and page:
        most_commits = min(_MOST_COMMITS, max(1, _MOST_LOOKS // len(page)))
        last = git.last_commits(commit, [entry.path for entry in entries], most_commits)
        for item in page:
            by = last[item["path"]]
            item["lastCommit"] = {"id": by.id, "title": by.title, "date": moment(by.date)}
            if item["type"] == "file":
                item["securityFileStatus"] = None
    return page


def told_of(entry: Entry) -> dict[str, Any]:
    """What is told of a file or a folder."""
    if entry.is_folder:
        return {"type": "directory", "oid": entry.oid, "size": 0, "path": entry.path}
    told: dict[str, Any] = {"type": "file", "oid": entry.oid, "size": entry.size, "path": entry.path}
    if entry.pointer is not None:
        told["lfs"] = {"oid": entry.pointer.sha256, "size": entry.pointer.size, "pointerSize": entry.pointer_size}
    return told


ROUTES = (
    HubRoute("GET", "/api/{kinds}/{namespace}/{name}/tree/{revision}/{path*}", tree),
    HubRoute("POST", "/api/{kinds}/{namespace}/{name}/paths-info/{revision}", paths_info),
    HubRoute("GET", "/api/{kinds}/{namespace}/{name}/treesize/{revision}/{path*}", tree_size),
)
