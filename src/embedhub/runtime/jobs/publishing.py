"""A folder that becomes a hosted dataset: all of it or nothing, by the Hub's own rooms.

Knows the order in which contents, the repository and its commit are made. Refuses to know how the folder was made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedhub.errors import HubConflictError
from embedhub.hub.access import Actor
from embedhub.hub.attributes import NEW_REPOSITORY, large_file_rule
from embedhub.hub.commits import AddLargeFile, Wanted, apply
from embedhub.hub.git import MAIN
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository

_PIECE_BYTES = 1 << 20

# What is longer is a large file, whatever it is called.
_MOST_REGULAR_BYTES = 10_000_000


@dataclass(frozen=True)
class Publication:
    """A dataset that is about to be hosted.

    Attributes:
        folder: its files; hidden ones are left out.
        id: `namespace/name`.
        private: whether only its owners see it; None leaves that to the namespace.
        message: of the commit.
        since: seconds since 1970; a repository of that name that is younger was made by an earlier try of this one.
    """

    folder: Path
    id: str
    private: bool | None
    message: str
    since: float


def publish(hub: Hub, actor: Actor, wanted: Publication) -> str:
    """Host a folder; gives the commit's hash. May be repeated after this process was killed in the middle.

    Raises:
        HubConflictError: there is another dataset of that name.
        UnauthorizedError: a token may help.
        ForbiddenError: the actor may not make datasets there.
        StorageFullError: no space left; nothing is hosted.
    """
    is_large = large_file_rule(NEW_REPOSITORY)
    small: dict[str, bytes] = {}
    large: dict[str, tuple[str, int]] = {}
    for path, name in _files(wanted.folder):
        if is_large(name) or path.stat().st_size > _MOST_REGULAR_BYTES:
            large[name] = _keep(hub, path)
        else:
            small[name] = path.read_bytes()
    repository, is_new = _repository(hub, actor, wanted, small)
    try:
        return _commit(hub, actor, repository, wanted.message, large)
    except BaseException:
        if is_new:
            hub.repositories.delete(repository)
        raise


def _files(folder: Path) -> list[tuple[Path, str]]:
    found = [(path, path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(path, name.as_posix()) for path, name in found if not any(part.startswith(".") for part in name.parts)]


def _keep(hub: Hub, path: Path) -> tuple[str, int]:
    """Put a file among the large ones; gives its sha256 and size."""
    with hub.blobs.begin(path.stat().st_size) as writer, path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            writer.write(piece)
        told = writer.sha256, writer.size
        writer.finish(None, None)
    return told


def _repository(hub: Hub, actor: Actor, wanted: Publication, files: Mapping[str, bytes]) -> tuple[Repository, bool]:
    visibility = "" if wanted.private is None else "private" if wanted.private else "public"
    try:
        made = hub.create(actor, Kind.DATASET, wanted.id, visibility=visibility, files=dict(files))
    except HubConflictError:
        found = hub.repositories.find(Kind.DATASET, wanted.id)
        if found.id.lower() != wanted.id.lower() or found.created_at < wanted.since:
            raise
        return found, False
    return made, True


def _commit(hub: Hub, actor: Actor, repository: Repository, message: str, large: Mapping[str, tuple[str, int]]) -> str:
    hub.holdings.link(repository.uuid, large.values())
    sizes = dict(large.values())
    with hub.change(repository) as git:
        head = git.resolve("main")
        operations = tuple(AddLargeFile(name, sha256) for name, (sha256, _) in large.items())
        request = Wanted(operations, message, actor.user)
        return apply(git, request, MAIN, base=head, expected=head, size_of=sizes.get)
