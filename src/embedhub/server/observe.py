"""What is noticed of every request, once for all paths: an id, a line in the log, numbers, a span.

Knows the outside of a request: when it came, what status it got, what the endpoint noted about it in its scope. The
texts, the tokens and the query string it never looks at.
"""

import logging
import random
import re
from time import perf_counter
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from embedhub.server.logs import access, request_id, write_access
from embedhub.server.metrics import Observation, RequestMetrics
from embedhub.server.tracing import Tracer

# The status in the log of a request whose client went away before it was answered, as nginx has it.
_CLIENT_GONE = 499

_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_SHOWN_PATH = 200

# Asked every few seconds by machines: nothing that a person wants to read about.
_QUIET = frozenset({"/health", "/healthz", "/ping", "/metrics"})


class Observed:
    """A layer around an application.

    Args:
        app: what answers.
        metrics: what is counted.
        tracer: sends spans; None does not.
        log_json: whether a request's line in the log is an object.
    """

    def __init__(
        self, app: ASGIApp, metrics: RequestMetrics, tracer: Tracer | None = None, *, log_json: bool = False
    ) -> None:
        self._app = app
        self._log_json = log_json
        self._metrics = metrics
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and notice it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        own_id = _request_id(scope["headers"])
        scope["embedhub.request_id"] = own_id
        request_id.set(own_id)
        status = _CLIENT_GONE

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", own_id.encode())]
            await send(message)

        self._metrics.in_flight += 1
        span = self._tracer.start(scope) if self._tracer is not None else None
        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            status = 500
            raise
        finally:
            self._metrics.in_flight -= 1
            seen = _observation(scope, status, perf_counter() - started)
            self._metrics.count(seen)
            if span is not None:
                span.end(seen)
            level = logging.DEBUG if seen.route in _QUIET and status < 400 else logging.INFO
            if access.isEnabledFor(level):
                _line(level, scope, seen, as_json=self._log_json)


def _request_id(headers: list[tuple[bytes, bytes]]) -> str:
    # Clients of the Hugging Face Hub call theirs by the second name, and look for it in what is answered.
    for wanted in (b"x-request-id", b"x-amzn-trace-id"):
        for name, value in headers:
            if name == wanted and _SANE_ID.fullmatch(value):
                return value.decode()
    # Tells requests apart; it is no secret.
    return f"{random.getrandbits(64):016x}"


def _observation(scope: Scope, status: int, seconds: float) -> Observation:
    endpoint = scope.get("embedhub.endpoint")
    reply = scope.get("embedhub.reply")
    answer = reply.answer if reply is not None else None
    code = scope.get("embedhub.error", "")
    if reply is not None and status >= 400:
        code = reply.headers.get("x-error-code", "")
    return Observation(
        scope["method"],
        endpoint.path if endpoint is not None else "",
        endpoint.dialect if endpoint is not None else "",
        status,
        seconds,
        code,
        answer,
        len(answer.tokens) if answer is not None else 0,
        answer.read_tokens if answer is not None else 0,
    )


def _line(level: int, scope: Scope, seen: Observation, *, as_json: bool) -> None:
    # An address that opens something by itself is not for the log.
    path = scope.get("embedhub.shown_path", scope["path"])
    if len(path) > _SHOWN_PATH or not path.isascii() or not path.isprintable() or " " in path:
        path = quote(path[:_SHOWN_PATH], safe="/:@!$&'()*+,;=-._~", errors="replace")
    fields: dict[str, Any] = {
        "method": seen.method,
        "path": path,
        "status": seen.status,
        "ms": round(seen.seconds * 1000, 1),
    }
    if seen.answer is not None:
        fields["texts"] = seen.texts
        fields["tokens"] = seen.tokens
    user = scope.get("embedhub.user")
    if user:
        fields["user"] = quote(user)
    if seen.code:
        fields["error"] = seen.code
    write_access(level, fields, scope["embedhub.request_id"], as_json=as_json)
