"""Which column holds the texts.

Knows names and types of columns. Refuses to guess: where two columns would do, the user chooses, and is at most told
which one looks like it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from embedhub.datasets.readers.scan import Scan, ScannedColumn
from embedhub.errors import ColumnError

EMBEDDING_COLUMN = "embedding"

_LISTED = 20


def choose_text_column(scan: Scan, wanted: str | None, name: str) -> ScannedColumn:
    """The column with the texts.

    A column counts as one of texts if any of its values is a text, so that a single number among texts is
    reported as such and does not silently make another column the chosen one.

    Args:
        scan: the input's columns.
        wanted: the name the user gave, if any.
        name: what the user calls the input, for messages.

    Raises:
        ColumnError: no such column, none or several with texts, or one that is called like the vectors'
            column.
    """
    if wanted is not None:
        _refuse_vectors(scan, name)
        return _named(scan, wanted, name)
    candidates = _candidates(scan, name)
    if len(candidates) == 1:
        return candidates[0]
    raise ColumnError(f"{name}: several columns hold texts: {_listed(candidates)}; choose with --column")


def suggest_text_column(scan: Scan, rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """The column that a person is likely to choose: the one with the longest texts.

    Args:
        scan: the input's columns.
        rows: its first rows.
        name: what the user calls the input, for messages.

    Raises:
        ColumnError: none holds texts, or one is called like the vectors' column.
    """

    def characters(column: ScannedColumn) -> int:
        values = (row.get(column.name) for row in rows)
        return sum(len(value) for value in values if isinstance(value, str))

    return max(_candidates(scan, name), key=characters).name


def _candidates(scan: Scan, name: str) -> list[ScannedColumn]:
    _refuse_vectors(scan, name)
    found = [column for column in scan.columns if column.texts]
    if not found:
        raise ColumnError(f"{name}: no column holds texts: {_listed(scan.columns)}")
    return found


def _refuse_vectors(scan: Scan, name: str) -> None:
    if scan.column(EMBEDDING_COLUMN) is not None:
        raise ColumnError(
            f"{name} has a column {EMBEDDING_COLUMN!r}, which is the name of the vectors' column: rename it"
        )


def _named(scan: Scan, wanted: str, name: str) -> ScannedColumn:
    column = scan.column(wanted)
    if column is None:
        raise ColumnError(f"{name} has no column {wanted!r}; there is {_listed(scan.columns)}")
    if not column.texts and not _empty(column):
        raise ColumnError(f"{name}: column {wanted!r} holds {_words(column.type)}, no texts; {_listed(scan.columns)}")
    return column


def _empty(column: ScannedColumn) -> bool:
    return bool(column.type == pa.string()) and not column.as_json


def _words(kind: Any) -> str:
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return f"numbers ({kind})"
    return f"values of type {kind}"


def _listed(columns: Sequence[ScannedColumn]) -> str:
    shown = ", ".join(f"{column.name!r} ({column.type})" for column in columns[:_LISTED])
    hidden = len(columns) - _LISTED
    return f"{shown} and {hidden} more" if hidden > 0 else shown
