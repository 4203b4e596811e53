"""Every format, compressed or not, says the same of the same rows; and what is wrong is said at once."""

import gzip
import io
import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedhub.datasets import FORMATS, InputRequest, open_source
from embedhub.errors import (
    ColumnError,
    DatasetError,
    EmptyInputError,
    InputFormatError,
    InputNotFoundError,
    SettingError,
    StorageFullError,
    TextTypeError,
)

ROWS = [{"id": 1, "text": "eins"}, {"id": 2, "text": 'zw"ei,\tü'}, {"id": 3, "text": ""}]


def encode(rows: list[dict[str, Any]], format: str) -> bytes:
    """The rows as a file of a format; txt keeps the texts alone."""
    table = pa.Table.from_pylist(rows)
    sink = io.BytesIO()
    if format in ("csv", "tsv"):
        mark = "," if format == "csv" else "\t"
        cells = [list(rows[0])] + [[str(cell) for cell in row.values()] for row in rows]
        quoted = [mark.join('"' + cell.replace('"', '""') + '"' for cell in line) for line in cells]
        return "\n".join(quoted).encode()
    if format == "jsonl":
        return b"\n".join(json.dumps(row).encode() for row in rows)
    if format == "json":
        return json.dumps(rows).encode()
    if format == "txt":
        return "\n".join(row["text"] for row in rows).encode() + b"\n"
    if format == "parquet":
        pq.write_table(table, sink)
    else:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


def read(path: str | Path, rows: int = 2, **said: Any) -> list[dict[str, Any]]:
    with open_source(InputRequest(path, **said)) as source:
        tables = list(source.tables(rows))
        assert [table.num_rows for table in tables[:-1]] == [rows] * (len(tables) - 1)
        assert sum(table.num_rows for table in tables) == source.rows
        return [row for table in tables for row in table.to_pylist()]


def expected(format: str) -> list[dict[str, Any]]:
    return [{"text": row["text"]} for row in ROWS] if format == "txt" else ROWS


@pytest.fixture
def written(tmp_path: Path) -> Callable[[bytes | str, str], Path]:
    def write(content: bytes | str, name: str) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


Written = Callable[[bytes | str, str], Path]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("packed", [False, True])
def test_formats_agree(written: Written, format: str, packed: bool) -> None:
    content = encode(ROWS, format)
    path = written(gzip.compress(content), f"x.{format}.gz") if packed else written(content, f"x.{format}")
    assert read(path) == expected(format)
    with open_source(InputRequest(path)) as source:
        assert (source.format, source.text_column, source.rows) == (format, "text", 3)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("format", [name for name in FORMATS if name not in ("csv", "tsv")])
def test_standard_input_is_recognised(monkeypatch: pytest.MonkeyPatch, format: str, packed: bool) -> None:
    content = encode(ROWS, format)
    stream = io.TextIOWrapper(io.BytesIO(gzip.compress(content) if packed else content))
    monkeypatch.setattr(sys, "stdin", stream)
    assert read("-") == expected(format)


def test_standard_input_of_a_given_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode(ROWS, "csv"))))
    assert read("-", format="csv") == ROWS


def test_arrow_stream_without_and_with_its_ending(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = io.BytesIO()
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert read(written(sink.getvalue(), "x.arrow")) == ROWS
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(sink.getvalue())))
    assert read("-") == ROWS


def test_pipe_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(encode(ROWS, "jsonl")))
    writer.start()
    assert read(pipe) == ROWS
    writer.join()


def test_spooled_copy_goes_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\nb\n")))
    with open_source(InputRequest("-"), spool=tmp_path) as source:
        assert source.rows == 2
        assert not list(tmp_path.iterdir()), "a process that is killed would leave it behind"
        assert [row["text"] for table in source.tables(9) for row in table.to_pylist()] == ["a", "b"]
    assert not list(tmp_path.iterdir())


def test_what_was_assumed_of_standard_input_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "embedhub")
    for format, said in ((None, ["standard input is read as jsonl; --format says otherwise"]), ("jsonl", [])):
        caplog.clear()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode(ROWS, "jsonl"))))
        assert read("-", format=format) == ROWS
        assert caplog.messages == said


def test_a_folder_for_copies_that_is_full_or_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\n")))
    with pytest.raises(DatasetError, match="nowhere"), open_source(InputRequest("-"), spool=tmp_path / "nowhere"):
        pass
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: full)
        with pytest.raises(StorageFullError, match="no space left"), open_source(InputRequest("-"), spool=tmp_path):
            pass


@pytest.mark.parametrize(("mark", "typed"), [(";", "';'"), ("\t", r"'\\t'"), ("|", r"'\|'")])
def test_another_delimiter_is_named_and_can_be_said(written: Written, mark: str, typed: str) -> None:
    path = written(f"id{mark}text\n1{mark}a, b\n2{mark}c\n", "x.csv")
    with pytest.raises(InputFormatError, match=rf"x\.csv: .* --delimiter {typed} if"):
        read(path)
    rows = [{"id": 1, "text": "a, b"}, {"id": 2, "text": "c"}]
    assert read(path, delimiter=mark) == rows
    assert mark != "\t" or read(path, delimiter="\\t") == rows


def test_a_header_with_a_semicolon_may_be_one_column(written: Written) -> None:
    path = written("who; what\na\n", "x.csv")
    assert read(path, delimiter=",") == [{"who; what": "a"}]


@pytest.mark.parametrize(("name", "delimiter"), [("x.csv", ""), ("x.csv", ";;"), ("x.csv", '"'), ("x.tsv", ";")])
def test_impossible_delimiters(written: Written, name: str, delimiter: str) -> None:
    path = written("a;text\n1;b\n", name)
    with pytest.raises(SettingError, match="delimiter"), open_source(InputRequest(path, delimiter=delimiter)):
        pass


@pytest.mark.parametrize(
    "kind",
    [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
    ids=["large", "view", "dictionary"],
)
@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_texts_of_every_arrow_type(written: Written, kind: Any, format: str) -> None:
    table = pa.table({"text": pa.array(["a", "b", "a"]).cast(kind)})
    sink = io.BytesIO()
    if format == "parquet":
        pq.write_table(table, sink)
    else:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    path = written(sink.getvalue(), f"x.{format}")
    with open_source(InputRequest(path)) as source:
        assert source.schema.field("text").type == pa.string()
    assert read(path) == [{"text": "a"}, {"text": "b"}, {"text": "a"}]


@pytest.mark.parametrize(
    ("content", "column", "told"),
    [
        ("id,n\n1,2\n", None, "no column holds texts: 'id' (int64), 'n' (int64)"),
        ("a,b\nx,y\n", None, "several columns hold texts: 'a' (string), 'b' (string)"),
        ("a,b\nx,y\n", "c", "no column 'c'; there is 'a' (string), 'b' (string)"),
        ("a,b\nx,1\n", "b", "column 'b' holds numbers (int64), no texts"),
        ("a,embedding\nx,1\n", None, "rename it"),
    ],
)
def test_column_is_not_guessed(written: Written, content: str, column: str | None, told: str) -> None:
    with (
        open_source(InputRequest(written(content, "x.csv"), column=column)) as source,
        pytest.raises(ColumnError) as raised,
    ):
        _ = source.text_column
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_one_number_does_not_move_the_choice_to_another_column(written: Written) -> None:
    path = written('{"text": "a", "kind": "x"}\n{"text": 5, "kind": "y"}\n', "x.jsonl")
    with open_source(InputRequest(path)) as source, pytest.raises(ColumnError, match="several"):
        _ = source.text_column


NON_TEXTS = '{"text": "a"}\n\n{"text": 5}\n{"text": null}\n{"id": 7}\n{"text": "b"}\n'


def test_non_text_fails_naming_row_and_line(written: Written) -> None:
    with (
        open_source(InputRequest(written(NON_TEXTS, "x.jsonl"))) as source,
        pytest.raises(TextTypeError, match=r"row 2 \(line 3\): a number .* \(3 such rows\)"),
    ):
        _ = source.text_column


def test_non_text_skipped(written: Written) -> None:
    path = written(NON_TEXTS, "x.jsonl")
    assert [row["text"] for row in read(path, on_error="skip")] == ["a", "b"]
    with open_source(InputRequest(path, on_error="skip")) as source:
        assert (source.rows, source.skipped) == (2, 3)


def test_non_text_kept_as_null(written: Written) -> None:
    path = written(NON_TEXTS, "x.jsonl")
    assert [row["text"] for row in read(path, on_error="null")] == ["a", None, None, None, "b"]
    with open_source(InputRequest(path, on_error="null")) as source:
        assert (source.rows, source.skipped, source.non_texts) == (5, 0, 3)


def test_null_in_parquet_names_its_row(written: Written) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"] * 1500 + [None, "b", None]}), sink)
    with (
        open_source(InputRequest(written(sink.getvalue(), "x.parquet"))) as source,
        pytest.raises(TextTypeError, match=r"row 1501: null .* \(2 such rows\)"),
    ):
        _ = source.text_column


def test_a_key_that_comes_late_was_null_before(written: Written) -> None:
    with (
        open_source(InputRequest(written('{"id": 1}\n{"text": "a"}\n', "x.jsonl"))) as source,
        pytest.raises(TextTypeError, match="row 1: null"),
    ):
        _ = source.text_column


def test_everything_skipped_is_empty(written: Written) -> None:
    request = InputRequest(written('{"text": null}\n', "x.jsonl"), column="text", on_error="skip")
    with open_source(request) as source, pytest.raises(EmptyInputError):
        _ = source.text_column


@pytest.mark.parametrize(
    ("content", "name"),
    [("", "x.csv"), ("id,text\n", "x.csv"), ("", "x.jsonl"), ("\n\n", "x.jsonl"), ("", "x.txt"), ("[]", "x.json")],
)
def test_empty(written: Written, content: str, name: str) -> None:
    with open_source(InputRequest(written(content, name))) as source, pytest.raises(EmptyInputError):
        _ = source.scan


def test_not_found_folder_and_unknown_formats(tmp_path: Path, written: Written) -> None:
    for path, error in [
        (tmp_path / "nowhere.csv", InputNotFoundError),
        (tmp_path, InputFormatError),
        (written("x", "x.xlsx"), InputFormatError),
    ]:
        with pytest.raises(error), open_source(InputRequest(path)):
            pass
    with pytest.raises(InputFormatError, match="known are csv"), open_source(InputRequest("x.csv", format="xls")):
        pass


def test_column_that_parquet_cannot_hold(written: Written) -> None:
    interval = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    table = pa.table({"text": ["a"], "span": interval})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with (
        open_source(InputRequest(written(sink.getvalue(), "x.arrow"))) as source,
        pytest.raises(InputFormatError, match="Parquet"),
    ):
        _ = source.schema


def test_changed_while_read(written: Written) -> None:
    path = written("a\nb\n", "x.txt")
    with open_source(InputRequest(path)) as source:
        assert source.rows == 2
        path.write_text("a\nb\nc\n")
        with pytest.raises(InputFormatError, match="changed"):
            list(source.tables(10))
