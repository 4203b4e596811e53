"""Reading a request's body without trusting it: not too large, not too slow, not a bomb."""

import asyncio
import zlib
from collections.abc import Mapping

from starlette.types import Message, Receive

from embedhub.config import Settings
from embedhub.errors import RequestError, RequestTimeoutError, RequestTooLargeError

_GZIP = 16 + zlib.MAX_WBITS


async def read_body(receive: Receive, headers: Mapping[str, str], config: Settings) -> bytes:
    """The whole body, decompressed.

    Raises:
        RequestTooLargeError: longer than allowed, before or after decompression.
        RequestTimeoutError: nothing came for too long.
        RequestError: an encoding that is not known here, or a body that breaks off.
    """
    limit = config.max_body_mb << 20
    stated = headers.get("content-length", "")
    if stated.isdigit() and int(stated) > limit:
        raise _too_large(config)
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await _next_message(receive, config)
        if message["type"] == "http.disconnect":
            raise RequestError("the body broke off")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(config)
        parts.append(part)
        more = message.get("more_body", False)
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("identity", ""):
        return body
    if encoding not in ("gzip", "deflate"):
        raise RequestError(f"content-encoding {encoding:.40} is not known; use gzip, deflate or none")
    return await asyncio.to_thread(_decompressed, body, _GZIP if encoding == "gzip" else zlib.MAX_WBITS, config)


async def _next_message(receive: Receive, config: Settings) -> Message:
    try:
        async with asyncio.timeout(config.body_seconds):
            return await receive()
    except TimeoutError as error:
        raise RequestTimeoutError(
            f"nothing of the body came for {config.body_seconds} s (EMBEDHUB_BODY_SECONDS)"
        ) from error


def _decompressed(body: bytes, format: int, config: Settings) -> bytes:
    limit = config.max_body_mb << 20
    stream = zlib.decompressobj(format)
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise RequestError(f"the body cannot be decompressed ({error})") from error
    if len(plain) > limit:
        raise _too_large(config)
    if not stream.eof:
        raise RequestError("the compressed body breaks off")
    return plain


def _too_large(config: Settings) -> RequestTooLargeError:
    return RequestTooLargeError(f"the body is larger than {config.max_body_mb} MB (EMBEDHUB_MAX_BODY_MB)")
