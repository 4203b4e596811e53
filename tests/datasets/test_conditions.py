"""Conditions on columns give the rows that a loop over the rows would give."""

import datetime
import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.datasets.fake_embedder import FakeEmbedder

from embedhub.datasets import BuildOptions, InputRequest, StoredDataset, build, open_source, read_dataset
from embedhub.datasets.conditions import MOST_CONDITIONS, MOST_VALUES, read_conditions, rows_that_fulfil
from embedhub.errors import ColumnError, SettingError

ROWS = 23
YEARS = [None if number == 4 else 1990 + number for number in range(ROWS)]
WORDS = [f"word {number % 5}" for number in range(ROWS)]
SHARES = [number / 10 for number in range(ROWS)]
DAYS = [datetime.date(2024, 1, 1 + number) for number in range(ROWS)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> StoredDataset:
    """Two shards, with columns of many types."""
    folder = tmp_path_factory.mktemp("conditions")
    table = pa.table(
        {
            "text": pa.array(WORDS),
            "year": pa.array(YEARS, pa.int32()),
            "share": pa.array(SHARES, pa.float32()),
            "even": pa.array([number % 2 == 0 for number in range(ROWS)]),
            "day": pa.array(DAYS),
            "price": pa.array([Decimal(number) / 4 for number in range(ROWS)], pa.decimal128(8, 2)),
            "kind": pa.array(WORDS).dictionary_encode(),
            "parts": pa.array([[number] for number in range(ROWS)]),
        }
    )
    pq.write_table(table, folder / "in.parquet")
    with open_source(InputRequest(folder / "in.parquet", column="text")) as source:
        build(source, folder / "out", FakeEmbedder(), BuildOptions(shard_rows=10))
    return read_dataset(folder / "out")


def rows(dataset: StoredDataset, **wanted: Any) -> list[int]:
    return list(map(int, rows_that_fulfil(dataset, read_conditions(wanted))))


@pytest.mark.parametrize(
    ("name", "compare"),
    [
        ("eq", operator.eq),
        ("ne", operator.ne),
        ("gt", operator.gt),
        ("gte", operator.ge),
        ("lt", operator.lt),
        ("lte", operator.le),
    ],
)
@pytest.mark.parametrize("year", [2001, 2001.5, 1 << 40, -(1 << 70)])
def test_comparisons_are_those_of_python(
    dataset: StoredDataset, name: str, compare: Callable[[Any, Any], bool], year: float
) -> None:
    expected = [number for number, value in enumerate(YEARS) if value is not None and compare(value, year)]
    assert rows(dataset, year={name: year}) == expected


def test_plain_values_and_lists(dataset: StoredDataset) -> None:
    assert rows(dataset, text="word 3") == [3, 8, 13, 18]
    assert rows(dataset, kind="word 3") == [3, 8, 13, 18]
    assert rows(dataset, text=["word 3", "word 0"]) == sorted([3, 8, 13, 18, 0, 5, 10, 15, 20])
    assert rows(dataset, text=[]) == []
    assert rows(dataset, even=False, year={"gte": 1995, "lt": 1999}) == [5, 7]
    assert rows(dataset) == list(range(ROWS))


def test_null_is_asked_for_by_name(dataset: StoredDataset) -> None:
    assert rows(dataset, year=None) == [4]
    assert 4 not in rows(dataset, year={"ne": None})
    assert rows(dataset, year=[None, 1990]) == [0, 4]


def test_numbers_are_compared_as_they_are_kept(dataset: StoredDataset) -> None:
    assert rows(dataset, share=0.1) == [1]
    assert rows(dataset, share={"lt": 0.25}) == [0, 1, 2]
    assert rows(dataset, share=2) == [20]
    assert rows(dataset, price={"lte": 1}) == [0, 1, 2, 3, 4]


def test_times_are_written_as_texts(dataset: StoredDataset) -> None:
    assert rows(dataset, day={"gte": "2024-01-21"}) == [20, 21, 22]
    with pytest.raises(ColumnError, match="yesterday"):
        rows(dataset, day={"gte": "yesterday"})


@pytest.mark.parametrize(
    "wanted",
    [
        {"year": "2001"},
        {"year": True},
        {"text": 3},
        {"year": 10**400},
        {"even": 1},
        {"parts": "x"},
        {"embedding": 1.0},
        {"nowhere": 1},
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(dataset: StoredDataset, wanted: dict[str, Any]) -> None:
    with pytest.raises(ColumnError, match=next(iter(wanted))):
        rows(dataset, **wanted)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"year": {}}, "gte"),
        ({"year": {"like": 3}}, "gte"),
        ({"year": {"gte": [3]}}, "number"),
        ({"year": {"gte": None}}, "null"),
        ({"year": {"in": 3}}, "list"),
        ({"year": [[3]]}, "list"),
        ({"year": list(range(MOST_VALUES + 1))}, str(MOST_VALUES)),
        ({f"c{number}": 1 for number in range(MOST_CONDITIONS + 1)}, str(MOST_CONDITIONS)),
    ],
)
def test_what_is_no_condition_is_refused(wanted: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        read_conditions(wanted)
