"""Columns as colours need them."""

import numpy as np
import pyarrow as pa
import pytest

from embedhub.datasets.colouring import MOST_LABELS, colours_of


def told(values: pa.Array, rows: list[int] | None = None) -> dict[str, object] | None:
    column = pa.chunked_array([values[:2], values[2:]])
    return colours_of(column, np.array(range(len(values)) if rows is None else rows, np.int64))


def test_numbers_are_told_at_the_rows_asked_for() -> None:
    assert told(pa.array([1, None, 3, 4], pa.int16()), [3, 1, 0]) == {"kind": "number", "values": [4.0, None, 1.0]}
    assert told(pa.array([0.1234567891, float("nan"), float("inf")])) == {
        "kind": "number",
        "values": [0.123457, None, None],
    }


def test_labels_go_by_how_often_they_are_there() -> None:
    assert told(pa.array(["b", "a", None, "b", "c"])) == {
        "kind": "category",
        "labels": ["b", "a", "c"],
        "codes": [0, 1, None, 0, 2],
        "others": 0,
    }
    assert told(pa.array([True, False, True])) == {
        "kind": "category",
        "labels": ["true", "false"],
        "codes": [0, 1, 0],
        "others": 0,
    }
    assert told(pa.array(["x", "y", "x"]).dictionary_encode()) == told(pa.array(["x", "y", "x"]))


def test_many_labels_share_a_colour() -> None:
    found = told(pa.array(["often", "often", *(f"{number:03}" for number in range(50))]))
    assert found is not None
    assert found["labels"] == ["often", *(f"{number:03}" for number in range(MOST_LABELS - 1))]
    assert found["others"] == 51 - MOST_LABELS
    assert found["codes"][-1] == MOST_LABELS  # type: ignore[index]


@pytest.mark.parametrize("values", [pa.array([[1.0], [2.0], [3.0]]), pa.array([b"a", b"b", b"c"])])
def test_there_is_nothing_to_colour_by(values: pa.Array) -> None:
    assert told(values) is None
