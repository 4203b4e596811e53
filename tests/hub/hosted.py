"""A Hub with something in it, for tests: commits made as the server makes them, without HTTP."""

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

from embedhub.hub.access import Actor
from embedhub.hub.commits import AddFile, AddLargeFile, Wanted, apply
from embedhub.hub.git import MAIN
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository

ALICE = Actor("alice", "write")

LONG_AGO = 100 * 86_400.0


def hub_of(home: Path, *users: str) -> Hub:
    hub = Hub(home)
    for user in users or ("alice",):
        hub.organisations.ensure_user(user)
    return hub


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def send(hub: Hub, repository: Repository, content: bytes) -> str:
    """Upload a large file; no commit yet."""
    with hub.blobs.begin(len(content)) as writer:
        writer.write(content)
        writer.finish(None, None)
    sha256 = sha256_of(content)
    hub.holdings.link(repository.uuid, [(sha256, len(content))])
    return sha256


def commit(hub: Hub, repository: Repository, files: dict[str, bytes], large: dict[str, bytes] | None = None) -> str:
    """Commit small files and large ones that were sent before."""
    with hub.change(repository) as git:
        head = git.resolve("main")
        operations = [AddFile(path, git.write_blob(content)) for path, content in files.items()]
        wanted = Wanted(
            (*operations, *(AddLargeFile(path, sha256_of(content)) for path, content in (large or {}).items())),
            "some files",
            "alice",
        )

        def size_of(sha256: str) -> int | None:
            return hub.holdings.renew(repository.uuid, [sha256]).get(sha256)

        return apply(git, wanted, MAIN, base=head, expected=head, size_of=size_of)


def filled(hub: Hub, name: str = "alice/data") -> Repository:
    """A repository with a small file and a large one."""
    repository = hub.create(ALICE, Kind.DATASET, name)
    content = f"large, of {name}".encode() * 1000
    send(hub, repository, content)
    commit(hub, repository, {"a/small.txt": b"small\n"}, {"large.bin": content})
    return repository


def age(path: Path, seconds: float = LONG_AGO) -> None:
    """Let a file or folder, and all that is in it, be older."""
    for each in [path, *path.rglob("*")]:
        # Others may be at work there.
        with suppress(FileNotFoundError):
            os.utime(each, (time.time() - seconds,) * 2)


def age_links(hub: Hub, seconds: float = LONG_AGO) -> None:
    with hub.connections.write() as database:
        database.execute("UPDATE links SET linked_at = linked_at - ?", (seconds,))
