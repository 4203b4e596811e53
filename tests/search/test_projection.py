"""Vectors as points: the plane is that of an exact decomposition, and always the same."""

import numpy as np
import pytest

from embedhub.errors import MissingExtraError
from embedhub.search import projection
from embedhub.search.projection import fitted_to_square, gathered, principal_plane, sample, umap_points


def made(rows: int, dimensions: int, seed: int = 1) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    """Vectors whose variance falls from one direction to the next, away from the origin."""
    random = np.random.default_rng(seed)
    scales = 0.8 ** np.arange(dimensions)
    turned, _ = np.linalg.qr(random.standard_normal((dimensions, dimensions)))
    vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]]
    vectors = ((random.standard_normal((rows, dimensions)) * scales) @ turned + 3).astype(np.float32)
    return vectors


@pytest.mark.parametrize(("rows", "dimensions"), [(500, 64), (40, 96), (3, 8), (700, 2)])
def test_the_plane_is_that_of_an_exact_decomposition(rows: int, dimensions: int) -> None:
    vectors = made(rows, dimensions)
    plane = principal_plane(vectors)
    centred = vectors.astype(np.float64) - vectors.astype(np.float64).mean(axis=0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(np.sum(plane.axes * axes[:2].T, axis=0)), 1, atol=1e-6)
    assert plane.share == pytest.approx(np.square(lengths[:2]).sum() / np.square(lengths).sum(), abs=1e-9)
    np.testing.assert_allclose(plane.points(vectors), centred @ plane.axes, atol=1e-5)


def test_it_is_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "_FITTED_ROWS", 1_000)
    vectors = made(3_000, 32)
    first, second = principal_plane(vectors), principal_plane(vectors.copy())
    np.testing.assert_array_equal(first.points(vectors), second.points(vectors))
    greatest = np.abs(first.axes).argmax(axis=0)
    assert (first.axes[greatest, [0, 1]] > 0).all()


@pytest.mark.parametrize(
    "vectors",
    [np.empty((0, 4)), np.zeros((1, 4)), np.ones((5, 4)), np.ones((5, 1)), np.eye(4) * 1e38, np.eye(4) * 1e-38],
)
def test_few_and_strange_vectors_have_a_place_too(vectors: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> None:
    vectors = vectors.astype(np.float32)
    points = fitted_to_square(principal_plane(vectors).points(vectors))
    assert points.shape == (len(vectors), 2)
    assert np.isfinite(points).all()
    assert np.abs(points).max(initial=0) <= 1 + 1e-9


def test_a_sample_is_even_and_always_the_same() -> None:
    assert sample(5, 9).tolist() == [0, 1, 2, 3, 4]
    rows = sample(100_000, 1_000)
    assert len(set(rows.tolist())) == 1_000
    assert (np.diff(rows) > 0).all()
    assert abs(rows.mean() - 50_000) < 3_000
    np.testing.assert_array_equal(rows, sample(100_000, 1_000))


def test_vectors_are_gathered_that_are_wanted_and_numbers() -> None:
    parts = [
        (np.array([0, 2]), np.array([[1, 1], [np.inf, 0]], np.float32)),
        (np.array([3, 4]), np.array([[3, 3], [4, 4]], np.float32)),
    ]
    rows, vectors = gathered(parts, np.array([0, 1, 2, 4]), 2)
    assert rows.tolist() == [0, 4]
    assert vectors.tolist() == [[1, 1], [4, 4]]


def test_without_umap_it_is_said_how_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(MissingExtraError, match=r"embedhub\[map\]"):
        umap_points(made(20, 4))
