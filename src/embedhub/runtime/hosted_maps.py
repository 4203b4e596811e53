"""Maps of embedded datasets that are hosted here: every row a point, made once a commit and kept beside its files.

Knows which rows of a commit are shown, when a map is made at once (principal components) and when behind everybody's
back (UMAP, in a process that yields to all others), and how it is kept. Refuses to know HTTP, and who may look.

A map is one file, little-endian: the four bytes `EMAP`, the length of what follows as uint32, a head in JSON filled up
with spaces to a multiple of four, then float32 x[points], float32 y[points] and, where rows were left out, uint32
row[points].
"""

import hashlib
import json
import logging
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from embedhub.datasets import StoredDataset, read_dataset
from embedhub.datasets.colouring import colours_at
from embedhub.errors import ColumnError, ComputationError, EmbedhubError, MissingExtraError, SettingError
from embedhub.hub.derived import Derived
from embedhub.hub.repositories import Repository
from embedhub.hub.staging import hub_storage_errors
from embedhub.runtime.apart import Apart
from embedhub.runtime.hosted_files import dataset_files, named, see_through
from embedhub.search.projection import METHODS, fitted_to_square, gathered, has_umap, principal_plane, sample
from embedhub.storage import whole_file

logger = logging.getLogger(__name__)

# Of a larger dataset a sample is shown: more than a screen has room for, and UMAP takes minutes for fewer.
MOST_POINTS = {"pca": 300_000, "umap": 100_000}

_MAGIC = b"EMAP"
_FOLDER = "map"
_PCA, _UMAP = METHODS

# A process that takes longer has gone astray.
_UMAP_SECONDS = 3 * 3600

_Key = tuple[str, str]


@dataclass(frozen=True)
class MapFile:
    """A map that is there.

    Attributes:
        path: of its file.
        head: what stands at its beginning: `points`, `rows`, `sampled`, `method`, `share`.
        begins: where the numbers begin, in bytes.
    """

    path: Path
    head: dict[str, Any]
    begins: int

    def rows(self) -> NDArray[np.int64]:
        """The number of each point's row, int64 [points]."""
        points = int(self.head["points"])
        if not self.head["sampled"]:
            return np.arange(points, dtype=np.int64)
        return np.fromfile(self.path, "<u4", points, offset=self.begins + 8 * points).astype(np.int64)


class HostedMaps:
    """The maps of a Hub's datasets. Threads may share it.

    Args:
        derived: the files of commits, and where maps are kept.
        apart: where columns are read.
    """

    def __init__(self, derived: Derived, apart: Apart) -> None:
        self._derived = derived
        self._apart = apart
        self._threads = ThreadPoolExecutor(1, "umap")
        self._lock = threading.Lock()
        # Commits whose UMAP waits or is computed, and what became of those that failed.
        self._under_way: set[_Key] = set()
        self._failed: dict[_Key, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def close(self) -> None:
        """End what is being computed."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def stored(self, repository: Repository, commit: str) -> StoredDataset:
        """The dataset of a commit.

        Raises:
            DatasetError: there is no embedded dataset in that commit, or it is broken.
        """
        root = self._derived.files(repository, commit, dataset_files)
        with named(root, repository):
            return read_dataset(root)

    def _readable(self, repository: Repository, commit: str) -> StoredDataset:
        """The dataset of a commit, all of which may be read."""
        stored = self.stored(repository, commit)
        with named(stored.path, repository):
            see_through(stored, self._apart, self._derived.folder(repository, commit))
        return stored

    def pca(self, repository: Repository, commit: str) -> MapFile:
        """The map by principal components, made now if it is not there; errors as of `stored`."""
        place = self._place(repository, commit, _PCA)
        found = _opened(place)
        if found is not None:
            return found
        with hub_storage_errors(), FileLock(place.with_suffix(".lock")):
            found = _opened(place)
            if found is None:
                rows, vectors, count = self._vectors(repository, commit, _PCA)
                plane = principal_plane(vectors)
                found = _write(place, _PCA, rows, plane.points(vectors), count, round(plane.share, 4))
        self._derived.make_room(keep=place.parent.parent)
        return found

    def umap(self, repository: Repository, commit: str) -> MapFile | None:
        """The map by UMAP; None while it is computed, which asking for it begins.

        Raises:
            MissingExtraError: umap-learn is not installed.
            ComputationError: it failed.
            DatasetError: as of `stored`.
        """
        found = _opened(self._place(repository, commit, _UMAP))
        if found is not None:
            return found
        if not has_umap():
            raise MissingExtraError("UMAP is not installed on this server: `pip install 'embedhub[map]'`, and restart")
        self.stored(repository, commit)
        key = repository.uuid, commit
        with self._lock:
            if key in self._failed:
                raise ComputationError(f"the map could not be computed: {self._failed.pop(key)}")
            if key not in self._under_way and not self._closed:
                self._under_way.add(key)
                self._threads.submit(self._compute, key, repository, commit)
        return None

    def map(self, repository: Repository, commit: str, method: str) -> MapFile | None:
        """A map by the name of its method; errors and None as of `pca` and `umap`.

        Raises:
            SettingError: there is no such method.
        """
        if method not in METHODS:
            raise SettingError(f"method={method!r:.40}: one of {', '.join(METHODS)}")
        return self.pca(repository, commit) if method == _PCA else self.umap(repository, commit)

    def column(self, repository: Repository, commit: str, shown: MapFile, name: str) -> dict[str, Any]:
        """A column's values at the points of a map, as `datasets.colouring` tells them; kept beside it.

        Raises:
            ColumnError: there is no such column, or it holds neither numbers nor words.
        """
        stored = self.stored(repository, commit)
        if name not in stored.columns:
            raise ColumnError(f"there is no column {name!r:.100}; there are: {', '.join(stored.columns):.500}")
        key = hashlib.sha256(name.encode()).hexdigest()[:16]
        place = shown.path.with_name(f"{shown.path.stem}-{key}.json")
        if not place.is_file():
            made = self._apart.run(
                repository.id, colours_at, [shard.path for shard in stored.shards], name, shown.rows()
            )
            if made is None:
                raise ColumnError(
                    f"column {name!r:.100} holds neither numbers nor words: there is nothing to colour by"
                )
            with hub_storage_errors(), whole_file(place) as file:
                file.write(json.dumps(made, separators=(",", ":")).encode())
        told: dict[str, Any] = json.loads(place.read_bytes())
        return told

    def texts(self, repository: Repository, commit: str, rows: Sequence[int]) -> list[dict[str, Any]]:
        """The embedded text of rows: `row` and `text`, in the order asked for.

        Raises:
            SettingError: there is no such row.
            DatasetError: as of `stored`.
        """
        stored = self._readable(repository, commit)
        for row in rows:
            if row >= stored.row_count:
                raise SettingError(f"there is no row {row}: {stored.row_count} rows, counted from 0")
        found = stored.rows(rows, [stored.text_column])
        return [{"row": row, "text": each[stored.text_column]} for row, each in zip(rows, found, strict=True)]

    # -- inside

    def _place(self, repository: Repository, commit: str, method: str) -> Path:
        folder = self._derived.folder(repository, commit) / _FOLDER
        with hub_storage_errors():
            folder.mkdir(exist_ok=True)
        return folder / f"{method}.map"

    def _vectors(
        self, repository: Repository, commit: str, method: str
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
        """Row numbers and vectors of what is shown, and how many rows there are."""
        stored = self._readable(repository, commit)
        wanted = sample(stored.row_count, MOST_POINTS[method])
        parts = ((part.rows, part.matrix) for part in stored.iterate_vectors())
        rows, vectors = gathered(parts, wanted, stored.dimensions)
        return rows, vectors, stored.row_count

    def _compute(self, key: _Key, repository: Repository, commit: str) -> None:
        """UMAP, from its vectors to its file; in a thread that waits for the process."""
        try:
            place = self._place(repository, commit, _UMAP)
            with hub_storage_errors(), FileLock(place.with_suffix(".lock")):
                if _opened(place) is None:
                    self._compute_into(place, repository, commit)
        except EmbedhubError as error:
            self._failed[key] = str(error)
        except Exception:
            logger.exception("the map of %s: a bug", repository.id)
            self._failed[key] = "unknown error"
        finally:
            with self._lock:
                self._under_way.discard(key)

    def _compute_into(self, place: Path, repository: Repository, commit: str) -> None:
        rows, vectors, count = self._vectors(repository, commit, _UMAP)
        with tempfile.TemporaryDirectory(prefix="embedhub-map-") as scratch:
            source, target = Path(scratch) / "vectors.npy", Path(scratch) / "points.npy"
            np.save(source, vectors)
            del vectors
            self._run([sys.executable, "-m", "embedhub.search.umap_process", str(source), str(target)])
            _write(place, _UMAP, rows, np.load(target), count, None)
        self._derived.make_room(keep=place.parent.parent)

    def _run(self, command: list[str]) -> None:
        with self._lock:
            if self._closed:
                raise ComputationError("the server is being stopped")
            self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _, told = self._process.communicate(timeout=_UMAP_SECONDS)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.communicate()
            raise ComputationError(f"it took longer than {_UMAP_SECONDS // 3600} hours") from error
        finally:
            status, self._process = self._process.returncode, None
        if status:
            lines = told.decode(errors="replace").strip().splitlines() or [f"the process ended with {status}"]
            raise ComputationError(lines[-1][:300])


def _write(
    place: Path, method: str, rows: NDArray[np.int64], points: NDArray[np.float64], count: int, share: float | None
) -> MapFile:
    # A point's place in the file is its row, unless some rows have none.
    sampled = len(rows) < count
    head = {"method": method, "points": len(rows), "rows": count, "sampled": sampled, "share": share}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    fitted = fitted_to_square(points).astype("<f4")
    with whole_file(place) as file:
        file.write(_MAGIC + len(text).to_bytes(4, "little") + text)
        file.write(np.ascontiguousarray(fitted.T).tobytes())
        if sampled:
            file.write(rows.astype("<u4").tobytes())
    return MapFile(place, head, len(_MAGIC) + 4 + len(text))


def _opened(place: Path) -> MapFile | None:
    """The map at a place; None where there is none, or one that cannot be read."""
    try:
        with place.open("rb") as file:
            magic, length = file.read(4), int.from_bytes(file.read(4), "little")
            if magic != _MAGIC or length > 1 << 16:
                return None
            head = json.loads(file.read(length))
    except (OSError, ValueError):
        return None
    return MapFile(place, head, len(_MAGIC) + 4 + length)
