"""Whether everything that the Hub answered for is still there. Changes nothing, and may run beside a server.

Knows what must hold between the database, the git repositories and the large files:

- the database is sound, and no row refers to one that is gone;
- every repository has its folder; every reference stands for a commit, and every object behind it is there and is what
  its hash says;
- every pointer that a reference leads to belongs to a large file that the repository holds, in that size;
- every large file that a repository holds is there in its size; `deep` reads it and compares its sha256.

What nothing refers to is no damage: uploads precede their commits, and killed processes leave things half done.
`garbage` removes that.

Beside a server the order of looking makes it right: references are read before links, links before large files, because
they are made in the opposite order; and what seems to be missing is looked for once more, because it may have been
deleted meanwhile.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pygit2

from embedhub.errors import EmbedhubError, HubError
from embedhub.hub.git import GitRepository
from embedhub.hub.gitcommand import has_git, run_git
from embedhub.hub.hosting import Hub
from embedhub.hub.locks import alone, stale_locks
from embedhub.hub.reachable import pointers, reach, tips
from embedhub.hub.repositories import Repository

# A repository that is broken in a thousand places is told of in a few lines.
_MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        is_damage: something is lost or wrong; else it only takes space, or waits for the next start.
        where: the repository, the large file, the database.
        what: one line.
    """

    is_damage: bool
    where: str
    what: str

    def __str__(self) -> str:
        return f"{'damage' if self.is_damage else 'leftover'}: {self.where}: {self.what}"


def check(hub: Hub, *, deep: bool = False) -> Iterator[Finding]:
    """Everything that is wrong.

    Args:
        hub: what is checked.
        deep: whether large files are read and hashed, which takes as long as reading all of them.
    """
    if not hub.connections.path.exists():
        if next(hub.repositories.root.glob("??/*.git"), None) is not None:
            yield Finding(True, hub.connections.path.name, "is missing, and there are repositories: bring back a copy")
        return
    try:
        damaged = False
        for finding in _database(hub):
            damaged = True
            yield finding
        if damaged:
            return
        for repository in hub.repositories.all():
            yield from _repository(hub, repository)
        yield from _large_files(hub, deep)
        yield from _leftovers(hub)
    except EmbedhubError as error:
        yield Finding(True, hub.connections.path.name, str(error))


def _database(hub: Hub) -> Iterator[Finding]:
    name = hub.connections.path.name
    with hub.connections.read() as database:
        try:
            for (line,) in database.execute("PRAGMA integrity_check").fetchall():
                if line != "ok":
                    yield Finding(True, name, f"{line}; bring back a copy")
            for table, row, parent, _ in database.execute("PRAGMA foreign_key_check").fetchall():
                yield Finding(True, name, f"row {row} of {table} refers to one of {parent} that is not there")
        except sqlite3.DatabaseError as error:
            yield Finding(True, name, f"{error}; bring back a copy")


def _repository(hub: Hub, repository: Repository) -> Iterator[Finding]:
    where = f"{repository.kind} {repository.id}"
    folder = hub.repositories.folder(repository)
    found = list(_git_findings(hub, repository, folder))
    if found:
        # A server may have packed or deleted it meanwhile: only what is wrong again is wrong.
        found = list(_git_findings(hub, repository, folder))
        if hub.repositories.by_uuid(repository.uuid) is None:
            return
    for what in found[:_MOST_LINES]:
        yield Finding(True, where, what)
    if len(found) > _MOST_LINES:
        yield Finding(True, where, f"and {len(found) - _MOST_LINES} more; `git --git-dir {folder} fsck` lists them")


def _git_findings(hub: Hub, repository: Repository, folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        yield f"its folder is missing: {folder}"
        return
    try:
        with GitRepository(folder) as git:
            for name in git.misconfigured():
                yield f"git's setting {name} is not as it should be; `embedhub hub gc` sets it"
            if has_git():
                yield from _fsck(folder)
            reached = _reached(git.repository, read_all=not has_git())
            named = dict(pointers(git.repository, reached))
            # After the references.
            held = hub.holdings.of(repository.uuid)
    except (EmbedhubError, pygit2.GitError) as error:
        yield str(error)
        return
    for blob, pointer in named.items():
        size = held.get(pointer.sha256)
        if size is None:
            yield f"file {blob} stands for the large file {pointer.sha256}, which the repository does not hold"
        elif size != pointer.size:
            yield f"file {blob} says that the large file {pointer.sha256} has {pointer.size} bytes; it has {size}"


def _fsck(folder: Path) -> Iterator[str]:
    done = run_git(folder, "fsck", "--full", "--no-dangling", "--no-progress")
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("notice:")]
        yield from lines or [f"git fsck ended with status {done.returncode}"]


def _reached(repository: pygit2.Repository, *, read_all: bool) -> list[pygit2.Oid]:
    reached = [pygit2.Oid(raw=raw) for raw in reach(repository, tips(repository), set())]
    if read_all:
        for oid in reached:
            try:
                # Its hash is compared when it is read.
                repository.odb.read(oid)
            except (KeyError, pygit2.GitError) as error:
                raise HubError(f"object {oid} is missing or damaged ({error})") from error
    return reached


def _large_files(hub: Hub, deep: bool) -> Iterator[Finding]:
    for sha256, size in hub.holdings.all():
        found = hub.blobs.size(sha256)
        where = f"large file {sha256}"
        if found is None and hub.holdings.is_held(sha256):
            yield Finding(True, where, f"is missing; {_users(hub, sha256)} should have it: upload it again")
        elif found is not None and found != size:
            yield Finding(True, where, f"has {found} bytes, not {size}: remove {hub.blobs.path(sha256)}, upload it")
        elif deep and found is not None and not hub.blobs.verify(sha256) and hub.blobs.has(sha256):
            yield Finding(True, where, f"has other bytes: remove {hub.blobs.path(sha256)} and upload it again")


def _users(hub: Hub, sha256: str) -> str:
    holders = [hub.repositories.by_uuid(uuid) for uuid in hub.holdings.holders(sha256)]
    return ", ".join(f"{each.kind} {each.id}" for each in holders if each is not None)


def _leftovers(hub: Hub) -> Iterator[Finding]:
    for folder in (*hub.repositories.orphans(), *hub.repositories.removed()):
        yield Finding(False, str(folder), "is a repository that the database does not know")
    unheld = sum(not hub.holdings.is_held(sha256) for sha256 in hub.blobs)
    if unheld:
        yield Finding(False, "large files", f"{unheld} belong to no repository")
    unfinished = hub.blobs.staging.clean(remove=False)
    if unfinished:
        yield Finding(False, "uploads", f"{unfinished} were cut off")
    for repository in hub.repositories.all():
        folder = hub.repositories.folder(repository)
        if not stale_locks(folder):
            continue
        with alone(folder) as is_alone:
            count = len(stale_locks(folder)) if is_alone else 0
        if count:
            where = f"{repository.kind} {repository.id}"
            yield Finding(False, where, f"{count} locks of killed processes; the next start of the server removes them")
