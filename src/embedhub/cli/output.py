"""How things look on a terminal and in a pipe: results on standard output, everything else on standard error."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    # Not when it runs: what prints a line about a token needs no Parquet.
    from embedhub.datasets import Progress as EmbeddingProgress

# A pipe has no width: what goes into one is not wrapped.
RESULTS = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)
MESSAGES = Console(stderr=True, highlight=False, soft_wrap=True)

# Seconds between two lines of progress where there is no terminal.
_LINE_EVERY = 5.0


def print_json(value: Any) -> None:
    """One JSON value on standard output, indented."""
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str) + b"\n")
    sys.stdout.buffer.flush()


def say(message: str) -> None:
    """A line for people, on standard error."""
    MESSAGES.print(message, markup=False)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    RESULTS.print(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """Names and values, one a line, on standard output."""
    width = max(map(len, fields), default=0)
    for name, value in fields.items():
        RESULTS.print(f"{name:<{width}}  {value}", markup=False)


class EmbeddingBar:
    """Rows, texts/s, tokens/s and the time left: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._last_line = self._started
        self._bar: Progress | None = None
        if MESSAGES.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
            self._bar = Progress(*columns, TextColumn("{task.fields[speed]}"), TimeRemainingColumn(), console=MESSAGES)
            self._task = self._bar.add_task("Embedding", total=None, speed="")

    def restart(self) -> None:
        """Begin to count time now: what was before, such as loading a model, is no embedding."""
        self._started = time.monotonic()

    def __call__(self, progress: "EmbeddingProgress") -> None:
        """Show how far it is."""
        now = time.monotonic()
        elapsed = max(now - self._started, 1e-9)
        speed = f"{progress.texts_embedded / elapsed:,.0f} texts/s, {progress.tokens / elapsed:,.0f} tokens/s"
        if self._bar is not None:
            rows = f"Embedding {progress.rows_done:,}/{progress.rows_total:,} rows"
            self._bar.update(
                self._task, total=progress.rows_total, completed=progress.rows_done, description=rows, speed=speed
            )
        elif now - self._last_line >= _LINE_EVERY:
            self._last_line = now
            left = elapsed / max(progress.rows_done, 1) * (progress.rows_total - progress.rows_done)
            say(f"{progress.rows_done:,}/{progress.rows_total:,} rows, {speed}, {left:,.0f} s left")

    @contextmanager
    def shown(self) -> Iterator["EmbeddingBar"]:
        """Show the bar while the block runs."""
        if self._bar is None:
            yield self
        else:
            with self._bar:
                yield self


class IndexBar:
    """How far a search index is that is being built: a bar on a terminal, a line now and then elsewhere.

    Shows nothing where there is one already.
    """

    def __init__(self) -> None:
        self._last_line: float | None = None
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
        self._bar = Progress(*columns, TimeRemainingColumn(), console=MESSAGES, transient=True)
        self._task = self._bar.add_task("Building the search index, once", total=None)

    def __call__(self, done: int, total: int) -> None:
        """Show how far it is."""
        now = time.monotonic()
        if MESSAGES.is_terminal:
            self._bar.start()
            self._bar.update(self._task, completed=done, total=total)
        elif self._last_line is None or now - self._last_line >= _LINE_EVERY:
            self._last_line = now
            say(f"building the search index, once: {done:,}/{total:,} rows")

    @contextmanager
    def shown(self) -> Iterator["IndexBar"]:
        """Take the bar away when the block ends."""
        try:
            yield self
        finally:
            if self._bar.live.is_started:
                self._bar.stop()
