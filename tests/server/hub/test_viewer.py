"""Rows and statistics of hosted datasets, whatever format they were pushed in."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.server.hub.conftest import Embedded
from tests.server.processes import Running

from embedhub import Model
from embedhub.datasets.tables import MOST_CHARACTERS
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind

Push = Callable[[Kind, str, Path], str]

YEARS = [1990, 1991, 1995, None, 2000]
TEXTS = ["a", "bb", "a", "dddd", "x" * (MOST_CHARACTERS + 1)]


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, row_group_size=2)
    return sink.getvalue()


@pytest.fixture(scope="module")
def make(hub: Hub) -> Callable[..., str]:
    def made(name: str, files: dict[str, bytes]) -> str:
        hub.create(hub.actor("alice", "write"), Kind.DATASET, f"alice/{name}", files=files)
        return f"/api/datasets/alice/{name}"

    return made


@pytest.fixture(scope="module")
def plain(make: Callable[..., str]) -> str:
    train = parquet(
        text=TEXTS,
        year=pa.array(YEARS, pa.int16()),
        share=[0.0, 0.25, 0.5, 0.75, float("nan")],
        good=[True, False, True, True, None],
        vector=pa.array([[float(number)] * 32 for number in range(5)], pa.list_(pa.float32(), 32)),
        raw=[b"\xff", b"", None, b"a", b"b"],
    )
    return make("plain-rows", files={"data/train.parquet": train, "data/test-0.parquet": parquet(other=[1])})


def test_rows_are_shown_with_what_they_are(as_alice: httpx.Client, plain: str) -> None:
    answer = as_alice.get(f"{plain}/rows", params={"offset": 1, "length": 3})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert len(answer.headers["x-repo-commit"]) == 40
    assert (body["num_rows_total"], body["partial"]) == (5, False)
    assert [row["row_idx"] for row in body["rows"]] == [1, 2, 3]
    assert body["rows"][0] == {
        "row_idx": 1,
        "row": {
            "text": "bb",
            "year": 1991,
            "share": 0.25,
            "good": False,
            "vector": {"first": [1.0] * 4, "dims": 32},
            "raw": "",
        },
        "truncated_cells": ["vector"],
    }
    types = {each["name"]: each["type"] for each in body["features"]}
    assert types["text"] == {"dtype": "string", "_type": "Value"}
    assert types["share"] == {"dtype": "float64", "_type": "Value"}
    assert types["vector"] == {"feature": {"dtype": "float32", "_type": "Value"}, "length": 32, "_type": "List"}


def test_long_texts_are_cut_and_what_is_no_number_is_null(as_alice: httpx.Client, plain: str) -> None:
    last = as_alice.get(f"{plain}/rows", params={"offset": 4}).json()["rows"][0]
    assert len(last["row"]["text"]) == MOST_CHARACTERS
    assert last["truncated_cells"] == ["text", "vector"]
    assert last["row"]["share"] is None
    assert as_alice.get(f"{plain}/rows", params={"offset": 5}).json()["rows"] == []


def test_first_rows_and_splits(as_alice: httpx.Client, plain: str) -> None:
    assert [each["split"] for each in as_alice.get(f"{plain}/splits").json()["splits"]] == ["train", "test"]
    first = as_alice.get(f"{plain}/first-rows", params={"config": "default", "split": "test"}).json()
    assert (first["dataset"], first["split"], first["truncated"]) == ("alice/plain-rows", "test", False)
    assert [row["row"] for row in first["rows"]] == [{"other": 1}]


def test_statistics_are_those_of_numpy(as_alice: httpx.Client, plain: str) -> None:
    body = as_alice.get(f"{plain}/statistics").json()
    assert body == as_alice.get(f"{plain}/statistics").json()
    assert (body["num_examples"], body["partial"]) == (5, False)
    told = {each["column_name"]: each for each in body["statistics"]}
    year = told["year"]["column_statistics"]
    known = np.array([1990, 1991, 1995, 2000])
    assert told["year"]["column_type"] == "int"
    assert (year["nan_count"], year["nan_proportion"]) == (1, 0.2)
    assert (year["min"], year["max"], year["mean"], year["median"]) == (1990, 2000, known.mean(), np.median(known))
    assert year["std"] == pytest.approx(known.std(ddof=1))
    assert sum(year["histogram"]["hist"]) == 4
    assert len(year["histogram"]["bin_edges"]) == len(year["histogram"]["hist"]) + 1
    assert told["text"]["column_type"] == "string_label"
    assert told["text"]["column_statistics"]["frequencies"]["a"] == 2
    assert told["good"]["column_statistics"]["frequencies"] == {"True": 3, "False": 1}
    assert told["vector"]["column_type"] == "list"
    assert told["vector"]["column_statistics"]["max"] == 32


def test_many_texts_are_told_by_their_lengths(as_alice: httpx.Client, make: Callable[..., str]) -> None:
    texts = [f"{'t' * (number % 7)}{number:03}" for number in range(200)]
    path = make("many-texts", files={"train.parquet": parquet(text=texts)})
    told = as_alice.get(f"{path}/statistics").json()["statistics"][0]
    assert told["column_type"] == "string_text"
    assert (told["column_statistics"]["min"], told["column_statistics"]["max"]) == (3, 9)


def test_other_formats_are_shown_as_well(as_alice: httpx.Client, make: Callable[..., str]) -> None:
    csv = make("as-csv", files={"some.csv": b'text,number\n"a, b",1\nc,2\n'})
    lines = make("as-jsonl", files={"some.jsonl": b'{"text": "a", "number": 1}\n{"text": "b", "number": 2}\n'})
    assert [row["row"] for row in as_alice.get(f"{csv}/rows").json()["rows"]] == [
        {"text": "a, b", "number": 1},
        {"text": "c", "number": 2},
    ]
    assert as_alice.get(f"{lines}/rows").json()["rows"][1]["row"] == {"text": "b", "number": 2}
    assert as_alice.get(f"{lines}/statistics").json()["statistics"][1]["column_statistics"]["max"] == 2


def test_the_card_divides_the_files(as_alice: httpx.Client, make: Callable[..., str]) -> None:
    head = {
        "configs": [
            {"config_name": "one", "data_files": [{"split": "dev", "path": "one/*.parquet"}]},
            {"config_name": "two", "data_files": "two/*.parquet"},
            {"config_name": "three", "data_files": ["nowhere/*"]},
            "nonsense",
        ]
    }
    files = {
        "README.md": f"---\n{json.dumps(head)}\n---\n".encode(),
        "one/a.parquet": parquet(a=[1]),
        "one/b.parquet": parquet(a=[2]),
        "two/a.parquet": parquet(b=[3]),
    }
    path = make("divided", files=files)
    found = {(each["config"], each["split"]) for each in as_alice.get(f"{path}/splits").json()["splits"]}
    assert found == {("one", "dev"), ("two", "train")}
    rows = as_alice.get(f"{path}/rows", params={"config": "one"}).json()["rows"]
    assert [row["row"]["a"] for row in rows] == [1, 2]
    missing = as_alice.get(f"{path}/rows", params={"config": "four"})
    assert (missing.status_code, missing.json()["error"]) == (
        404,
        "alice/divided has no configuration four; it has: one, two",
    )


def test_an_embedded_dataset_is_shown(as_alice: httpx.Client, push: Push, embedded: Embedded, tiny: Model) -> None:
    push(Kind.DATASET, "alice/shown", embedded(tiny, ["words", "one", "two", "the"], shard_rows=2))
    rows = as_alice.get("/api/datasets/alice/shown/rows").json()["rows"]
    assert [row["row"]["words"] for row in rows] == ["one", "two", "the"]
    assert rows[0]["row"]["embedding"]["dims"] == 32


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"train.parquet": b"PAR1 nonsense PAR1"}, "is broken"),
        ({"train.csv": b'a,b\n1\n"'}, "is broken"),
        ({"train.jsonl": b"{]"}, "is broken"),
        ({"a.parquet": parquet(a=[1]), "b.parquet": parquet(b=[1])}, "other columns"),
        ({"prose.txt": b"a"}, "no Parquet, csv or jsonl"),
    ],
)
def test_what_cannot_be_shown_says_why(
    as_alice: httpx.Client, make: Callable[..., str], content: dict[str, bytes], told: str
) -> None:
    path = make(f"broken-{next(iter(content))}", files=content)
    for page in ("rows", "statistics", "first-rows"):
        answer = as_alice.get(f"{path}/{page}")
        assert answer.status_code == 400, answer.text
        assert told in answer.json()["error"]
        assert "derived" not in answer.json()["error"], "a path of ours"


def packed(content: bytes, times: int) -> bytes:
    """Gzip of a line, many times."""
    sink = io.BytesIO()
    with gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=1) as file:
        file.write(b"text,year\n")
        for _ in range(times):
            file.write(content)
    return sink.getvalue()


def repeated(text: str, rows: int) -> bytes:
    """Parquet of one row group whose rows share one text."""
    sink = io.BytesIO()
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))
    pq.write_table(pa.table({"text": column}), sink, row_group_size=rows, compression="zstd")
    return sink.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        # Three gigabytes of csv.
        ({"train.csv.gz": packed(b"x" * 1_000_000 + b",1\n", 3_000)}, "unfolds to more"),
        # What reads it ends.
        ({"train.jsonl": b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}\n"}, "cannot be read"),
        # Two hundred gigabytes of rows, and twenty in each thousand.
        ({"train.parquet": repeated("x" * 20_000_000, 10_000)}, "unfolds to more"),
    ],
)
def test_small_files_that_unfold_to_large_ones_harm_nobody(
    hosting: Running, as_alice: httpx.Client, make: Callable[..., str], content: dict[str, bytes], told: str
) -> None:
    before = hosting.memory()
    path = make(f"bomb-{next(iter(content))}", files=content)
    for page in ("rows", "statistics"):
        answer = as_alice.get(f"{path}/{page}")
        assert (answer.status_code, told in answer.text) == (400, True), answer.text
    assert as_alice.get(path.replace("/api", "") + "/rows", headers={"accept": "text/html"}).status_code == 200
    assert hosting.memory() - before < 100 << 20


def test_a_page_of_a_row_group_that_unfolds_without_end_is_shown(
    as_alice: httpx.Client, make: Callable[..., str]
) -> None:
    path = make("long-group", files={"train.parquet": repeated("x" * 10_000, 2_000_000)})
    answer = as_alice.get(f"{path}/rows", params={"offset": 50_000, "length": 2})
    assert answer.status_code == 200, answer.text
    assert answer.json()["num_rows_total"] == 2_000_000
    assert [row["row"]["text"] for row in answer.json()["rows"]] == ["x" * 10_000] * 2


def test_who_may_not_read_sees_nothing(as_alice: httpx.Client, as_bob: httpx.Client, hub: Hub) -> None:
    files = {"a.parquet": parquet(a=[1])}
    hub.create(hub.actor("alice", "write"), Kind.DATASET, "alice/hidden", visibility="private", files=files)
    for page in ("rows", "first-rows", "statistics", "splits"):
        assert as_alice.get(f"/api/datasets/alice/hidden/{page}").status_code == 200
        hidden, absent = (as_bob.get(f"/api/datasets/alice/{name}/{page}") for name in ("hidden", "nohere"))
        assert hidden.status_code == absent.status_code == 404
        assert hidden.json()["error"].replace("hidden", "nohere") == absent.json()["error"]


@pytest.mark.parametrize("query", [{"length": 101}, {"length": -1}, {"offset": "x"}])
def test_impossible_pages_are_refused(as_alice: httpx.Client, plain: str, query: dict[str, Any]) -> None:
    assert as_alice.get(f"{plain}/rows", params=query).status_code == 400
