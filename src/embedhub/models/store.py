"""embedhub's own folder of models: EMBEDHUB_HOME/models/ORGANISATION--NAME/REVISION/.

Knows how a folder gets there whole or not at all: files are written into a hidden folder beside it, checked, listed
in a manifest, flushed, and the folder is renamed last. Refuses to know where files come from.
"""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from embedhub.errors import ModelIntegrityError, StorageFullError
from embedhub.models.checksums import combined_sha256
from embedhub.models.spec import weight_files

_MANIFEST = "embedhub.json"
_INCOMING = ".incoming-"


@dataclass(frozen=True)
class StoredModel:
    """A finished model folder in the store."""

    id: str
    revision: str
    folder: Path
    weights_sha256: str


class ModelStore:
    """The models under one folder. Safe for several processes: installing takes a lock."""

    def __init__(self, home: Path) -> None:
        self.root = home / "models"

    def find(self, id: str, revision: str | None = None) -> StoredModel | None:
        """The stored model of that id, the newest when no revision is named; None when there is none."""
        found = [model for model in self._of(id) if revision in (None, model.revision)]
        return max(found, key=lambda model: model.folder.stat().st_mtime, default=None)

    def models(self) -> list[StoredModel]:
        """Every finished model, by id."""
        if not self.root.is_dir():
            return []
        folders = sorted(path for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))
        return [model for folder in folders for model in self._of(folder.name.replace("--", "/", 1))]

    def remove(self, id: str) -> int:
        """Delete every revision of a model; returns how many there were."""
        removed = 0
        for model in self._of(id):
            # Renamed first: a folder that is half deleted must not be found.
            doomed = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.root)) / "removed"
            model.folder.rename(doomed)
            shutil.rmtree(doomed.parent)
            removed += 1
        return removed

    @contextmanager
    def install(self, id: str, revision: str) -> Iterator[Path]:
        """A folder to put a model's files into; when the block ends well, they are the model.

        Raises:
            StorageFullError: no space left; nothing is kept.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        final = self._folder(id) / revision
        with FileLock(self.root / ".lock"):
            # The lock is held, so whatever else lies here was left by a process that died.
            for leftover in self.root.glob(f"{_INCOMING}*"):
                shutil.rmtree(leftover, ignore_errors=True)
            incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.root))
            try:
                yield incoming
                _finish(incoming, id, revision)
                final.parent.mkdir(exist_ok=True)
                if final.exists():
                    shutil.rmtree(final)
                incoming.rename(final)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise StorageFullError(
                        f"no space left under {self.root} for {id}; free some and pull again"
                    ) from error
                raise
            finally:
                shutil.rmtree(incoming, ignore_errors=True)

    def _folder(self, id: str) -> Path:
        return self.root / id.replace("/", "--")

    def _of(self, id: str) -> list[StoredModel]:
        found = []
        for manifest in sorted(self._folder(id).glob(f"*/{_MANIFEST}")):
            try:
                content = json.loads(manifest.read_text())
                found.append(StoredModel(id, str(content["revision"]), manifest.parent, str(content["weights_sha256"])))
            except (ValueError, KeyError) as error:
                raise ModelIntegrityError(f"{manifest}: unreadable; delete {manifest.parent} and pull again") from error
        return found


def _finish(folder: Path, id: str, revision: str) -> None:
    """Write the manifest and flush every file, so that the rename cannot outrun the data."""
    checksum = combined_sha256(weight_files(folder))
    manifest = {"id": id, "revision": revision, "weights_sha256": checksum}
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
