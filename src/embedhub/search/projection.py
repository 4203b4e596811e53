"""Vectors as points in a plane, for people to look at. Knows arithmetic over vectors. Refuses to know rows' texts.

Principal components by a randomized singular value decomposition with power iterations (Halko, Martinsson and Tropp,
"Finding structure with randomness", 2011, algorithm 4.4), fitted to a sample and applied to all. UMAP is umap-learn's
(McInnes, Healy and Melville, 2018), which is optional. The same vectors always give the same points.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from embedhub.errors import MissingExtraError

Vectors = NDArray[np.float32]
Points = NDArray[np.float64]
Rows = NDArray[np.int64]

METHODS = ("pca", "umap")

# What principal components are fitted to.
_FITTED_ROWS = 8_000
_FITTED_BYTES = 128 << 20

# Rows that are held in double precision at once.
_PIECE_ROWS = 8_192

_COMPONENTS = 2
_SPARE = 8
_ITERATIONS = 6
_SEED = 20

_NEIGHBOURS = 15


@dataclass(frozen=True)
class Plane:
    """The plane in which vectors differ most.

    Attributes:
        mean: float64 [dimensions], what lies at its origin.
        axes: float64 [dimensions, 2], of length one and at right angles.
        share: of the vectors' variance that is seen in it, 0 to 1.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    share: float

    def points(self, vectors: Vectors) -> Points:
        """Where vectors [n, dimensions] lie in it, float64 [n, 2]."""
        found = np.empty((len(vectors), _COMPONENTS))
        # A piece at a time: all in double precision would take twice the memory that the vectors do.
        for first in range(0, len(vectors), _PIECE_ROWS):
            end = first + _PIECE_ROWS
            found[first:end] = (vectors[first:end] - self.mean) @ self.axes
        return found


def sample(count: int, most: int) -> Rows:
    """At most so many of `count` rows, ascending, chosen evenly by chance; of one count always the same."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    return np.sort(np.random.default_rng(_SEED).choice(count, most, replace=False)).astype(np.int64)


def principal_plane(vectors: Vectors) -> Plane:
    """The plane of the first two principal components.

    Args:
        vectors: float32 [n, dimensions], finite; of many a sample is taken.
    """
    dimensions = vectors.shape[1]
    most = max(1_000, min(_FITTED_ROWS, _FITTED_BYTES // (8 * dimensions)))
    fitted = vectors[sample(len(vectors), most)].astype(np.float64)
    if not len(fitted):
        return Plane(np.zeros(dimensions), np.zeros((dimensions, _COMPONENTS)), 0.0)
    mean = fitted.mean(axis=0)
    fitted -= mean
    width = min(_COMPONENTS + _SPARE, *fitted.shape)
    basis = np.random.default_rng(_SEED).standard_normal((dimensions, width))
    for _ in range(_ITERATIONS):
        basis, _triangle = np.linalg.qr(fitted.T @ (fitted @ basis))
    _, lengths, turned = np.linalg.svd(fitted @ basis, full_matrices=False)
    found = (basis @ turned.T)[:, :_COMPONENTS]
    axes = np.zeros((dimensions, _COMPONENTS))
    axes[:, : found.shape[1]] = found * _signs(found)
    total = float(np.square(fitted).sum())
    share = float(np.square(lengths[:_COMPONENTS]).sum()) / total if total > 0 else 0.0
    return Plane(mean, axes, min(1.0, share))


def has_umap() -> bool:
    """Whether umap-learn is installed; it is not imported by this."""
    return find_spec("umap") is not None


def umap_points(vectors: Vectors) -> Points:
    """Where UMAP puts vectors [n, dimensions], float64 [n, 2]; neighbours by cosine. Takes minutes for many.

    Raises:
        MissingExtraError: umap-learn is not installed.
    """
    try:
        import umap
    except ImportError as error:
        raise MissingExtraError("UMAP is not installed: run `pip install 'embedhub[map]'`") from error
    plane = principal_plane(vectors)
    if len(vectors) <= _NEIGHBOURS:
        # Of so few nobody has neighbours to be told from others.
        return plane.points(vectors)
    # Begun with the principal components: clusters stay where the other map has them, and nothing is left to chance.
    begin = plane.points(vectors)
    begin = begin / max(float(np.abs(begin).max()), 1e-12) * 10
    fit = umap.UMAP(n_neighbors=_NEIGHBOURS, metric="cosine", init=begin, random_state=_SEED, n_jobs=1)
    return np.asarray(fit.fit_transform(vectors), dtype=np.float64)


def fitted_to_square(points: Points) -> Points:
    """Points [n, 2] moved and scaled alike in both directions, so that they fill -1 to 1 in the wider one."""
    if not len(points):
        return points
    low, high = points.min(axis=0), points.max(axis=0)
    half = max(float((high - low).max()) / 2, 1e-12)
    fitted: Points = (points - (low + high) / 2) / half
    return fitted


def gathered(parts: Iterable[tuple[Rows, Vectors]], rows: Rows, dimensions: int) -> tuple[Rows, Vectors]:
    """The vectors of those rows, ascending, that have a finite one, with their numbers.

    Args:
        parts: row numbers and vectors of all, ascending.
        rows: those that are wanted, ascending.
        dimensions: numbers in a vector.
    """
    matrix = np.empty((len(rows), dimensions), np.float32)
    numbers = np.empty(len(rows), np.int64)
    filled = 0
    for part_rows, part_vectors in parts:
        # Half precision may hold what is no number.
        wanted = np.isin(part_rows, rows, assume_unique=True) & np.isfinite(part_vectors).all(axis=1)
        end = filled + int(wanted.sum())
        matrix[filled:end] = part_vectors[wanted]
        numbers[filled:end] = part_rows[wanted]
        filled = end
    return numbers[:filled], matrix[:filled]


def _signs(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """A sign an axis, so that its greatest number is positive: a decomposition leaves open which way it points."""
    greatest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return np.where(greatest < 0, -1.0, 1.0)
