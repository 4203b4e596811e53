"""How the server's log looks: lines for people, or an object a line for machines.

Knows that whoever sends a request must not write the log: whatever is not printable is escaped, so one record is one
line (a traceback's lines are indented). Refuses to repeat an exception's own message, which may quote a text, unless
the level is debug.
"""

import logging
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from time import time
from types import TracebackType
from typing import Any

import orjson

from embedhub.config import Settings

# Of the request that is being answered; empty outside of one.
request_id: ContextVar[str] = ContextVar("request_id", default="")

# Of requests. They do not take the library's way, which costs more than all else that is noticed of a request.
access = logging.getLogger("embedhub.access")

# Fields of a request that stand in its line without their names.
_PLACED = ("method", "path", "status", "ms")

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
        current = request_id.get()
        line = f"{_local_time(record.created)} {record.levelname} {printable(record.getMessage())}"
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
            "time": _world_time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": printable(record.getMessage()),
        }
        current = request_id.get()
        if current:
            shown["request_id"] = current
        if record.exc_info:
            shown["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(shown).decode()


def write_access(level: int, fields: Mapping[str, Any], id: str, *, as_json: bool) -> None:
    """Write the line of a request.

    Args:
        level: of the line.
        fields: what the line says, without anything that is not printable: its values stand there as they are.
        id: the request's.
        as_json: an object instead of a line for people.
    """
    name = logging.getLevelName(level)
    now = time()
    if as_json:
        head = {"time": _world_time(now), "level": name.lower(), "logger": access.name, "message": "request"}
        line = orjson.dumps(head | {"request_id": id, **fields}).decode()
    else:
        said = " ".join([f"{key}={value}" for key, value in fields.items() if key not in _PLACED])
        method, path, status, milliseconds = (fields[key] for key in _PLACED)
        line = f"{_local_time(now)} {name} {method} {path} {status} {milliseconds}ms {said}{' ' if said else ''}[{id}]"
    sys.stderr.write(line + "\n")


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second).strftime("%Y-%m-%d %H:%M:%S")


def _local_time(moment: float) -> str:
    second = int(moment)
    return f"{_second(second)}.{int((moment - second) * 1000):03d}"


def _world_time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


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
