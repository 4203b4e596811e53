"""Models that are served here without being hosted, as repositories to read: what others load is what is computed here.

Knows how the files that `engine.export` makes are named by their content, as those of a repository are. Refuses to know
HTTP, and who may read.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from embedhub import __version__
from embedhub.config import Settings
from embedhub.engine.export.repository import RepositoryFiles, repository_files
from embedhub.errors import RevisionNotFoundError
from embedhub.hub.pointers import Pointer
from embedhub.hub.trees import Entry
from embedhub.models import ModelSpec, file_sha256

_MAIN = "main"

# Checksums of large files that did not change since they were read: by place, size and time.
_MOST_KNOWN = 256
_known: "OrderedDict[tuple[str, int, int], str]" = OrderedDict()


@dataclass(frozen=True)
class ServedModel:
    """A model as a repository at one commit; `served_model` makes it.

    Attributes:
        spec: the model.
        commit: stands for the model at its revision and for the version that makes the files.
        files: by path; looking one up makes it.
    """

    spec: ModelSpec
    commit: str
    files: RepositoryFiles

    def check_revision(self, revision: str) -> None:
        """Nothing, if that names what there is.

        Raises:
            RevisionNotFoundError: there is only `main`, the model's own revision, and the commit.
        """
        if revision not in (_MAIN, f"refs/heads/{_MAIN}", self.commit, self.spec.revision):
            raise RevisionNotFoundError(f"Invalid rev id: {revision[:200]}")

    def file(self, path: str) -> tuple[Entry, Path | bytes] | None:
        """A file and where it is, or its content; None if there is none at that path. Makes it, if need be.

        Raises:
            ModelError: the model is damaged.
        """
        if path not in self.files:
            return None
        content = self.files[path]
        if isinstance(content, bytes):
            oid = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            return Entry(path, oid, len(content)), content
        size = content.stat().st_size
        pointer = Pointer(_sha256(content), size)
        return Entry(path, pointer.sha256[:40], size, pointer=pointer, pointer_size=len(bytes(pointer))), content

    def entry(self, path: str) -> Entry | None:
        """The file or the folder at a path; None if nothing is there."""
        found = self.file(path)
        if found is not None:
            return found[0]
        is_folder = any(each.startswith(f"{path}/") for each in self.files)
        return Entry(path, self.commit, is_folder=True) if is_folder else None

    def entries(self, folder: str, *, recursive: bool) -> Iterator[Entry]:
        """What lies in a folder; makes the files, because their sizes are told."""
        within = f"{folder}/" if folder else ""
        seen: set[str] = set()
        for path in self.files:
            if not path.startswith(within):
                continue
            below = path[len(within) :]
            name, slash, _ = below.partition("/")
            if slash and within + name not in seen:
                seen.add(within + name)
                yield Entry(within + name, self.commit, is_folder=True)
            found = self.file(path) if recursive or not slash else None
            if found is not None:
                yield found[0]


def served_model(spec: ModelSpec, config: Settings) -> ServedModel:
    """A model as a repository; makes no file yet."""
    # Not the commit that the files came from: these are others, and whoever keeps files by commit must not mix them.
    said = "\n".join([spec.id, spec.revision or spec.fingerprint, __version__])
    commit = hashlib.sha1(said.encode(), usedforsecurity=False).hexdigest()
    return ServedModel(spec, commit, repository_files(spec, config))


def _sha256(path: Path) -> str:
    status = path.stat()
    key = str(path), status.st_size, status.st_mtime_ns
    if key not in _known:
        _known[key] = file_sha256(path)
        while len(_known) > _MOST_KNOWN:
            _known.popitem(last=False)
    return _known[key]
