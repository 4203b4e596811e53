"""Values of tables as JSON. Pure."""

import base64
from typing import Any

import orjson


def encoded(content: Any) -> bytes:
    """JSON of what may hold values of any column: bytes as base64, what JSON has no form for as text."""
    return orjson.dumps(content, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)
