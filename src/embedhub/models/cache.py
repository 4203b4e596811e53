"""The Hugging Face cache: HF_HOME/hub/models--ORGANISATION--NAME/{refs,snapshots,blobs}.

Knows its layout, which every Hugging Face program shares. Large files are links to blobs named by their sha256.
Refuses to take a snapshot for a model as long as a file that changes its vectors may be missing: other programs
fetch only the files they need, and downloads break off.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from embedhub.config import Settings
from embedhub.errors import ModelError, ModelIntegrityError, ModelNotFoundError
from embedhub.models.checksums import combined
from embedhub.models.spec import ModelSpec, read_spec
from embedhub.models.wanted import folder_name, id_of_folder
from embedhub.storage import whole_file

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")
_SHA256 = re.compile(r"[0-9a-f]{64}")

# Optional files without which a model would silently give other vectors.
_DECISIVE = (
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
)

_TOKENIZERS = ("tokenizer.json", "vocab.txt")


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit, whole or not."""

    id: str
    commit: str
    folder: Path


class HuggingFaceCache:
    """The models in a Hugging Face cache. Other programs write there at the same time."""

    def __init__(self, settings: Settings) -> None:
        self.root = settings.model_cache

    def find(self, id: str, revision: str | None) -> ModelSpec:
        """The model at a branch, tag or commit (also shortened); at None what is here, `main` before others.

        Raises:
            ModelNotFoundError: no snapshot, or none that is whole.
            UnsupportedModelError: a module that is not known here.
        """
        miss = ModelNotFoundError("Hugging Face cache (not there)")
        for snapshot in self._candidates(id, revision):
            try:
                return self.describe(snapshot)
            except ModelNotFoundError as error:
                miss = error
            except ModelIntegrityError as error:
                miss = ModelNotFoundError(f"Hugging Face cache {snapshot.folder} (incomplete or damaged: {error})")
        raise miss

    def describe(self, snapshot: Snapshot, source: str = "cache") -> ModelSpec:
        """The model in a snapshot.

        Raises:
            ModelNotFoundError: it may not be whole; the message says what is missing.
            ModelIntegrityError: a file that every model has is missing or damaged.
            UnsupportedModelError: a module that is not known here.
        """
        where = f"Hugging Face cache {snapshot.folder}"
        missing = self._missing(snapshot)
        if missing is not None:
            raise ModelNotFoundError(f"{where} (incomplete: no {missing})")
        spec = read_spec(snapshot.folder, id=snapshot.id, revision=snapshot.commit, source=source)
        sums = [stated_sha256(path) for path in spec.weights_files]
        known = [each for each in sums if each is not None]
        return replace(spec, expected_sha256=combined(known)) if len(known) == len(sums) else spec

    def models(self, wanted: str | None = None) -> Iterator[ModelSpec]:
        """Every whole snapshot of every model, or of one, that embeds texts; what other programs need is left out."""
        for repository in sorted(self.root.glob("models--*")):
            id = id_of_folder(repository.name.removeprefix("models--"))
            for snapshot in self._candidates(id, None) if id and wanted in (None, id) else ():
                try:
                    spec = self.describe(snapshot)
                except ModelError:
                    continue
                if any((spec.folder / name).is_file() for name in _TOKENIZERS):
                    yield spec

    def snapshot(self, id: str, commit: str) -> Snapshot:
        """The place of a snapshot, there or not."""
        return Snapshot(id, commit, self._repository(id) / "snapshots" / commit)

    def note_reference(self, snapshot: Snapshot, revision: str) -> None:
        """Remember that a branch or tag stands at this commit."""
        path = self._repository(snapshot.id) / "refs" / revision
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write(snapshot.commit.encode())

    def note_absent(self, snapshot: Snapshot, name: str) -> None:
        """Remember, the way the Hugging Face library does, that the repository has no such file."""
        path = self._absent(snapshot, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def remove(self, id: str, revision: str | None) -> int:
        """Delete a model, or one revision of it; returns how many there were."""
        repository = self._repository(id)
        if revision is not None:
            return self._remove_revision(id, revision)
        if repository.is_symlink():
            # Somebody keeps it elsewhere: what lies there is not ours to delete.
            repository.unlink()
            return 1
        if not repository.is_dir():
            return 0
        for leftover in self.root.glob(".removed-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        # Renamed first: a half deleted repository must not be found.
        doomed = repository.with_name(f".removed-{os.getpid()}-{repository.name}")
        repository.rename(doomed)
        shutil.rmtree(doomed)
        shutil.rmtree(self.root / ".locks" / repository.name, ignore_errors=True)
        return 1

    def _remove_revision(self, id: str, revision: str) -> int:
        commits = {snapshot.commit for snapshot in self._candidates(id, revision)}
        if not commits:
            return 0
        # Blobs are shared by snapshots; the library counts who uses them.
        from embedhub.models.quiet_hub import huggingface_hub

        huggingface_hub.scan_cache_dir(self.root).delete_revisions(*commits).execute()
        return len(commits)

    def _repository(self, id: str) -> Path:
        return self.root / f"models--{folder_name(id)}"

    def _absent(self, snapshot: Snapshot, name: str) -> Path:
        return self._repository(snapshot.id) / ".no_exist" / snapshot.commit / name

    def _candidates(self, id: str, revision: str | None) -> list[Snapshot]:
        """The snapshots that may be meant, best first."""
        repository = self._repository(id)
        folders = [path for path in (repository / "snapshots").glob("*") if _COMMIT.fullmatch(path.name)]
        folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        commits = [path.name for path in folders]
        reference = repository / "refs" / (revision or "main")
        named = reference.read_text(errors="replace").strip() if reference.is_file() else None
        if named in commits:
            chosen = [named, *(commit for commit in commits if commit != named)] if revision is None else [named]
        elif revision is None:
            chosen = commits
        elif named is None and _SHORT_COMMIT.fullmatch(revision):
            chosen = [commit for commit in commits if commit.startswith(revision)]
            chosen = chosen if len(chosen) == 1 else []
        else:
            chosen = [commit for commit in commits if commit == revision]
        return [self.snapshot(id, commit) for commit in chosen]

    def _missing(self, snapshot: Snapshot) -> str | None:
        listed = self._listing(snapshot)
        for name in _DECISIVE:
            if not (snapshot.folder / name).is_file() and name in (listed or ()):
                return name
        known = (snapshot.folder / "modules.json").is_file() or self._absent(snapshot, "modules.json").is_file()
        if not known and listed is None:
            return f"modules.json, and not known whether {snapshot.id} has one; pull it, or name this folder"
        return None

    def _listing(self, snapshot: Snapshot) -> set[str] | None:
        """Every file of the repository, where newer versions of the Hugging Face library kept the list of them."""
        path = self._repository(snapshot.id) / "trees" / f"{snapshot.commit}.json"
        try:
            files = json.loads(path.read_bytes())["files"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return set(files) if isinstance(files, dict) else None


def stated_sha256(path: Path) -> str | None:
    """The checksum that a file of a snapshot should have: the name of the blob it is a link to.

    One step only: the blob may itself be a link, to a file named by another kind of hash.
    """
    name = path.readlink().name if path.is_symlink() else ""
    return name if _SHA256.fullmatch(name) else None
