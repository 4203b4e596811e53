"""embedhub's own folder of models: EMBEDHUB_HOME/models/ORGANISATION--NAME/REVISION/.

Knows how a folder gets there whole or not at all: files are written into a hidden folder beside it, checked, listed
in a manifest, flushed, and the folder is renamed last. Refuses to know where files come from.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from embedhub.errors import ModelError, ModelIntegrityError
from embedhub.models.checksums import combined, file_sha256
from embedhub.models.json_files import read_object
from embedhub.models.spec import ModelSpec, read_spec
from embedhub.models.wanted import folder_name, id_of_folder
from embedhub.storage import move_folder, storage_errors, sync

_MANIFEST = "embedhub.json"
_INCOMING = ".incoming-"


@dataclass(frozen=True)
class StoredModel:
    """A finished model folder in the store.

    Attributes:
        id: its id.
        revision: its revision, which is also the folder's name.
        folder: where it lies.
        weights_sha256: what the weights hash to.
        files: the sha256 of every file, by its path in the folder.
    """

    id: str
    revision: str
    folder: Path
    weights_sha256: str
    files: dict[str, str]


class ModelStore:
    """The models under one folder. Safe for several processes: installing and removing take a lock."""

    def __init__(self, home: Path) -> None:
        self.root = home / "models"

    def find(self, id: str, revision: str | None = None) -> StoredModel | None:
        """The stored model of that id, the newest when no revision is named; None when there is none.

        Raises:
            ModelIntegrityError: its manifest is damaged.
        """
        folders = [folder for folder in self._folders(id) if revision in (None, folder.name)]
        newest = max(folders, key=lambda folder: folder.stat().st_mtime, default=None)
        return None if newest is None else _read_manifest(id, newest)

    def describe(self, stored: StoredModel) -> ModelSpec:
        """The model in a folder of the store, every file but the weights compared with the manifest.

        Raises:
            ModelIntegrityError: a file is missing or is not the one that was installed.
        """
        spec = read_spec(
            stored.folder,
            id=stored.id,
            revision=stored.revision,
            source="store",
            expected_sha256=stored.weights_sha256,
        )
        for name, expected in stored.files.items():
            path = stored.folder / name
            # The weights take the longest; whoever loads them checks them.
            if path not in spec.weights_files and (not path.is_file() or file_sha256(path) != expected):
                raise ModelIntegrityError(f"{path} is not the file that was installed; {_way_out(stored.id)}")
        return spec

    def models(self) -> list[StoredModel]:
        """Every finished model, by id; damaged ones are left out."""
        found = []
        for path in sorted(self.root.glob("*")):
            id = id_of_folder(path.name)
            for folder in self._folders(id) if id else ():
                try:
                    found.append(_read_manifest(path.name.replace("--", "/", 1), folder))
                except ModelError:
                    continue
        return found

    def install(self, id: str, revision: str, fill: Callable[[Path], None]) -> StoredModel:
        """Have `fill` put a model's files into an empty folder, and keep that folder if they are a model.

        When another process installs the same model at the same time, this one waits and takes what it finds.

        Raises:
            ModelError: the files are no model, or the store cannot be written; nothing is kept.
            StorageFullError: no space left; nothing is kept.
        """
        final = self._folder(id) / revision
        with self._locked(id):
            if (final / _MANIFEST).is_file():
                return _read_manifest(id, final)
            incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.root))
            try:
                fill(incoming)
                _finish(incoming, id, revision)
                final.parent.mkdir(exist_ok=True)
                if final.exists():
                    shutil.rmtree(final)
                move_folder(incoming, final)
            finally:
                shutil.rmtree(incoming, ignore_errors=True)
            return _read_manifest(id, final)

    def remove(self, id: str, revision: str | None = None) -> int:
        """Delete a model, or one revision of it, damaged or not; returns how many revisions there were."""
        folder = self._folder(id)
        if folder.is_symlink():
            # Somebody keeps it elsewhere: what lies there is not ours to delete.
            folder.unlink()
            return 1
        if not folder.is_dir():
            return 0
        with self._locked(id):
            doomed = [path for path in folder.iterdir() if revision in (None, path.name)]
            for path in doomed:
                # Renamed first: a half deleted folder must not be found.
                grave = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.root))
                path.rename(grave / path.name)
                shutil.rmtree(grave)
            if not any(folder.iterdir()):
                folder.rmdir()
        return len(doomed)

    @contextmanager
    def _locked(self, id: str) -> Iterator[None]:
        full = f"no space left under {self.root} for {id}; free some and pull again"
        with storage_errors(full, (ModelError, str(self.root))):
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / ".lock"):
                # The lock is held, so whatever else lies here was left by a process that died.
                for leftover in self.root.glob(f"{_INCOMING}*"):
                    shutil.rmtree(leftover, ignore_errors=True)
                yield

    def _folder(self, id: str) -> Path:
        return self.root / folder_name(id)

    def _folders(self, id: str) -> list[Path]:
        return sorted(manifest.parent for manifest in self._folder(id).glob(f"*/{_MANIFEST}"))


def _finish(folder: Path, id: str, revision: str) -> None:
    """Write the manifest and flush every file, so that the rename cannot outrun the data."""
    spec = read_spec(folder, id=id, revision=revision, source="store")
    files = {str(path.relative_to(folder)): file_sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    checksum = combined([files[str(path.relative_to(folder))] for path in spec.weights_files])
    manifest = {"id": id, "revision": revision, "weights_sha256": checksum, "files": files}
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    for path in (folder, *folder.rglob("*")):
        sync(path)


def _read_manifest(id: str, folder: Path) -> StoredModel:
    path = folder / _MANIFEST
    damaged = ModelIntegrityError(f"{path} is damaged; {_way_out(id)}")
    try:
        content = read_object(path, required=True)
    except ModelIntegrityError as error:
        raise damaged from error
    revision, checksum, files = content.get("revision"), content.get("weights_sha256"), content.get("files", {})
    if revision != folder.name or not isinstance(checksum, str) or not isinstance(files, dict):
        raise damaged
    return StoredModel(id, folder.name, folder, checksum, files)


def _way_out(id: str) -> str:
    return f"run `embedhub models remove {id}` and `embedhub models pull {id}`"
