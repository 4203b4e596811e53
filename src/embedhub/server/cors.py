"""Lets web pages of other origins use the server, as browsers ask for it; which ones, `auth` says.

Source of the protocol: the Fetch standard, and Private Network Access. No cookies: a page brings its token itself.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from embedhub.server.auth import Gate

_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

_ASKED_SECONDS = b"600"


class Cors:
    """Answers browsers that ask first, and adds to other answers what makes a browser show them to their page.

    Args:
        app: the application around which this is put.
        gate: knows which origins may ask.
    """

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin: bytes | None = None
        host = b""
        asks_first = False
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value
            elif name == b"host":
                host = value
            elif name == b"access-control-request-method":
                asks_first = scope["method"] == "OPTIONS"
        if origin is None:
            await self._app(scope, receive, send)
            return
        granted = self._granted(origin, host)
        if asks_first:
            await _answer_options(scope, send, granted)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *granted]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _granted(self, origin: bytes, host: bytes) -> list[tuple[bytes, bytes]]:
        """Headers that let the page read the answer; none if it may not."""
        # What is granted depends on who asks, which caches must know.
        headers = [(b"vary", b"Origin")]
        if self._gate.may_use(origin.decode("latin-1"), host.decode("latin-1")):
            headers += [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", b"*")]
        return headers


async def _answer_options(scope: Scope, send: Send, granted: list[tuple[bytes, bytes]]) -> None:
    asked = dict(scope["headers"])
    headers = list(granted)
    if len(granted) > 1:
        headers += [
            (b"access-control-allow-methods", _METHODS),
            # `*` would not cover Authorization.
            (b"access-control-allow-headers", asked.get(b"access-control-request-headers", b"authorization")),
            (b"access-control-max-age", _ASKED_SECONDS),
        ]
        if asked.get(b"access-control-request-private-network") == b"true":
            headers.append((b"access-control-allow-private-network", b"true"))
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
