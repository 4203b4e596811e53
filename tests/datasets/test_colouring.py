"""Columns as colours need them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedhub.datasets.colouring import MOST_LABELS, colours_at, colours_of


def told(values: pa.Array) -> dict[str, object] | None:
    return colours_of(pa.chunked_array([values[:2], values[2:]]))


def test_numbers_are_told_at_the_rows_asked_for(tmp_path: Path) -> None:
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for first, path in zip((0, 2500), files, strict=True):
        numbers = pa.array([None if row == 7 else row for row in range(first, first + 2500)], pa.int16())
        pq.write_table(pa.table({"x": numbers, "other": numbers}), path, row_group_size=700)
    rows = [0, 7, 699, 700, 1000, 2499, 2500, 4999]
    values = [0.0, None, 699.0, 700.0, 1000.0, 2499.0, 2500.0, 4999.0]
    assert colours_at(files, "x", np.array(rows)) == {"kind": "number", "values": values}


def test_what_is_no_number_is_null() -> None:
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
