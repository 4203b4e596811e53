"""The Hub's and the site's addresses in front of the other ones: a request comes, its route is found, it is answered.

Knows the order of things, once for every address: who asks, their body, the handler, its error. What a handler sees of
all that is an `Exchange`.
"""

import inspect
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from embedhub.config import Settings
from embedhub.errors import EmbedhubError, RequestTooLargeError
from embedhub.hub.access import Actor
from embedhub.hub.hosting import Hub
from embedhub.runtime.hosted import HostedDatasets
from embedhub.runtime.hosted_maps import HostedMaps
from embedhub.runtime.hosted_tables import HostedTables
from embedhub.runtime.jobs.runner import JobRunner
from embedhub.server.auth import Gate, Identity
from embedhub.server.endpoint import Services
from embedhub.server.hub.exchange import ASK_FOR_TOKEN, Exchange, MovedError, PassedOnError, answer, hub_failure
from embedhub.server.hub.lfs import LFS_MEDIA_TYPE
from embedhub.server.hub.routing import HubRoute, Router
from embedhub.server.sessions import PROOF_FIELD, PROOF_HEADER

logger = logging.getLogger(__name__)

# Whoever sits at a server without tokens.
LOCAL_USER = "local"

# Bodies that are one small object.
_SMALL_BODY = 1 << 20

_THREADS = 16


class HubApp:
    """A layer around an application that answers the Hub's addresses and passes on the others.

    Args:
        app: answers the others.
        routes: of the Hub, asked in order.
        hub: what is served.
        services: compute vectors, for each with the models that they may use.
        hosted: datasets that are asked.
        tables: the rows of datasets.
        maps: where rows lie in a plane.
        runner: does jobs.
        gate: who may ask.
        config: the settings.
        refuse_page: what people see of an error on a page.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: tuple[HubRoute, ...],
        hub: Hub,
        services: Services,
        hosted: HostedDatasets,
        tables: HostedTables,
        maps: HostedMaps,
        runner: JobRunner,
        gate: Gate,
        config: Settings,
        refuse_page: Callable[[EmbedhubError, Request], Response],
    ) -> None:
        self._app = app
        self._router = Router(routes)
        self._hub = hub
        self._services = services
        self._hosted = hosted
        self._tables = tables
        self._maps = maps
        self._runner = runner
        self._gate = gate
        self._config = config
        self._refuse_page = refuse_page
        self._threads = ThreadPoolExecutor(_THREADS, "hub")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_page = False
        accepted = Headers(scope=scope).get("accept", "*/*")
        try:
            found = self._router.find(scope["method"], scope["raw_path"].decode("latin-1"))
            if isinstance(found, set):
                await self._app(scope, receive, send)
                return
            route, path = found
            if route.page and not any(kind in accepted for kind in ("text/html", "text/*", "*/*")):
                await self._app(scope, receive, send)
                return
            # What the log and the metrics call it.
            scope["embedhub.endpoint"] = route
            # Programs that take anything are told of errors in the words of the API.
            is_page = route.page and "text/html" in accepted
            if "token" in path:
                scope["embedhub.shown_path"] = route.pattern
            response = await self._answer(Request(scope, receive), route, path)
        except PassedOnError:
            # Its request was counted, and it is to be known by the endpoint that answers.
            scope["embedhub.counted"] = True
            del scope["embedhub.endpoint"]
            await self._app(scope, receive, self._as_to_a_stranger(send) if self._is_stranger(scope) else send)
            return
        except MovedError as moved:
            response = Response(status_code=307, headers={"location": str(moved)})
        except EmbedhubError as error:
            scope["embedhub.error"] = error.code
            response = self._refuse_page(error, Request(scope)) if is_page else _refusal(error, accepted)
            if error.code == "repository_not_found" and self._is_stranger(scope) and not is_page:
                response.status_code = 401
                response.headers["www-authenticate"] = ASK_FOR_TOKEN
        except Exception:
            logger.exception("%s %s: a bug", scope["method"], scope["path"])
            scope["embedhub.error"] = "error"
            bug = EmbedhubError("unknown error")
            response = self._refuse_page(bug, Request(scope)) if is_page else _refusal(bug, accepted)
        await response(scope, receive, send)

    def _is_stranger(self, scope: Scope) -> bool:
        """Whether somebody asks who may be told of more once they say who they are."""
        route = scope.get("embedhub.endpoint")
        if route is not None and route.scope == "public":
            return False
        return not scope.get("embedhub.user") and self._gate.anonymous_scope != "admin"

    @staticmethod
    def _as_to_a_stranger(send: Send) -> Send:
        async def send_changed(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 404:
                message["status"] = 401
            await send(message)

        return send_changed

    async def _answer(self, request: Request, route: HubRoute, path: dict[str, str]) -> Response:
        exchange = Exchange(
            hub=self._hub,
            service=self._services(Identity()),
            config=self._config,
            gate=self._gate,
            actor=Actor(),
            identity=Identity(),
            path=path,
            query=request.query_params,
            headers=dict(request.headers),
            body=b"",
            base=self._config.public_url or _written_address(request),
            request=request,
            threads=self._threads,
            hosted=self._hosted,
            tables=self._tables,
            maps=self._maps,
            runner=self._runner,
        )
        posts = not route.streams and request.method not in ("GET", "HEAD")
        if route.page and posts:
            exchange.body = await _small_body(exchange, _SMALL_BODY)
            # A form proves in a field what a script proves in a header.
            exchange.headers = {**exchange.headers, PROOF_HEADER: exchange.form().get(PROOF_FIELD, [""])[0]}
        address = request.client.host if request.client is not None else ""
        exchange.identity = self._gate.admit(exchange.headers, route.scope, address)
        exchange.service = self._services(exchange.identity)
        request.scope["embedhub.user"] = exchange.identity.user
        if posts and not route.page:
            exchange.body = await _small_body(exchange, self._config.max_body_mb << 20 if route.large else _SMALL_BODY)
        if inspect.iscoroutinefunction(route.handler):
            exchange.actor = await exchange.run(self._actor, exchange)
            made: Response = await route.handler(exchange)
            return made
        return await exchange.run(self._in_thread, route, exchange)

    def _in_thread(self, route: HubRoute, exchange: Exchange) -> Response:
        exchange.actor = self._actor(exchange)
        made: Response = route.handler(exchange)
        return made

    def _actor(self, exchange: Exchange) -> Actor:
        return actor_of(self._hub, self._gate, exchange.identity, looks=exchange.request.method in ("GET", "HEAD"))


def actor_of(hub: Hub, gate: Gate, identity: Identity, *, looks: bool = False) -> Actor:
    """Somebody who asks, with the roles they have now.

    Args:
        hub: knows the roles.
        gate: knows what somebody without a token may do.
        identity: who it is.
        looks: whether nothing is changed by the request. A page is shown with all that its reader may do; to do it
            takes a request that is proven.
    """
    if identity.account is not None:
        return hub.actor(identity.user, identity.account.scope if looks else identity.scope)
    if gate.anonymous_scope == "admin":
        return Actor(LOCAL_USER, "admin")
    return Actor()


def _written_address(request: Request) -> str:
    """The server's address as this client wrote it."""
    return f"{request.url.scheme}://{quote(request.url.netloc, safe=':[]')}"


async def _small_body(exchange: Exchange, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for piece in exchange.pieces():
        size += len(piece)
        if size > limit:
            raise RequestTooLargeError(f"the body is larger than {limit >> 20} MB")
        parts.append(piece)
    return b"".join(parts)


def _refusal(error: EmbedhubError, accepted: str) -> Response:
    failure = hub_failure(error)
    if LFS_MEDIA_TYPE in accepted:
        # git-lfs shows its user this field.
        told = {"message": failure.message, "error": failure.message}
        return Response(orjson.dumps(told), failure.status, failure.headers, media_type=LFS_MEDIA_TYPE)
    return answer({"error": failure.message}, failure.headers, failure.status)
