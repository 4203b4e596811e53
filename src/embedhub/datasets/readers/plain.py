"""Plain text: a text a line.

Knows that every line is a row, an empty one too, so that row n is line n. Refuses to know paragraphs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from embedhub.datasets.readers.opening import lines
from embedhub.datasets.readers.scan import Scan, ScannedColumn, in_batches

TEXT_COLUMN = "text"


@dataclass(frozen=True)
class PlainReader:
    """Reads a text file."""

    path: Path
    name: str

    def scan(self) -> Scan:
        """See `Reader.scan`."""
        rows = sum(1 for _ in lines(self.path, self.name))
        return Scan(rows, (ScannedColumn(TEXT_COLUMN, pa.string(), texts=rows, non_texts=0),))

    def batches(self, scan: Scan, text_column: str) -> Iterator[Any]:
        """See `Reader.batches`."""
        del scan
        for batch in in_batches(lines(self.path, self.name)):
            yield pa.table({text_column: pa.array([line for _, line in batch], pa.string())})
