"""git itself: clone, fetch and push over HTTP, by git's own smart protocol.

Knows the protocol's addresses and headers, and what a client that sends slowly, falsely or not at all is told. What git
says and is told passes through unread; nothing of it is ever held as a whole. Source: git's `http-protocol` manual.
"""

import asyncio
import logging
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial, wraps
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from embedhub.errors import (
    EmbedhubError,
    ForbiddenError,
    GatedRepositoryError,
    HubError,
    NotOfferedError,
    RepositoryNotFoundError,
    RequestError,
    RequestTimeoutError,
    RequestTooLargeError,
    StorageFullError,
    UnauthorizedError,
)
from embedhub.hub.access import Action, may
from embedhub.hub.pre_receive import Push
from embedhub.hub.repositories import Repository
from embedhub.hub.transport import Service, Session
from embedhub.server.hub.exchange import Exchange, hub_failure
from embedhub.server.hub.routing import HubRoute, kind_of
from embedhub.storage import is_full

logger = logging.getLogger(__name__)

_PREFIX = "git-"

# `version=2`, or what later versions may add to it.
_PROTOCOL = re.compile(r"version=[012](?::[a-z0-9=.-]{1,64})*")

_NEVER_CACHED = {"cache-control": "no-cache, max-age=0, must-revalidate", "expires": "Fri, 01 Jan 1980 00:00:00 GMT"}

_PIECE = 1 << 20

_Handler = Callable[[Exchange], Coroutine[Any, Any, Response]]


def _in_words(handler: _Handler) -> _Handler:
    """A handler whose errors are text, because git shows its user nothing else."""

    @wraps(handler)
    async def told(exchange: Exchange) -> Response:
        try:
            return await handler(exchange)
        except EmbedhubError as error:
            exchange.request.scope["embedhub.error"] = error.code
            return _refusal(error)

    return told


@_in_words
async def references(exchange: Exchange) -> Response:
    """Which references there are: the first thing that git asks, whatever it is about to do."""
    name = exchange.query.get("service", "")
    if name.removeprefix(_PREFIX) not in tuple(Service) or not name.startswith(_PREFIX):
        raise ForbiddenError("only git's smart protocol is spoken here: use git 1.6.6 or newer")
    service = Service(name.removeprefix(_PREFIX))
    repository, _ = await exchange.run(_opened, exchange, service)
    protocol = _protocol(exchange, service)
    # The second version says by itself what this is about.
    head = b"" if protocol.startswith("version=2") else _packet(f"# service={name}\n") + b"0000"
    session = partial(
        exchange.hub.transport.session,
        service,
        exchange.hub.repositories.folder(repository),
        protocol=protocol,
        advertise=True,
    )
    return Conversation(exchange, session, f"application/x-{name}-advertisement", head=head)


@_in_words
async def upload_pack(exchange: Exchange) -> Response:
    """Objects, for a clone or a fetch."""
    return await _conversation(exchange, Service.UPLOAD)


@_in_words
async def receive_pack(exchange: Exchange) -> Response:
    """A push."""
    return await _conversation(exchange, Service.RECEIVE)


def locks(exchange: Exchange) -> Response:
    """What git-lfs asks before each push; told so, it asks no more."""
    del exchange
    raise NotOfferedError("files cannot be locked here")


async def _conversation(exchange: Exchange, service: Service) -> Response:
    sent = exchange.headers.get("content-type", "")
    if sent != f"application/x-git-{service}-request":
        raise RequestError(f"content-type {sent!r:.60}: this address is for git")
    repository, push = await exchange.run(_opened, exchange, service)
    session = partial(
        exchange.hub.transport.session,
        service,
        exchange.hub.repositories.folder(repository),
        protocol=_protocol(exchange, service),
        push=push,
        most_bytes=exchange.config.max_push_mb << 20,
    )
    return Conversation(
        exchange,
        session,
        f"application/x-git-{service}-result",
        body=_body(exchange, service),
        finishes=push is not None,
    )


def _opened(exchange: Exchange, service: Service) -> tuple[Repository, Push | None]:
    """The repository that the address names, with or without `.git`, and who pushes, if that is what is asked."""
    hub, actor = exchange.hub, exchange.actor
    id = f"{exchange.path['namespace']}/{exchange.path['name'].removesuffix('.git')}"
    find = partial(hub.find, actor, kind_of(exchange.path), id)
    try:
        repository = find(Action.READ)
        if service is Service.UPLOAD:
            return repository, None
        may_write = may(actor, repository.guarded(), Action.WRITE)
        if not may_write and not hub.discussions.has_open_pull_request(repository, actor.user):
            find(Action.WRITE)
        find(Action.DISCUSS)
    except (RepositoryNotFoundError, GatedRepositoryError) as error:
        if actor.user:
            raise
        # git asks its user for a token only if it is told so; what is private stays indistinguishable from nothing.
        raise UnauthorizedError(
            f"{id:.200} is not here, or it takes a token: any name, and the token as password"
        ) from error
    return repository, Push(str(hub.connections.path.absolute()), repository.uuid, actor.user, may_write)


def _protocol(exchange: Exchange, service: Service) -> str:
    """What the client says of the version; pushes know no second one."""
    said = exchange.headers.get("git-protocol", "")
    if not _PROTOCOL.fullmatch(said) or (service is Service.RECEIVE and said.startswith("version=2")):
        return ""
    return said


async def _body(exchange: Exchange, service: Service) -> AsyncIterator[bytes]:
    """The body as git is to read it."""
    encoding = exchange.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise RequestError(f"content-encoding {encoding:.40} is not known; use gzip or none")
    pieces = exchange.pieces()
    size = 0
    async for piece in pieces if encoding == "identity" else _decompressed(pieces):
        size += len(piece)
        # A pack is as large as it is; what is wanted of one is not.
        if service is Service.UPLOAD and size > exchange.config.max_body_mb << 20:
            raise RequestTooLargeError(
                f"the body is larger than {exchange.config.max_body_mb} MB (EMBEDHUB_MAX_BODY_MB)"
            )
        yield piece


async def _decompressed(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    async for piece in pieces:
        rest = piece
        while rest and not stream.eof:
            try:
                part = stream.decompress(rest, _PIECE)
            except zlib.error as error:
                raise RequestError(f"the body cannot be decompressed ({error})") from error
            rest = stream.unconsumed_tail
            if part:
                yield part
    if not stream.eof:
        raise RequestError("the compressed body breaks off")


class Conversation(Response):
    """A response that is what a program of git's says, while it is fed the request's body.

    Args:
        exchange: the request.
        session: starts the program.
        media_type: of the response.
        head: goes before what the program says.
        body: what it is fed; None is nothing.
        finishes: whether a program that was fed everything does its work also for a client that has gone.
    """

    def __init__(
        self,
        exchange: Exchange,
        session: Callable[[], AbstractAsyncContextManager[Session]],
        media_type: str,
        *,
        head: bytes = b"",
        body: AsyncIterator[bytes] | None = None,
        finishes: bool = False,
    ) -> None:
        super().__init__(headers=_NEVER_CACHED, media_type=media_type)
        # How long it will be is not known.
        del self.headers["content-length"]
        self._exchange = exchange
        self._session = session
        self._head = head
        self._body_pieces = body
        self._finishes = finishes
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold the conversation."""
        try:
            await self._hold(send)
        except ClientDisconnect:
            return
        except EmbedhubError as error:
            scope["embedhub.error"] = error.code
            logger.info("git: %s", error)
            if not self._started:
                await _refusal(error)(scope, receive, send)
                return
        # After an error too: to git what breaks off within its own protocol is an error.
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _hold(self, send: Send) -> None:
        patience = self._exchange.config.answer_seconds
        try:
            async with self._session() as session, asyncio.timeout(patience) as deadline:

                def moved() -> None:
                    deadline.reschedule(asyncio.get_running_loop().time() + patience)

                await self._converse(session, send, moved)
        except TimeoutError as error:
            raise RequestTimeoutError("nothing moved for too long (EMBEDHUB_ANSWER_SECONDS)") from error
        except OSError as error:
            if is_full(error):
                raise StorageFullError("the disk is full") from error
            raise HubError(f"git: {error.strerror or error}") from error

    async def _converse(self, session: Session, send: Send, moved: Callable[[], None]) -> None:
        feeding = asyncio.create_task(self._feed(session, moved))
        try:
            async for piece in session.output():
                if feeding.done() and feeding.exception() is not None:
                    break
                moved()
                await self._say(piece, send)
                moved()
            else:
                if not self._started:
                    await self._say(b"", send)
        finally:
            feeding.cancel()
            (failure,) = await asyncio.gather(feeding, return_exceptions=True)
            if isinstance(failure, Exception):
                # What the program said of it is a consequence.
                raise failure

    async def _say(self, piece: bytes, send: Send) -> None:
        if not self._started:
            self._started = True
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            piece = self._head + piece
        await send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _feed(self, session: Session, moved: Callable[[], None]) -> None:
        """Hand it the body, then wait until the client goes away, if it does."""
        receive: Callable[[], Awaitable[Any]] = self._exchange.request.receive
        try:
            if self._body_pieces is not None:
                async for piece in self._body_pieces:
                    await session.write(piece)
                    moved()
            session.close_input()
            while (await receive())["type"] != "http.disconnect":
                pass
            if not self._finishes:
                raise ClientDisconnect
        except Exception:
            session.stop()
            raise


def _refusal(error: EmbedhubError) -> Response:
    failure = hub_failure(error)
    # git shows its user all of it.
    return PlainTextResponse(f"{' '.join(str(error).split())}\n", failure.status, failure.headers)


def _packet(text: str) -> bytes:
    return f"{len(text) + 4:04x}{text}".encode()


_REPOSITORY = "/{prefix}{namespace}/{name}"

ROUTES = (
    HubRoute("GET", f"{_REPOSITORY}/info/refs", references),
    HubRoute("POST", f"{_REPOSITORY}/git-upload-pack", upload_pack, streams=True),
    HubRoute("POST", f"{_REPOSITORY}/git-receive-pack", receive_pack, streams=True),
    HubRoute("POST", f"{_REPOSITORY}.git/info/lfs/locks/verify", locks),
    HubRoute("POST", f"{_REPOSITORY}.git/info/lfs/locks", locks),
    HubRoute("GET", f"{_REPOSITORY}.git/info/lfs/locks", locks),
)
