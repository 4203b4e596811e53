"""Removes what nothing refers to any more, and packs what git keeps in single files. Safe beside a running server.

What is garbage, and why nothing is lost that somebody is about to use:

- A *git object* that no reference leads to, older than `OBJECT_SECONDS`. A commit writes its objects before its
  reference, and git and libgit2 renew the time of an object that is written again. So objects are found first, and
  removed while nobody is at work in the repository (`locks`; a commit or push in between would hold that lock): only
  those that are old still, and that no reference made meanwhile leads to. A repository in use stays as it is until the
  next time.
- *Packing* removes nothing: what no reference leads to is taken out of packs into files of its own before the packs are
  replaced, however old it is. Every repository has `core.fsync=all`, so the new pack is on the disk before that.
- A *link* between a repository and a large file that no object of the repository names, whether a reference leads to
  it or not, older than the grace time. A file is sent before the commit that names it. Whoever names one (a commit, a
  push), or tells a client that it need not be sent, renews the link before (`Holdings.renew`); here it is removed in
  one transaction with the question whether it is old. So either the link is young, and stays, or the commit is refused
  and the client sends the file again.
- A *large file* that no repository holds and that no object of any repository names, whose own time is older than the
  grace time. A file that is sent gets its name, or a new time, under a lock that this holds while it decides
  (`BlobStore.remove_unless`); only then it is linked. If any repository cannot be read, no large file is removed.
- A *folder* of a repository whose removal was begun, and one without a row in the database if it is old and has nothing
  but the commit that a repository is made with. One with more in it was made under another database: it stays, and so
  do the large files that it names.
- Xorbs, parts and files on their way, by the rules of `xet_store`, `multipart` and `staging`: when their addresses have
  expired, or the kernel says that whoever wrote them is dead.

One at a time, and none while a backup is made: `Hub.maintenance`.
"""

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pygit2

from embedhub.errors import EmbedhubError
from embedhub.hub.git import GitRepository
from embedhub.hub.gitcommand import has_git, run_git
from embedhub.hub.hosting import Hub
from embedhub.hub.locks import alone
from embedhub.hub.reachable import objects, pointers, reach, tips
from embedhub.hub.repositories import Repository

# As git's own.
OBJECT_SECONDS = 14 * 86_400.0

# Between the upload of a large file and its commit.
GRACE_SECONDS = 86_400.0

# The addresses of parts work for a day.
_PART_SECONDS = 2 * 86_400.0

# From here on a repository is packed; git's own `gc --auto` waits for 6,700 and 50.
_LOOSE_OBJECTS = 1000
_PACKS = 10


@dataclass
class Collected:
    """What was removed, or would be.

    Attributes:
        repositories: folders of repositories.
        objects: of git.
        packed: repositories that were packed.
        links: between repositories and large files.
        large_files: files.
        large_file_bytes: their size.
        epochs: of xorbs.
        uploads: in parts.
        unfinished: files that killed processes were writing.
        spared: what could not be cleaned, and why: a line each.
    """

    repositories: int = 0
    objects: int = 0
    packed: int = 0
    links: int = 0
    large_files: int = 0
    large_file_bytes: int = 0
    epochs: int = 0
    uploads: int = 0
    unfinished: int = 0
    spared: list[str] = field(default_factory=list)


def collect(hub: Hub, *, dry_run: bool = False, grace_seconds: float = GRACE_SECONDS) -> Collected:
    """Remove what nothing refers to.

    Args:
        hub: what is cleaned.
        dry_run: only count.
        grace_seconds: how old it must be; `holdings.RENEWED_SECONDS` is far less.

    Raises:
        HubConflictError: somebody else is at it, or makes a backup.
    """
    collected = Collected()
    if not hub.connections.path.exists() or not hub.root.is_dir():
        return collected
    with hub.maintenance():
        named: set[str] | None = set()
        for folder, repository in _folders(hub, collected, dry_run, grace_seconds):
            where = str(folder) if repository is None else f"{repository.kind} {repository.id}"
            try:
                in_objects = _clean_repository(folder, where, collected, dry_run)
            except (EmbedhubError, pygit2.GitError, OSError) as error:
                collected.spared.append(f"{where}: {error}; large files stay, too (`embedhub hub check`)")
                named = None
                continue
            if named is not None:
                named |= in_objects
            if repository is not None:
                old = hub.holdings.older_than(repository.uuid, grace_seconds) - in_objects
                gone = len(old) if dry_run else hub.holdings.unlink_old(repository.uuid, old, grace_seconds)
                collected.links += gone
        if named is not None:
            _large_files(hub, named, collected, dry_run, grace_seconds)
        collected.epochs = hub.xet.expire(remove=not dry_run)
        collected.uploads = hub.uploads.expire(_PART_SECONDS, remove=not dry_run)
        collected.unfinished = hub.blobs.staging.clean(remove=not dry_run)
    return collected


def _folders(
    hub: Hub, collected: Collected, dry_run: bool, grace_seconds: float
) -> Iterator[tuple[Path, Repository | None]]:
    """Folders to look into; those that are garbage as a whole are removed instead."""
    for folder in hub.repositories.removed():
        _remove(folder, collected, dry_run)
    for folder in hub.repositories.orphans():
        if _is_abandoned(folder, grace_seconds):
            _remove(folder, collected, dry_run)
        elif _age(folder) > grace_seconds:
            collected.spared.append(f"{folder}: a repository with commits that the database does not know")
            yield folder, None
        else:
            yield folder, None
    for repository in hub.repositories.all():
        folder = hub.repositories.folder(repository)
        if folder.is_dir() or hub.repositories.by_uuid(repository.uuid) is not None:
            yield folder, repository


def _remove(folder: Path, collected: Collected, dry_run: bool) -> None:
    collected.repositories += 1
    if not dry_run:
        shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path, grace_seconds: float) -> bool:
    """Whether somebody was killed who was making this repository, long ago."""
    if _age(folder) <= grace_seconds:
        return False
    try:
        with GitRepository(folder) as git:
            references = git.references()
            return len(references) <= 1 and all(not git.read_commit(each.commit).parents for each in references)
    except (EmbedhubError, pygit2.GitError):
        # Not even whole as a repository: so nobody was ever told of it.
        return not any((folder / "objects").glob("pack/*.pack"))


def _age(path: Path) -> float:
    with suppress(OSError):
        return time.time() - path.stat().st_mtime
    return 0.0


def _clean_repository(folder: Path, where: str, collected: Collected, dry_run: bool) -> set[str]:
    """Prune and pack a repository; gives the large files that its objects name."""
    with GitRepository(folder) as git:
        if not dry_run:
            git.configure()
        reached = reach(git.repository, tips(git.repository), set())
        garbage = [path for raw, path in _loose(folder) if raw not in reached and _is_old(path)]
        garbage += [path for path in _unfinished(folder) if _age(path) > GRACE_SECONDS]
    if garbage and dry_run:
        collected.objects += len(garbage)
    elif garbage:
        removed = _prune(folder, garbage, reached)
        if removed is None:
            collected.spared.append(f"{where}: in use; {len(garbage)} objects stay until the next time")
        else:
            collected.objects += removed
    if _wants_packing(folder):
        if not has_git():
            collected.spared.append(f"{where}: not packed, because git is not installed")
        elif not dry_run:
            _pack(folder)
        collected.packed += has_git()
    with GitRepository(folder) as git:
        return {pointer.sha256 for _, pointer in pointers(git.repository, objects(git.repository))}


def _prune(folder: Path, garbage: Iterable[Path], reached: set[bytes]) -> int | None:
    """Remove objects, if they are garbage still; None if somebody is at work in the repository."""
    removed = 0
    with alone(folder) as is_alone:
        if not is_alone:
            return None
        with GitRepository(folder) as git:
            # A branch may have been made of a commit that nothing led to.
            reach(git.repository, tips(git.repository), reached)
        for path in garbage:
            raw = _hash_of(path)
            if raw is not None and (raw in reached or not _is_old(path)):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed += 1
    return removed


def _loose(folder: Path) -> Iterator[tuple[bytes, Path]]:
    """Objects that are files of their own: hash and place."""
    for path in folder.glob("objects/[0-9a-f][0-9a-f]/*"):
        raw = _hash_of(path)
        if raw is not None:
            yield raw, path


def _is_old(path: Path) -> bool:
    """Whether an object may go. One without a byte is what a power cut leaves, and is in the way of who writes it."""
    with suppress(OSError):
        found = path.stat()
        return time.time() - found.st_mtime > (OBJECT_SECONDS if found.st_size else GRACE_SECONDS)
    return False


def _unfinished(folder: Path) -> Iterator[Path]:
    """What killed processes were writing: of libgit2 and of git, single objects, packs and whole pushes."""
    for pattern in ("objects/??/tmp_*", "objects/pack/tmp_*", "objects/tmp_*", "objects/incoming-*"):
        yield from folder.glob(pattern)


def _hash_of(path: Path) -> bytes | None:
    try:
        raw = bytes.fromhex(path.parent.name + path.name)
    except ValueError:
        return None
    return raw if len(raw) == 20 else None


def _wants_packing(folder: Path) -> bool:
    loose = sum(1 for _ in _loose(folder))
    packs = sum(1 for _ in folder.glob("objects/pack/*.pack"))
    return loose > _LOOSE_OBJECTS or packs > _PACKS


def _pack(folder: Path) -> None:
    done = run_git(folder, "repack", "-A", "-d", "-l", "-q")
    if done.returncode:
        raise OSError(" ".join((done.stderr or done.stdout).split()) or f"git repack: status {done.returncode}")


def _large_files(hub: Hub, named: set[str], collected: Collected, dry_run: bool, grace_seconds: float) -> None:
    for sha256 in hub.blobs:
        if sha256 in named or hub.holdings.is_held(sha256):
            continue
        if dry_run:
            freed = hub.blobs.size(sha256) if _age(hub.blobs.path(sha256)) > grace_seconds else None
        else:
            freed = hub.blobs.remove_unless(sha256, hub.holdings.is_held, grace_seconds)
        if freed is not None:
            collected.large_files += 1
            collected.large_file_bytes += freed
