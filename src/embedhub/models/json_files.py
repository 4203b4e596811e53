"""JSON written by strangers: every way in which it can be wrong becomes one line.

Knows files, sizes and kinds of values. Refuses to know what a file is for.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedhub.errors import ModelError, ModelIntegrityError

# The largest real ones are indexes of sharded weights, below 10 MB.
_LARGEST_BYTES = 64 << 20


def read_object(path: Path, *, required: bool = False) -> dict[str, Any]:
    """The JSON object in a file; empty when there is no such file.

    Raises:
        ModelIntegrityError: the file is broken, holds something else, or is required and missing.
    """
    if not path.is_file():
        if required:
            raise ModelIntegrityError(f"{path} is missing: the folder holds no complete model")
        return {}
    found = _parse(path)
    if not isinstance(found, dict):
        raise ModelIntegrityError(f"{path}: not a JSON object")
    return found


def read_objects(path: Path) -> list[dict[str, Any]]:
    """The JSON list of objects in a file; empty when there is no such file.

    Raises:
        ModelIntegrityError: the file is broken or holds something else.
    """
    if not path.is_file():
        return []
    found = _parse(path)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ModelIntegrityError(f"{path}: not a JSON list of objects")
    return found


def whole_number(content: Mapping[str, Any], key: str, path: Path, *, low: int, high: int) -> int | None:
    """The whole number under a key, or None when there is none.

    Raises:
        ModelIntegrityError: something else, or a number out of range.
    """
    value = content.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or not low <= value <= high:
        raise ModelIntegrityError(f"{path}: {key} is {_shown(value)}, not a whole number from {low} to {high}")
    if int(value) != value:
        raise ModelIntegrityError(f"{path}: {key} is {_shown(value)}, not a whole number")
    return int(value)


def text(content: Mapping[str, Any], key: str, path: Path) -> str | None:
    """The string under a key, or None when there is none.

    Raises:
        ModelIntegrityError: something else.
    """
    value = content.get(key)
    if value is not None and not isinstance(value, str):
        raise ModelIntegrityError(f"{path}: {key} is {_shown(value)}, not a text")
    return value


def yes_or_no(content: Mapping[str, Any], key: str, path: Path, *, default: bool) -> bool:
    """The boolean under a key.

    Raises:
        ModelIntegrityError: something else.
    """
    value = content.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ModelIntegrityError(f"{path}: {key} is {_shown(value)}, not true or false")
    return value


def _parse(path: Path) -> Any:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ModelIntegrityError(f"{path}: larger than {_LARGEST_BYTES >> 20} MB")
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelIntegrityError(f"{path}: not valid JSON ({error})") from error
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        # May be nested deeper than can be printed.
        return f"a {type(value).__name__}"
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
