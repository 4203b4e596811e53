"""Readers under hostile input: what is valid is read as it stands, what is not gives one clean error."""

import csv
import gzip
import io
import json
import logging
import random
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedhub.datasets import InputRequest, open_source
from embedhub.datasets.readers.delimited import DelimitedReader
from embedhub.errors import ColumnError, EmbedhubError, InputFormatError

FAST = settings(max_examples=60, deadline=None)
# Files are UTF-8, in which single surrogates cannot occur.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("inputs")


def read(path: Path, **said: Any) -> list[dict[str, Any]]:
    with open_source(InputRequest(path, **said)) as source:
        return [row for table in source.tables(7) for row in table.to_pylist()]


def attempt(path: Path) -> tuple[list[dict[str, Any]], str]:
    """The rows, or what is said of the file; any other exception is a failure of the test."""
    try:
        return read(path, column="text"), ""
    except EmbedhubError as error:
        return [], str(error)


def put(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@FAST
@given(rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=20), mark=st.sampled_from([",", "\t"]))
def test_csv_texts_come_back(folder: Path, rows: list[tuple[str, str]], mark: str) -> None:
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, delimiter=mark, quoting=csv.QUOTE_ALL)
    # A word in each column keeps it one of texts.
    writer.writerows([("text", "other"), ("word", "word"), *rows])
    path = put(folder, "x.csv" if mark == "," else "x.tsv", sink.getvalue())
    assert [(row["text"], row["other"]) for row in read(path, column="text")] == [("word", "word"), *rows]


@FAST
@given(cells=st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=10))
def test_csv_integers_come_back(folder: Path, cells: list[int | None]) -> None:
    lines = ["n,text", *(f"{'' if cell is None else cell},a" for cell in cells)]
    got = [row["n"] for row in read(put(folder, "n.csv", "\n".join(lines)), column="text")]
    assert got == (cells if any(cell is not None for cell in cells) else [""] * len(cells))


@FAST
@given(cells=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=10))
def test_csv_decimals_come_back(folder: Path, cells: list[float]) -> None:
    lines = ["n,text", *(f"{cell!r},a" for cell in cells)]
    assert [row["n"] for row in read(put(folder, "n.csv", "\n".join(lines)), column="text")] == cells


@pytest.mark.parametrize(
    "cells", [["007", "1"], ["1_000"], ["+1"], ["nan"], ["9223372036854775808"], ["\u0661"], [" 1"]]
)
def test_csv_words_that_look_like_numbers_stay_words(folder: Path, cells: list[str]) -> None:
    path = put(folder, "n.csv", "\n".join(["n,text", *(f"{cell},a" for cell in cells)]))
    assert [row["n"] for row in read(path, column="text")] == cells


def test_csv_integers_that_a_decimal_cannot_hold(folder: Path) -> None:
    path = put(folder, "n.csv", "n,text\n9007199254740993,a\n0.5,b\n")
    assert [row["n"] for row in read(path, column="text")] == ["9007199254740993", "0.5"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a,text\n1,x\n2\n", "line 3: 1 cells where the header has 2"),
        ("a,text\n1,x,y\n", "line 2: 3 cells"),
        ('text\n"x"y\n', "line 2"),
        ('text\nx\n"y', "line 3"),
        (b"text\nx\n" * 5000 + b"\xff\n", "line 10001: the text is not UTF-8"),
        ("text\nä".encode("utf-16"), "line 1: the text is UTF-16"),
        ("text,text\na,b\n", "more than one column 'text'"),
    ],
)
def test_csv_errors_name_the_line(folder: Path, content: str | bytes, told: str) -> None:
    with pytest.raises(InputFormatError) as raised:
        read(put(folder, "bad.csv", content))
    assert told in str(raised.value)
    assert "bad.csv" in str(raised.value)


def test_csv_odds(folder: Path) -> None:
    assert read(put(folder, "a.csv", "\ufeff,text\r0,a\r\r1,b\r"), column="text") == [
        {"column_1": 0, "text": "a"},
        {"column_1": 1, "text": "b"},
    ]
    huge = "x" * 1_000_000
    assert read(put(folder, "b.csv", f"text\n{huge}\n\0nul\n")) == [{"text": huge}, {"text": "\0nul"}]


def test_csv_blank_lines_are_no_rows_and_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "embedhub")
    path = put(folder, "a.csv", "\nid,text\n\n1,a\n   \n\n2,b\n\n\n")
    assert read(path) == [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}]
    assert caplog.messages == [f"{path}: 3 blank lines between rows are passed over"]
    caplog.clear()
    # In a single column only an empty line is blank, and a quoted nothing is an empty text.
    assert read(put(folder, "b.csv", 'text\na\n  \n""\nb\n\n')) == [{"text": t} for t in ("a", "  ", "", "b")]
    assert caplog.messages == []


def test_tsv_with_quotes_as_text(folder: Path) -> None:
    path = put(folder, "a.tsv", 'id\ttext\n1\t"Hey" he said\n2\tb"\n')
    assert [row["text"] for row in read(path)] == ['"Hey" he said', 'b"']


HUGE = [2**63, 2**64, -(2**63) - 1, 10**40 + 1]


@pytest.mark.parametrize("format", ["jsonl", "json"])
def test_json_integers_beyond_64_bits_lose_nothing(folder: Path, format: str) -> None:
    rows = [{"text": "ü", "n": n, "in": {"list": [n, 1.5]}, "id": "0" * 30} for n in [1, *HUGE]]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    content = "\n".join(lines) if format == "jsonl" else f"[{','.join(lines)}]"
    got = read(put(folder, f"x.{format}", content), column="text")
    assert [row["n"] for row in got] == ["1", *map(str, HUGE)]
    assert [json.loads(row["in"]) for row in got] == [row["in"] for row in rows]
    assert {row["id"] for row in got} == {"0" * 30}


@pytest.mark.parametrize("format", ["jsonl", "json"])
@pytest.mark.parametrize(
    ("value", "told"),
    [("9" * 5_000, "not JSON: number is infinity"), ("[" * 1_000 + "1" * 20 + "]" * 1_000, "nested deeper than 32")],
    ids=["digits", "depth"],
)
def test_json_that_cannot_be_kept_is_refused(folder: Path, format: str, value: str, told: str) -> None:
    row = f'{{"text": "a", "n": {value}}}'
    path = put(folder, f"x.{format}", row if format == "jsonl" else f"[{row}]")
    with pytest.raises(InputFormatError, match=rf"x\.{format}(, line 1)?(, row 1)?: .*{told}"):
        read(path, column="text")


@FAST
@given(rows=st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), SCALARS), min_size=1, max_size=12))
def test_jsonl_values_come_back_or_are_json(folder: Path, rows: list[dict[str, Any]]) -> None:
    content = b"\n".join(orjson.dumps({"text": "t", **row}) for row in rows)
    for before, after in zip(rows, read(put(folder, "x.jsonl", content), column="text"), strict=True):
        for key in after.keys() - {"text"}:
            same = type(after[key]) is type(before.get(key)) and after[key] == before.get(key)
            number = isinstance(after[key], float) and after[key] == before.get(key)
            assert same or number or orjson.loads(after[key]) == before[key]


def test_jsonl_types_unite(folder: Path) -> None:
    rows = [
        {"text": "a", "n": 1, "mixed": 1, "deep": {"x": [1]}, "map": {}, "none": None, "big": 2**53 + 1},
        {"text": "b", "n": 0.5, "mixed": "z", "deep": {"x": [None, 0.5], "y": "q"}, "map": {"k": 1}, "big": 0.5},
    ]
    content = b"\n".join(map(orjson.dumps, rows))
    with open_source(InputRequest(put(folder, "u.jsonl", content), column="text")) as source:
        kinds = dict(zip(source.schema.names, source.schema.types, strict=True))
        got = [row for table in source.tables(10) for row in table.to_pylist()]
    assert kinds["n"] == pa.float64()
    assert kinds["none"] == pa.string()
    assert kinds["deep"] == pa.struct([("x", pa.list_(pa.float64())), ("y", pa.string())])
    assert [row["mixed"] for row in got] == ["1", '"z"']
    assert [row["big"] for row in got] == ["9007199254740993", "0.5"]
    assert got[1]["deep"] == {"x": [None, 0.5], "y": "q"}


def test_objects_used_as_dictionaries_become_json(folder: Path) -> None:
    content = b"\n".join(orjson.dumps({"text": "a", "votes": {f"user{i}": i}}) for i in range(1_200))
    got = read(put(folder, "m.jsonl", content), column="text")
    assert got[1_199]["votes"] == '{"user1199":1199}'


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"text": NaN}', "line 2: not JSON"),
        ('{"text": "\\ud800"}', "line 2: not JSON"),
        ("[1]", "line 2: a list where an object should be"),
        ('{"text": "a"', "line 2"),
        ('{"x": ' + "[" * 40 + "]" * 40 + "}", "line 2: nested deeper than 32"),
        ('{"x": ' + "[" * 100_000 + "]" * 100_000 + "}", "line 2: not JSON"),
        (b'{"text": "\xff"}', "line 2: the text is not UTF-8"),
    ],
)
def test_jsonl_errors_name_the_line(folder: Path, line: str | bytes, told: str) -> None:
    content = b'{"text": "a"}\n' + (line.encode() if isinstance(line, str) else line)
    with pytest.raises(InputFormatError) as raised:
        read(put(folder, "bad.jsonl", content))
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('["a", "b"]', [{"text": "a"}, {"text": "b"}]),
        ('{"n": [1, 2], "text": ["a", "b"]}', [{"n": 1, "text": "a"}, {"n": 2, "text": "b"}]),
        ('\ufeff[{"text": "a"}, {"n": 1, "text": "b"}]', [{"text": "a", "n": None}, {"text": "b", "n": 1}]),
    ],
)
def test_json_tables(folder: Path, content: str, rows: list[dict[str, Any]]) -> None:
    assert read(put(folder, "t.json", content)) == rows


@pytest.mark.parametrize(
    "content", ['{"a": [1], "b": [1, 2]}', '{"a": 1}', "5", '["a", 1]', '[{"a": 1}, "b"]', "[", b'["\xff"]', ""]
)
def test_json_that_is_no_table(folder: Path, content: str | bytes) -> None:
    with pytest.raises(InputFormatError, match=r"no\.json"):
        read(put(folder, "no.json", content))


def test_broken_gzip(folder: Path) -> None:
    packed = gzip.compress(random.Random(0).randbytes(5_000).hex().encode())
    for broken in (packed[:1_000], packed[:1_000] + b"garbage" + packed[1_007:]):
        with pytest.raises(InputFormatError, match=r"gzip|UTF-8"):
            read(put(folder, "x.txt.gz", broken))


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_truncated_and_damaged_tables(folder: Path, format: str) -> None:
    rng = random.Random(1)
    table = pa.table({"text": [rng.randbytes(20).hex() for _ in range(3_000)], "n": range(3_000)})
    sink = io.BytesIO()
    if format == "parquet":
        pq.write_table(table, sink, row_group_size=500, write_page_checksum=True)
    else:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    whole = sink.getvalue()
    for _ in range(40):
        path = put(folder, f"cut.{format}", whole[: rng.randrange(len(whole))])
        with pytest.raises(InputFormatError, match="cut") as raised:
            read(path)
        assert "\n" not in str(raised.value)
    for _ in range(40):
        at = rng.randrange(len(whole))
        path = put(folder, f"hit.{format}", whole[:at] + rng.randbytes(8) + whole[at + 8 :])
        got, said = attempt(path)
        assert "\n" not in said
        assert said or len(got) == 3_000


@pytest.mark.shared_data
def test_csv_spectrum(shared_data: Path, folder: Path) -> None:
    files = sorted((shared_data / "csv_spectrum" / "csvs").glob("*.csv"))
    assert files
    for path in files:
        expected = json.loads((shared_data / "csv_spectrum" / "json" / f"{path.stem}.json").read_bytes())
        content = path.read_bytes()
        if path.stem.endswith("_crlf"):
            # The copies have lost the line ends that their names promise.
            content = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        reader = DelimitedReader(put(folder, path.name, content), path.name)
        got = [row for table in reader.batches(reader.scan(), "") for row in table.to_pylist()]
        texts = [{key: "" if value is None else str(value) for key, value in row.items()} for row in got]
        assert texts == expected, path.name


@pytest.mark.shared_data
def test_naughty_strings_survive_every_format(shared_data: Path, folder: Path) -> None:
    texts = json.loads((shared_data / "blns" / "blns.json").read_bytes())
    rows = [{"text": text} for text in texts]
    sink = io.StringIO(newline="")
    csv.writer(sink, quoting=csv.QUOTE_ALL).writerows([["text"], *([text] for text in texts)])
    assert read(put(folder, "b.csv", sink.getvalue())) == rows
    assert read(put(folder, "b.jsonl", b"\n".join(map(orjson.dumps, rows)))) == rows
    assert read(put(folder, "b.json", orjson.dumps(texts))) == rows
    one_line = [text for text in texts if "\n" not in text and not text.endswith("\r")]
    assert read(put(folder, "b.txt", "".join(text + "\n" for text in one_line))) == [{"text": t} for t in one_line]
    assert len(read(shared_data / "blns" / "blns.txt")) == (shared_data / "blns" / "blns.txt").read_bytes().count(b"\n")


@pytest.mark.shared_data
def test_json_test_suite(shared_data: Path, folder: Path) -> None:
    files = sorted((shared_data / "json_test_suite" / "test_parsing").glob("*.json"))
    assert len(files) > 300
    for path in files:
        content = path.read_bytes()
        got, said = attempt(put(folder, "suite.json", b'{"text": ["a"], "value": [' + content + b"]}"))
        assert "\n" not in said
        if path.name.startswith("y_"):
            assert not said, path.name
        if path.name.startswith("n_"):
            # Nothing within brackets is an empty list, which differs in length.
            assert said, path.name
        assert said or got[0]["text"] == "a"
        if b"\n" not in content.strip() and path.name.startswith("n_"):
            with pytest.raises((InputFormatError, ColumnError)):
                read(put(folder, "suite.jsonl", b'{"text": "a", "value": ' + content.strip() + b"}"))
