"""Scores: equal to their formulas, higher for nearer, and named."""

import numpy as np
import pytest

from embedhub.errors import SettingError
from embedhub.search import SCORES, cos_sim, dot_score, euclidean_sim, metric_named

A = np.array([[1.0, 0.0], [3.0, 4.0]], np.float32)
B = np.array([[0.0, 2.0], [3.0, 4.0], [0.0, 0.0]], np.float32)


def test_cosine() -> None:
    np.testing.assert_allclose(cos_sim(A, B), [[0, 0.6, 0], [0.8, 1, 0]], atol=1e-6)


def test_dot() -> None:
    np.testing.assert_array_equal(dot_score(A, B), [[0, 3, 0], [8, 25, 0]])


def test_euclidean_is_the_negative_distance() -> None:
    expected = [[-np.sqrt(5), -np.sqrt(20), -1], [-np.sqrt(13), 0, -5]]
    np.testing.assert_allclose(euclidean_sim(A, B), expected, rtol=1e-6)


def test_euclidean_keeps_small_distances_of_long_vectors() -> None:
    long = np.full((1, 384), 100.0, np.float32)
    near = long.copy()
    near[0, 0] += 0.01
    np.testing.assert_allclose(euclidean_sim(long, near), [[-0.01]], rtol=1e-3)


@pytest.mark.parametrize("function", [cos_sim, dot_score, euclidean_sim])
def test_one_vector_counts_as_one_row(function: object) -> None:
    assert callable(function)
    assert function(A[0], B).shape == (1, 3)
    assert function([1.0, 0.0], [[0.0, 2.0]]).dtype == np.float32


def test_a_miss_lists_what_exists() -> None:
    with pytest.raises(SettingError, match="cosine, dot, euclidean"):
        metric_named("manhattan")
    assert list(SCORES) == ["cosine", "dot", "euclidean"]
