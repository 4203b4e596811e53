"""Score functions, on numbers that overflow when they are computed as the textbook writes them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedhub.engine.scores import ACTIVATIONS, sigmoid, softmax

LOGITS = st.lists(st.floats(-(2.0**126), 2.0**126, width=32, allow_subnormal=False), min_size=1, max_size=8)


@given(LOGITS)
def test_scores_are_finite_and_keep_the_order(logits: list[float]) -> None:
    row = np.array([logits], np.float32)
    for scores in (sigmoid(row), softmax(row)):
        assert scores.dtype == np.float32
        assert ((scores >= 0) & (scores <= 1)).all()
        assert (np.diff(scores[0][np.argsort(row[0], kind="stable")]) >= -1e-6).all()
    assert softmax(row).sum() == pytest.approx(1, abs=1e-5)


def test_softmax_subtracts_the_maximum_and_not_the_maximum_in_size() -> None:
    assert softmax(np.array([[-1000, 5, 4]], np.float32))[0] == pytest.approx(
        [0, 1 / (1 + math.exp(-1)), 1 / (1 + math.e)], abs=1e-6
    )
    assert softmax(np.array([[-1e30, -1e30]], np.float32))[0].tolist() == [0.5, 0.5]
    assert softmax(np.full((2, 1), 7, np.float32)).tolist() == [[1], [1]]


def test_sigmoid() -> None:
    assert sigmoid(np.array([0, -1000, 1000, 2], np.float32)) == pytest.approx(
        [0.5, 0, 1, 1 / (1 + math.exp(-2))], abs=1e-7
    )


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_nothing_in_nothing_out(name: str) -> None:
    assert ACTIVATIONS[name](np.zeros((0, 3), np.float32)).shape == (0, 3)
