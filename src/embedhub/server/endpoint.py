"""What a dialect declares: a path, the types of its bodies, and a function from a call to a reply.

Knows the life of one request, once for all dialects: identity, body, answer, error, headers. A dialect neither sees
sockets nor catches errors: it raises, and says how an error's body looks in its accent.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import msgspec
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from embedhub.errors import (
    EmbedhubError,
    ModelError,
    ModelNotFoundError,
    RequestError,
    RequestTooLargeError,
    ShuttingDownError,
)
from embedhub.runtime.answers import Answer, Caller
from embedhub.runtime.service import Service
from embedhub.server.auth import Gate, Identity
from embedhub.server.errors import Failure, failure_of
from embedhub.server.headers import answer_headers, request_headers
from embedhub.server.json_size import json_size, most_json_size
from embedhub.server.limits import Bodies

logger = logging.getLogger(__name__)

Type = TypeVar("Type")

Headers = Mapping[str, str]

Services = Callable[[Identity], Service]
"""The service as somebody sees it: with the models that they may use."""

# A client that hangs up is looked for once an answer takes longer than this; most are quicker.
_WATCH_AFTER_SECONDS = 0.2

# Shorter bodies are decoded in less time than a thread takes to begin.
_LARGE_BODY = 1 << 16

# Lists, objects and values that a body may hold for each text that is allowed: a text may come as a pair or an object
# with a few fields. Token ids are values too.
_CONTAINERS_OF_A_TEXT = 2
_VALUES_OF_A_TEXT = 25
_ALWAYS_ALLOWED = 500_000

# An answer to more texts, or of more tokens, is written in a thread.
_MANY_TEXTS = 100
_MANY_TOKENS = 500

# What a client writes that cut a text within an emoji. At most so many bytes from the end the decoder does not know it
# from a body that breaks off.
_PAIR_BYTES = 12
_HALF_A_PAIR = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)


@dataclass(slots=True)
class Call:
    """A request as a dialect sees it.

    Attributes:
        service: answers task requests.
        path: parameters of the path.
        query: the query string.
        headers: by lower-case name; of several of one name, the last.
        body: as sent, decompressed.
        identity: whose token it brought.
        client: whose turn it is in the queue.
        charge: counts tokens against what the client may use; see `Caller`.
    """

    service: Service
    path: Mapping[str, Any]
    query: bytes
    headers: Headers
    body: bytes
    identity: Identity
    client: str
    charge: Callable[[int], None] = lambda tokens: None

    def json(self, type: type[Type] | Any) -> Any:
        """The body as that type.

        Raises:
            RequestError: it is no JSON, or another type; the message names the place.
        """
        try:
            return msgspec.json.decode(self.body, type=type)
        except msgspec.MsgspecError as error:
            if not isinstance(error, msgspec.ValidationError) and self._has_half_a_pair(f"{error}"):
                raise RequestError(
                    "the body has half a surrogate pair, such as \\ud83d without its second half, which is no character"
                ) from error
            raise RequestError(f"{error}") from error
        except UnicodeDecodeError as error:
            raise RequestError(f"the body is not UTF-8 ({error.reason} at byte {error.start})") from error
        except RecursionError as error:
            raise RequestError("the body is nested too deeply") from error

    async def read(self, type: type[Type] | Any) -> Any:
        """The same, without holding up others while a large body is decoded.

        Raises:
            RequestError: as `json`.
            RequestTooLargeError: it holds more values than any request needs.
        """
        if len(self.body) < _LARGE_BODY:
            return self.json(type)

        def decode() -> Any:
            self._refuse_many_values()
            return self.json(type)

        return await self.service.json_threads.run(decode)

    def _refuse_many_values(self) -> None:
        texts = self.service.config.max_texts
        values, containers = max(_ALWAYS_ALLOWED, _VALUES_OF_A_TEXT * texts), 1000 + _CONTAINERS_OF_A_TEXT * texts
        for count in (most_json_size, json_size):
            size = count(self.body)
            if size.commas <= values and size.containers <= containers:
                return
        raise RequestTooLargeError(
            f"the body has {size.commas} values and {size.containers} lists and objects, {values} and {containers} are "
            "allowed: send fewer at once (EMBEDHUB_MAX_TEXTS)"
        )

    def _has_half_a_pair(self, error: str) -> bool:
        return "surrogate" in error or _HALF_A_PAIR.search(self.body[-_PAIR_BYTES:]) is not None

    def caller(self, *, use_cache: bool = True, wait: bool = True) -> Caller:
        """Who asks, for the service. The headers `x-use-cache` and `x-wait-for-model` have a say."""
        return Caller(
            client=self.client,
            use_cache=use_cache and self.headers.get("x-use-cache", "").lower() not in ("false", "0"),
            wait=wait or self.headers.get("x-wait-for-model", "").lower() in ("true", "1"),
            charge=self.charge,
        )


@dataclass(slots=True)
class Reply:
    """What goes back. `answer` is what was computed, for the headers, the log and the metrics."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    answer: Answer | None = None


async def written(service: Service, answer: Answer, write: Callable[[], Reply]) -> Reply:
    """The reply that a function writes, without holding up others while it writes a long one."""
    if len(answer.tokens) <= _MANY_TEXTS and answer.read_tokens <= _MANY_TOKENS:
        return write()
    return await service.json_threads.run(write)


@dataclass(frozen=True)
class Endpoint:
    """One path of a dialect.

    Attributes:
        method: GET or POST.
        path: as Starlette spells it, such as `/models/{model:path}`.
        answer: the work.
        fail: an error's reply in this dialect.
        summary: one line for people.
        dialect: for the documentation and the metrics.
        request: type of the body; None has none.
        response: type of the reply's body; None does not say.
        content_type: of a reply that is no error.
        example: a request's body, for the documentation; None takes one that the type allows.
        scope: `public` needs no token, `read`, `write` or `admin` one of that scope where the server has tokens.
        compute_time_in_seconds: see `headers`.
    """

    method: str
    path: str
    answer: Callable[[Call], Awaitable[Reply]]
    fail: Callable[[Failure], Reply]
    summary: str
    dialect: str
    request: Any = None
    response: Any = None
    content_type: str = "application/json"
    example: Any = None
    scope: str = "read"
    compute_time_in_seconds: bool = False


class EndpointApp:
    """An endpoint as an ASGI application."""

    def __init__(self, endpoint: Endpoint, services: Services, gate: Gate, bodies: Bodies) -> None:
        self.endpoint = endpoint
        self._services = services
        self._gate = gate
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every error of it becomes a reply."""
        endpoint = self.endpoint
        scope["embedhub.endpoint"] = endpoint
        try:
            reply = await self._reply(scope, receive)
            if reply.answer is not None:
                seconds = endpoint.compute_time_in_seconds
                reply.headers |= answer_headers(reply.answer, compute_time_in_seconds=seconds)
        except _DisconnectedError:
            return
        except EmbedhubError as error:
            reply = self._refusal(error)
        except asyncio.CancelledError:
            # Only a server that ends, and whose grace time is over, takes a request's task away.
            reply = self._refusal(ShuttingDownError("the server was stopped before it had answered", retry_after=1))
        except Exception:
            logger.exception("%s %s: a bug", scope["method"], scope["path"])
            reply = endpoint.fail(Failure("error", "unknown error", 500))
            reply.status = 500
            reply.headers["x-error-code"] = "error"
        scope["embedhub.reply"] = reply
        headers = [(b"content-type", reply.content_type.encode()), (b"content-length", b"%d" % len(reply.body))]
        headers += [(name.encode(), value.encode("latin-1", "replace")) for name, value in reply.headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    def _refusal(self, error: EmbedhubError) -> Reply:
        failure = failure_of(error)
        if isinstance(error, ModelError) and not isinstance(error, ModelNotFoundError):
            # Whoever can mend it needs the whole path, which the client is not told.
            logger.warning("%s", error)
        reply = self.endpoint.fail(failure)
        reply.status = failure.status
        reply.headers |= failure.headers
        return reply

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        headers = request_headers(scope["headers"])
        address = (scope.get("client") or ("", 0))[0]
        counts = "embedhub.counted" not in scope
        identity = self._gate.admit(headers, self.endpoint.scope, address, counts=counts)
        scope["embedhub.user"] = identity.user
        body = await self._bodies.read(receive, headers) if self.endpoint.method == "POST" else b""
        try:
            call = Call(
                service=self._services(identity),
                path=scope["path_params"],
                query=scope["query_string"],
                headers=headers,
                body=body,
                identity=identity,
                client=identity.user or address,
                charge=partial(self._gate.quota.charge, identity.account, address),
            )
            return await _unless_disconnected(self.endpoint.answer(call), receive)
        finally:
            self._bodies.release(body)


class _DisconnectedError(Exception):
    """The client went away; there is nobody to answer."""


async def _unless_disconnected(work: Awaitable[Reply], receive: Receive) -> Reply:
    """The work's result; it is cancelled when the client hangs up."""
    task = asyncio.current_task()
    assert task is not None
    watch: asyncio.Task[None] | None = None
    gone = False

    async def wait_for_the_end() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    def begin() -> None:
        nonlocal watch
        watch = asyncio.get_running_loop().create_task(wait_for_the_end())

    timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_SECONDS, begin)
    try:
        return await work
    except asyncio.CancelledError:
        if gone:
            task.uncancel()
            raise _DisconnectedError from None
        raise
    finally:
        timer.cancel()
        if watch is not None:
            watch.cancel()


def as_route(endpoint: Endpoint, services: Services, gate: Gate, bodies: Bodies) -> Route:
    """The endpoint as a route of a Starlette application."""
    return Route(endpoint.path, EndpointApp(endpoint, services, gate, bodies), methods=[endpoint.method])
