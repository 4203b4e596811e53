"""How the server's log looks: lines for people, or an object a line for machines.

Knows that whoever sends a request must not write the log: whatever is not printable is escaped, so one record is one
line (a traceback's lines are indented). Refuses to repeat an exception's own message, which may quote a text, unless
the level is debug.
"""

import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson

from embedhub.config import Settings

# Of the request that is being answered; empty outside of one.
request_id: ContextVar[str] = ContextVar("request_id", default="")

# Attribute of a record that holds the fields of its line, for machines.
FIELDS = "embedhub_fields"

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class _Formatter(logging.Formatter):
    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802, the library's name
        """Where it happened and of what type it was, innermost cause first."""
        lines: list[str] = []
        error = ei[1]
        while error is not None:
            shown = [line for entry in traceback.format_tb(error.__traceback__) for line in entry.splitlines()]
            told = f": {printable(str(error))}" if logging.getLogger("embedhub").isEnabledFor(logging.DEBUG) else ""
            lines = [*map(printable, shown), f"{type(error).__name__}{told}", *lines]
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n".join(f"  {line}" for line in lines)


class HumanFormatter(_Formatter):
    """`2026-11-21 14:05:09.123 INFO message [request id]`."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as a line."""
        time = datetime.fromtimestamp(record.created).astimezone()
        current = request_id.get()
        line = f"{time:%Y-%m-%d %H:%M:%S}.{int(record.msecs):03d} {record.levelname} {printable(record.getMessage())}"
        if current:
            line += f" [{current}]"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(_Formatter):
    """`{"time": …, "level": …, "logger": …, "message": …, "request_id": …}` and the fields of the record."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as a JSON object on one line."""
        shown: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": printable(record.getMessage()),
        }
        current = request_id.get()
        if current:
            shown["request_id"] = current
        shown |= getattr(record, FIELDS, {})
        if record.exc_info:
            shown["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(shown).decode()


def printable(text: str) -> str:
    """The text with everything escaped that is not printable: line ends, colours, what turns the writing direction."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "backslashreplace").decode() for each in text
    )


def start_logging(config: Settings) -> None:
    """Send the process's log to standard error, as the settings say. Libraries are heard from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if config.log_format == "json" else HumanFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("embedhub").setLevel(config.log_level.upper())
