"""A part of a file as an answer: by the kernel where the connection lets it, else piece by piece."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from embedhub.server.sendfile import CONNECTION, Connection, has_sendfile, send_file

_PIECE_BYTES = 256 << 10


class FilePart(Response):
    """Bytes of a file.

    Args:
        file: where they are; it may be removed meanwhile.
        first: where they begin.
        end: where they end.
        status: of the answer.
        headers: of the answer, its length among them.
    """

    def __init__(self, file: Path, first: int, end: int, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(None, status, headers)
        self._first = first
        self._end = end
        # Opened at once, so that a file that is not there is an error and no broken answer.
        self._descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            connection: Connection | None = scope.get(CONNECTION)
            if has_sendfile(connection):
                sent = await send_file(connection, self._descriptor, self._first, self._end)
                if sent < self._end - self._first:
                    # The client is gone, or hears the connection end before what was announced.
                    connection.transport.abort()
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    return
                connection.cycle.expected_content_length -= sent
            else:
                await self._in_pieces(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            os.close(self._descriptor)

    async def _in_pieces(self, send: Send) -> None:
        place = self._first
        while place < self._end:
            length = min(_PIECE_BYTES, self._end - place)
            piece = await asyncio.to_thread(os.pread, self._descriptor, length, place)
            if not piece:
                raise OSError("the file became shorter while it was sent")
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            place += len(piece)
