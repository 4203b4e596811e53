"""HTTP on a socket whose other end cannot be trusted: heads that are too long or never end, readers that never read.

Knows one connection; uvicorn's own protocol, which this narrows, has no limit on any of that. What a request asks for
is not looked at.
"""

from asyncio import TimerHandle, Transport
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from embedhub.server.limits import SLOWEST_BYTES_A_SECOND
from embedhub.server.sendfile import CONNECTION, Connection

# What nginx and Apache allow in all, give or take; tokens and trace headers are far shorter.
_HEAD_BYTES = 64 << 10
_HEADERS = 200

_TOO_LONG = 431, "the head of the request is too long"

# Requests sent before the first is answered.
_PIPELINED = 100


_CONNECTION = (b"close", b"keep-alive")


class _RefusedError(Exception):
    """Raised inside the parser, which then stops."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        patience: seconds that a client may take for the head of a request, or pause in reading its answer.

    A connection on which no request is being answered has a deadline, whatever arrives on it meanwhile: for the head
    of the next request, or for the rest of a body that was refused. One whose client does not read its answer is ended
    once nothing, or next to nothing, left for as long.
    """

    def __init__(self, *args: Any, patience: float, **named: Any) -> None:
        super().__init__(*args, **named)
        self.patience = patience
        self._head_bytes = 0
        self._head_waiting = 0
        self._head_open = False
        self._deaf = False
        self._refusal: tuple[int, str] | None = None
        self._deadline: TimerHandle | None = None
        self._stall: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self.patience, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        for timer in (self._deadline, self._stall):
            if timer is not None:
                timer.cancel()
        self._deadline = self._stall = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes, of one request or several or a part of one."""
        if self._deaf or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        request = self.scope if self._head_open else None
        self._parse(data)
        if self._head_open and self.scope is request:
            # The parser shows a header only once it is whole.
            self._head_waiting += len(data)
            if self._head_waiting > _HEAD_BYTES:
                self._refusal = _TOO_LONG
                self.send_400_response("")
        if self._deadline is None and self._is_idle() and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.patience, self._end)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or too much of it, and hang up."""
        self._deaf = True
        if self.transport.is_closing():
            return
        if not self._is_idle() and not self.pipeline and not self.cycle.more_body:
            # Nonsense behind a whole request: that one is still answered.
            self.cycle.keep_alive = False
            return
        if self._is_idle() or not (self.pipeline or self.cycle.response_started):
            status, message = self._refusal or (400, msg)
            head = f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(message)}\r\nconnection: close"
            self.transport.write(STATUS_LINE[status] + f"{head}\r\n\r\n{message}".encode())
        self.transport.close()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._head_bytes = self._head_waiting = 0
        self._head_open = True

    def on_url(self, url: bytes) -> None:
        """A part of its address."""
        self._head_bytes += len(url)
        if self._head_bytes > _HEAD_BYTES:
            self._refuse(_TOO_LONG)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > _HEAD_BYTES or len(self.headers) >= _HEADERS:
            self._refuse(_TOO_LONG)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its head is whole: it will be answered."""
        self._head_open = False
        if len(self.pipeline) >= _PIPELINED:
            self._refuse((429, "too many requests at once on a connection"))
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            connection = Connection(self.transport, self.cycle, self.patience)
            self.scope[CONNECTION] = connection  # type: ignore[literal-required]

    def on_message_complete(self) -> None:
        """Its body is whole."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is answered."""
        super().pause_writing()
        if self._stall is None:
            self._watch_reader()

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_upgrade(data[upgrade.args[0] :])
            except httptools.HttpParserError:
                self.send_400_response("invalid HTTP")
                return
            else:
                return

    def _without_upgrade(self, rest: bytes) -> bytes:
        """The request that asks for another protocol and what follows it, without asking.

        Java's client asks so with every request, for HTTP/2. A server need not agree (RFC 9110, 7.8), but this parser
        takes all that follows for the other protocol: so a fresh one is given the request once more.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self.send_400_response("this is no proxy")
            return b""
        self.parser = httptools.HttpRequestParser(self)
        head = [method + b" " + self.url + b" HTTP/1.1"]
        for name, value in self.headers:
            if name == b"connection":
                value = b", ".join(word for word in value.split(b",") if word.strip().lower() in _CONNECTION)
            if name != b"upgrade" and value:
                head.append(name + b": " + value)
        return b"\r\n".join([*head, b"", b""]) + rest

    def _watch_reader(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(self.patience, self._look_at_reader, waiting)

    def _look_at_reader(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < SLOWEST_BYTES_A_SECOND * self.patience:
            self.transport.abort()
        else:
            self._watch_reader()

    def _refuse(self, refusal: tuple[int, str]) -> None:
        self._refusal = refusal
        raise _RefusedError(refusal[1])

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _end(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()
