"""What is made of a commit, kept while there is room and never the only place where anything is.

Knows folders, one a commit, and the files of a commit laid out in one: large files as links to where the Hub keeps
them, small ones written out. A folder may be removed at any time, and is made again when it is asked for. Refuses to
know what else is made of a commit: whoever makes it puts it in whole.

    derived/UUID/COMMIT/files/     files of the commit
    derived/UUID/COMMIT/…          what others make of them
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from embedhub.errors import HubPathError
from embedhub.hub.hosting import Hub
from embedhub.hub.names import check_path
from embedhub.hub.repositories import Repository
from embedhub.hub.staging import hub_storage_errors

_FILES = "files"
_UNFINISHED = ".unfinished-"

# Of one commit: more are no dataset or model that could be read.
MOST_FILES = 10_000


class Derived:
    """The folders of a Hub. Any number of threads and processes may use them.

    Args:
        hub: whose commits they are made of.
        budget: bytes they may take; links to large files take none.
    """

    def __init__(self, hub: Hub, budget: int) -> None:
        self.root = hub.root / "derived"
        self._hub = hub
        self._budget = budget

    def folder(self, repository: Repository, commit: str) -> Path:
        """The folder of a commit, made if need be; counts as used now.

        Raises:
            StorageFullError: no space left.
            HubStorageError: the disk refuses.
        """
        folder = self.root / repository.uuid / commit
        with hub_storage_errors():
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)
        return folder

    def files(self, repository: Repository, commit: str, choose: Callable[[Collection[str]], Collection[str]]) -> Path:
        """A folder with files of a commit under their paths: all that were chosen, or none.

        Args:
            repository: whose commit it is.
            commit: its full hash.
            choose: of the paths of all files those that are wanted; of one commit always the same.

        Raises:
            EntryNotFoundError: a large file was never uploaded to this repository.
            HubContentError: one is missing.
            StorageFullError: no space left.
            HubStorageError: the disk refuses.
        """
        folder = self.folder(repository, commit)
        final = folder / _FILES
        if _is_whole(final):
            return final
        with hub_storage_errors(), FileLock(folder / ".lock"):
            if _is_whole(final):
                return final
            # The lock is held: whatever else lies here was left by a process that died.
            for leftover in folder.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(leftover, ignore_errors=True)
            shutil.rmtree(final, ignore_errors=True)
            made = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=folder))
            try:
                self._lay_out(repository, commit, choose, made, final)
                made.rename(final)
            except BaseException:
                shutil.rmtree(made, ignore_errors=True)
                raise
        return final

    def make_room(self, keep: Path | None = None) -> int:
        """Remove folders of repositories that are gone, then those not used for longest until the rest fits.

        Args:
            keep: the folder of a commit that stays.

        Returns:
            How many were removed.
        """
        removed = 0
        sizes: dict[Path, tuple[float, int]] = {}
        for uuid in _folders(self.root):
            gone = self._hub.repositories.by_uuid(uuid.name) is None
            for folder in _folders(uuid):
                if gone:
                    removed += _remove(folder)
                else:
                    with suppress(FileNotFoundError):
                        sizes[folder] = folder.stat().st_mtime, _size(folder)
            with suppress(OSError):
                # Only what is empty goes.
                uuid.rmdir()
        taken = sum(size for _, size in sizes.values())
        for folder in sorted(sizes, key=lambda each: sizes[each][0]):
            if taken <= self._budget:
                break
            if folder != keep:
                removed += _remove(folder)
                taken -= sizes[folder][1]
        return removed

    def _lay_out(
        self,
        repository: Repository,
        commit: str,
        choose: Callable[[Collection[str]], Collection[str]],
        made: Path,
        final: Path,
    ) -> None:
        with self._hub.open(repository) as git:
            entries = {entry.path: entry for entry in git.files(commit) if _is_path(entry.path)}
            for path in list(choose(entries))[:MOST_FILES]:
                entry, place = entries[path], made / path
                place.parent.mkdir(parents=True, exist_ok=True)
                if entry.pointer is not None:
                    target = self._hub.large_file(repository, entry)
                    # Relative: the Hub may be moved as a whole, and a copy of it must not lead to the original.
                    place.symlink_to(os.path.relpath(target, (final / path).parent))
                else:
                    # Of a submodule there is nothing here to read.
                    with suppress(KeyError, AssertionError):
                        place.write_bytes(git.read(entry))


def _is_path(path: str) -> bool:
    """Whether it stays within a folder; git keeps more than we would write."""
    try:
        return bool(check_path(path))
    except HubPathError:
        return False


def _is_whole(folder: Path) -> bool:
    """Whether it is there, and every large file still where it was."""
    if not folder.is_dir():
        return False
    return all(path.exists() for path in folder.rglob("*") if path.is_symlink())


def _folders(root: Path) -> list[Path]:
    try:
        return [entry for entry in root.iterdir() if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            size += path.lstat().st_size
    return size


def _remove(folder: Path) -> int:
    """Renamed first: a folder that is half gone must not be found."""
    grave = folder.with_name(f".gone-{folder.name}")
    try:
        folder.rename(grave)
    except OSError:
        grave = folder
    shutil.rmtree(grave, ignore_errors=True)
    return 1
