"""A copy of the Hub that is whole, made beside a running server.

A plain copy of the folder is whole only while no server runs: copied file by file, a branch may be newer than the
objects behind it. So what refers to others is read first and what it refers to is copied after that, because they are
made in the opposite order and nothing goes away meanwhile (`Hub.maintenance`):

1. the references of every repository;
2. the database, at one instant;
3. git's objects and the large files, which never change once they are there.

A repository that is made or deleted while this runs is not in the copy. A copy is made over an earlier one in a
fraction of the time: what is there already is not copied again. It is a home folder: to bring it back is to start a
server on it.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from embedhub.errors import HubStorageError
from embedhub.hub.accounts import DATABASE
from embedhub.hub.database import open_database
from embedhub.hub.git import GitRepository
from embedhub.hub.hosting import FOLDER, Hub
from embedhub.hub.signing import SECRET
from embedhub.storage import storage_errors

# What is being written, or belongs to a process.
_PASSED_OVER = ("tmp_", "incoming-")


@dataclass(frozen=True, slots=True)
class Copied:
    """What is in a copy: repositories, large files, and the bytes that were copied this time."""

    repositories: int
    large_files: int
    new_bytes: int


def back_up(hub: Hub, target: Path) -> Copied:
    """Copy everything that people own: repositories, large files, users, tokens, the secret of signed links.

    Args:
        hub: what is copied.
        target: a folder that is not there, is empty, or holds an earlier copy.

    Raises:
        HubStorageError: the folder holds something else, or cannot be written.
        HubConflictError: garbage is being removed, or another copy made.
        StorageFullError: no space left; the same command continues.
    """
    target = target.absolute()
    home = hub.home.absolute()
    if target == home or home in target.parents or target in home.parents:
        raise HubStorageError(f"{target} and the folder that is copied lie within each other: choose another place")
    if target.is_dir() and any(target.iterdir()) and not (target / FOLDER).is_dir():
        raise HubStorageError(f"{target} holds something else than a copy of a Hub: choose another folder")
    if not hub.connections.path.exists():
        raise HubStorageError(f"there is nothing to copy in {home}")
    hub.root.mkdir(parents=True, exist_ok=True)
    refused = HubStorageError, f"{target} cannot be written"
    with hub.maintenance(), storage_errors("no space left for the copy; the same command continues", refused):
        (target / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
        return _copy(hub, Hub(target), target)


def _copy(hub: Hub, copy: Hub, target: Path) -> Copied:
    references = {each.uuid: _references(hub.repositories.folder(each)) for each in hub.repositories.all()}
    unfinished = target / f".{DATABASE}.unfinished"
    unfinished.unlink(missing_ok=True)
    with closing(sqlite3.connect(unfinished)) as made, hub.connections.read() as database:
        database.backup(made)
    new_bytes = 0
    with closing(open_database(unfinished)) as made:
        for repository in [*_repositories(made)]:
            if references.get(repository) is not None:
                with suppress(FileNotFoundError):
                    new_bytes += _copy_objects(hub, copy, repository)
                    continue
            references.pop(repository, None)
            made.execute("DELETE FROM repositories WHERE uuid = ?", (repository,))
        kept = set(_repositories(made))
        held = dict(made.execute("SELECT sha256, MAX(size) FROM links GROUP BY sha256").fetchall())
    for sha256, size in held.items():
        new_bytes += _copy_large_file(hub.blobs.path(sha256), copy.blobs.path(sha256), size)
    for repository in kept:
        written = references[repository]
        assert written is not None
        _write_references(_folder(copy, repository), written)
    # Links that were given out go on working.
    with suppress(FileNotFoundError):
        _copy_file(hub.home / SECRET, target / SECRET)
    # What it refers to is on the disk before the database is.
    os.sync()
    for ending in ("-wal", "-shm"):
        (target / f"{DATABASE}{ending}").unlink(missing_ok=True)
    unfinished.replace(target / DATABASE)
    _remove_others(hub, copy, kept, held)
    os.sync()
    return Copied(len(kept), len(held), new_bytes)


def _repositories(database: sqlite3.Connection) -> Iterator[str]:
    return (uuid for (uuid,) in database.execute("SELECT uuid FROM repositories"))


def _folder(hub: Hub, repository: str) -> Path:
    return hub.repositories.root / repository[:2] / f"{repository}.git"


def _references(folder: Path) -> dict[str, str] | None:
    """The hash behind each reference; None if the repository is gone."""
    if not folder.is_dir():
        return None
    with GitRepository(folder) as git:
        references = sorted(git.repository.references.iterator(), key=lambda reference: reference.name)
        return {reference.name: str(reference.resolve().target) for reference in references}


def _write_references(folder: Path, references: dict[str, str]) -> None:
    shutil.rmtree(folder / "refs", ignore_errors=True)
    (folder / "refs" / "heads").mkdir(parents=True)
    (folder / "packed-refs").write_text("".join(f"{hash} {name}\n" for name, hash in references.items()))


def _copy_objects(hub: Hub, copy: Hub, repository: str) -> int:
    """Copy a repository's objects and settings; gives the bytes that were new."""
    source, target = _folder(hub, repository), _folder(copy, repository)
    new_bytes = 0
    for place in ("objects/pack", "objects/info", "refs/heads"):
        (target / place).mkdir(parents=True, exist_ok=True)
    for name in ("HEAD", "config"):
        (target / name).write_bytes((source / name).read_bytes())
    for path in _objects(source):
        new_bytes += _copy_once(path, target / path.relative_to(source))
    if not source.is_dir():
        raise FileNotFoundError
    return new_bytes


def _objects(folder: Path) -> Iterator[Path]:
    for path in (folder / "objects").glob("*/*"):
        if not path.name.startswith(_PASSED_OVER) and not path.parent.name.startswith(_PASSED_OVER):
            yield path


def _copy_large_file(source: Path, target: Path, size: int) -> int:
    with suppress(FileNotFoundError):
        if target.stat().st_size == size:
            return 0
    # One that is missing here is missing there: `check` tells.
    with suppress(FileNotFoundError):
        return _copy_file(source, target)
    return 0


def _copy_once(source: Path, target: Path) -> int:
    return 0 if target.exists() else _copy_file(source, target)


def _copy_file(source: Path, target: Path) -> int:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = target.with_name(f"tmp_{target.name}")
    shutil.copy2(source, unfinished)
    unfinished.replace(target)
    return target.stat().st_size


def _remove_others(hub: Hub, copy: Hub, kept: set[str], held: dict[str, int]) -> None:
    """What an earlier copy had and this one has not."""
    for folder in copy.repositories.root.glob("??/*.git"):
        if folder.stem not in kept:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        source = _folder(hub, folder.stem)
        here = {path.relative_to(source) for path in _objects(source)}
        for path in list(_objects(folder)) if here else ():
            if path.relative_to(folder) not in here:
                path.unlink()
    for sha256 in list(copy.blobs):
        if sha256 not in held:
            copy.blobs.remove(sha256)
