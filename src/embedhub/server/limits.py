"""Reading a request's body without trusting it: not too large, not too slow, not a bomb, not too many at once."""

import asyncio
import zlib
from collections.abc import Mapping
from time import monotonic

from starlette.types import Receive

from embedhub.config import Settings
from embedhub.errors import OverloadedError, RequestError, RequestTimeoutError, RequestTooLargeError

_FORMATS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}

# Bytes a second that a client must manage beyond its pauses: a modem does.
SLOWEST_BYTES_A_SECOND = 4096

# All bodies together take so many times what one may take.
_BODIES_AT_ONCE = 8

# Parts of a gzip body, each compressed by itself.
_MEMBERS = 100

_PIECE = 1 << 20


class Bodies:
    """The bodies of the requests that are being answered.

    Args:
        config: the settings.
    """

    def __init__(self, config: Settings) -> None:
        self._limit = config.max_body_mb << 20
        self._patience = config.body_seconds
        self._config = config
        self.held = 0

    async def read(self, receive: Receive, headers: Mapping[str, str]) -> bytes:
        """The whole body, decompressed. It is to be given to `release` when its request is answered.

        Raises:
            RequestTooLargeError: longer than allowed, before or after decompression.
            RequestTimeoutError: nothing came for too long, or too little.
            RequestError: an encoding that is not known here, or a body that breaks off.
            OverloadedError: too much is being read for others.
        """
        stated = headers.get("content-length", "")
        if stated.isdigit() and int(stated) > self._limit:
            raise self._too_large()
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "", *_FORMATS):
            raise RequestError(f"content-encoding {encoding:.40} is not known; use gzip, deflate or none")
        body = await self._received(receive)
        if encoding in _FORMATS:
            # In a thread: a bomb takes a moment. While it does, the compressed bytes stay counted.
            try:
                plain = await asyncio.to_thread(self._decompressed, body, _FORMATS[encoding])
            finally:
                self.release(body)
            self._hold(len(plain))
            return plain
        return body

    def release(self, body: bytes) -> None:
        """The body's request is answered."""
        self.held -= len(body)

    async def _received(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        started = monotonic()
        try:
            while True:
                left = float(self._patience)
                if size:
                    left = min(left, started + self._patience + size / SLOWEST_BYTES_A_SECOND - monotonic())
                try:
                    async with asyncio.timeout(left):
                        message = await receive()
                except TimeoutError as error:
                    raise RequestTimeoutError(
                        f"the body came too slowly: {self._patience} s without a byte, or fewer than "
                        f"{SLOWEST_BYTES_A_SECOND} bytes a second (EMBEDHUB_BODY_SECONDS)"
                    ) from error
                if message["type"] == "http.disconnect":
                    raise RequestError("the body broke off")
                part = message.get("body", b"")
                if size + len(part) > self._limit:
                    raise self._too_large()
                self._hold(len(part))
                size += len(part)
                parts.append(part)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
        except BaseException:
            self.held -= size
            raise

    def _hold(self, size: int) -> None:
        # One body is always let in, whatever its size.
        if self.held and self.held + size > self._limit * _BODIES_AT_ONCE:
            raise OverloadedError("too many large requests at once; try again in a moment", retry_after=1)
        self.held += size

    def _decompressed(self, body: bytes, format: int) -> bytes:
        """Every member of the body, one behind the other, as RFC 1952 has it."""
        parts: list[bytes] = []
        size = 0
        rest = body
        # Each member costs a copy of what is behind it.
        for _ in range(_MEMBERS):
            stream = zlib.decompressobj(format)
            while not stream.eof:
                try:
                    part = stream.decompress(rest, _PIECE)
                except zlib.error as error:
                    raise RequestError(f"the body cannot be decompressed ({error})") from error
                rest = stream.unused_data if stream.eof else stream.unconsumed_tail
                size += len(part)
                if size > self._limit:
                    raise self._too_large()
                parts.append(part)
                if not part and not rest and not stream.eof:
                    raise RequestError("the compressed body breaks off")
            # Zeros behind the last member fill a block.
            if not rest.lstrip(b"\0"):
                return b"".join(parts)
        raise RequestError(f"the compressed body has more than {_MEMBERS} parts; compress it as one")

    def _too_large(self) -> RequestTooLargeError:
        megabytes = self._config.max_body_mb
        return RequestTooLargeError(f"the body is larger than {megabytes} MB (EMBEDHUB_MAX_BODY_MB)")
