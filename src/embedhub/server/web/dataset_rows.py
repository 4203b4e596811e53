"""The rows of a dataset as a table of pages, each column with what it holds drawn small.

Knows the statistics of `datasets.statistics` and values as `datasets.tables` shows them. Refuses to know files.
"""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from embedhub.errors import DatasetError
from embedhub.server.errors import failure_of
from embedhub.server.hub.cells import encoded
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute
from embedhub.server.web.dataset import ADDRESS, Looked, look, splits_of
from embedhub.server.web.layout import page

_ROWS = 50
_MOST_OFFSET = 999_999_999

# Of more rows the columns are counted while the page is shown already.
_COUNTED_AT_ONCE = 50_000

# Longer texts are opened by who wants to read them.
_SHORT = 240
_BARS = 10
_SHOWN_NUMBERS = 3

_KINDS = {
    "string_text": "text",
    "string_label": "label",
    "int": "whole number",
    "float": "number",
    "bool": "yes or no",
    "list": "list",
}


@dataclass(frozen=True)
class Cell:
    """A value as it is shown.

    Attributes:
        short: its beginning, or all of it.
        rest: all of it, where that is more.
        kind: `text`, `number`, `vector` or `nothing`.
    """

    short: str
    rest: str = ""
    kind: str = "text"


@dataclass(frozen=True)
class Column:
    """What stands above a column.

    Attributes:
        name: its name.
        kind: what it holds, in words.
        bars: heights of the histogram's bars, 0 to 1; empty without one.
        words: what the histogram says, for who does not see it, and beneath it.
        nulls: how many rows hold nothing.
    """

    name: str
    kind: str
    bars: tuple[float, ...] = ()
    words: str = ""
    nulls: int = 0


def rows(exchange: Exchange) -> Response:
    """The page."""
    looked = look(exchange)
    offset = exchange.number("offset", 0, _MOST_OFFSET)
    splits = splits_of(exchange, looked)
    config, split = exchange.query.get("config", ""), exchange.query.get("split", "")
    if not splits:
        return page(exchange, "dataset_rows.html", looked.shown() | {"splits": [], "problem": looked.problem})
    if not config and not split:
        config, split = splits[0]
    try:
        # A page begins where pages do, whichever row was asked for.
        first = offset // _ROWS * _ROWS
        table = exchange.tables.page(looked.repository, looked.commit, config, split, first, _ROWS)
        if first >= table.row_count > 0:
            first = (table.row_count - 1) // _ROWS * _ROWS
            table = exchange.tables.page(looked.repository, looked.commit, config, split, first, _ROWS)
        found = table.rows
        is_counted = table.row_count <= _COUNTED_AT_ONCE or exchange.tables.has_statistics(
            looked.repository, looked.commit, config, split
        )
        columns = _columns(exchange, looked, config, split, table.names, is_counted=is_counted)
    except DatasetError as error:
        return page(
            exchange, "dataset_rows.html", looked.shown() | {"splits": [], "problem": failure_of(error).message}
        )
    chosen = {"config": config, "split": split} if len(splits) > 1 else {}
    count = table.row_count
    shown = {
        "splits": [
            (f"{each} / {name}", looked.link("/rows", config=each, split=name), (each, name) == (config, split))
            for each, name in splits
        ],
        "problem": "",
        "columns": columns,
        "rows": [(first + place, [cell_of(value) for value in row.values()]) for place, (row, _) in enumerate(found)],
        "first": first + 1,
        "last": first + len(found),
        "count": count,
        "previous": looked.link("/rows", offset=max(0, first - _ROWS), **chosen) if first else "",
        "next": looked.link("/rows", offset=first + _ROWS, **chosen) if first + _ROWS < count else "",
        "is_counted": is_counted,
        "statistics": _statistics_address(looked, config, split),
        "config": config,
        "split": split,
        "chosen": chosen,
    }
    return page(exchange, "dataset_rows.html", looked.shown() | shown)


def cell_of(value: Any) -> Cell:
    """A value of a table as it is shown. Pure."""
    if value is None:
        return Cell("nothing", kind="nothing")
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, int | float):
        return Cell(f"{value:.6g}" if isinstance(value, float) else str(value), kind="number")
    if isinstance(value, dict) and set(value) == {"first", "dims"} and isinstance(value["first"], list):
        shown = ", ".join(cell_of(each).short for each in value["first"][:_SHOWN_NUMBERS])
        return Cell(f"{shown}, … ({value['dims']} in all)", kind="vector")
    text = value if isinstance(value, str) else _json(value)
    return Cell(f"{text[:_SHORT]}…", text) if len(text) > _SHORT + 20 else Cell(text)


def column_of(name: str, told: dict[str, Any] | None) -> Column:
    """What stands above a column, from its statistics; None where they are not there yet. Pure."""
    if told is None:
        return Column(name, "")
    kind, numbers = told["column_type"], told["column_statistics"]
    words = _KINDS.get(kind, kind)
    nulls = int(numbers.get("nan_count", 0))
    frequencies, histogram = numbers.get("frequencies"), numbers.get("histogram")
    if frequencies:
        top = sorted(frequencies.items(), key=lambda each: -each[1])[:_BARS]
        said = ", ".join(f"{label[:40]}: {count:,}" for label, count in top[:3])
        more = f" and {len(frequencies) - 3} more" if len(frequencies) > 3 else ""
        return Column(name, words, _heights([count for _, count in top]), said + more, nulls)
    if not histogram:
        return Column(name, words, (), "", nulls)
    low, high = numbers["min"], numbers["max"]
    unit = {"string_text": " characters", "list": " values"}.get(kind, "")
    ends = _number(low) if low == high else f"{_number(low)} to {_number(high)}"
    bars = _heights(histogram["hist"]) if low != high else ()
    return Column(name, words, bars, ends + unit, nulls)


def _columns(
    exchange: Exchange, looked: Looked, config: str, split: str, names: list[str], *, is_counted: bool
) -> list[Column]:
    if not is_counted:
        return [column_of(name, None) for name in names]
    found = exchange.tables.statistics(looked.repository, looked.commit, config, split)
    by_name = {each["column_name"]: each for each in found["statistics"]}
    return [column_of(name, by_name.get(name)) for name in names]


def _statistics_address(looked: Looked, config: str, split: str) -> str:
    asked = {"revision": looked.commit, "config": config, "split": split}
    return f"/api/datasets/{looked.repository.id}/statistics?{urlencode(asked)}"


def _heights(counts: list[int]) -> tuple[float, ...]:
    most = max(counts, default=0)
    return tuple(count / most for count in counts) if most else ()


def _number(value: float) -> str:
    # A year has no comma.
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else f"{value:.4g}"


def _json(value: Any) -> str:
    return json.dumps(json.loads(encoded(value)), ensure_ascii=False)


ROUTES = (HubRoute("GET", f"{ADDRESS}/rows", rows, page=True),)
