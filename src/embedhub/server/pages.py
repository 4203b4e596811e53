"""The server's own paths: is it well, what did it count, what can it be asked.

`docs_page.py` knows how a page looks, `openapi.py` what the document says, `metrics.py` the numbers; here they get
paths. All are public: none tells what anybody asked.
"""

import gzip
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import msgspec
import orjson

from embedhub import __version__
from embedhub.server import metrics
from embedhub.server.docs_page import ADDRESS, docs_page
from embedhub.server.endpoint import Call, Endpoint, Reply
from embedhub.server.errors import Failure
from embedhub.server.openapi import document
from embedhub.server.origins import host_name

HTML = "text/html; charset=utf-8"

# Pages are whole in themselves: nothing is loaded from anywhere, and no script runs.
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


# It is put into a page and into a shell's line.
_PLAIN_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]+")


class Health(msgspec.Struct):
    """Body of `GET /health`: `ok` when a text was computed within the last seconds, or just now."""

    status: str


class Landing(msgspec.Struct):
    """Body of `GET /` for who wants no page."""

    name: str
    version: str
    docs: str
    openapi: str


async def health(call: Call) -> Reply:
    """Whether the server computes. Status 503 when it does not, with the body of text-embeddings-inference."""
    if await call.service.healthy():
        return Reply(b'{"status":"ok"}')
    body = b'{"error":"the server does not compute","error_type":"Unhealthy"}'
    return Reply(body, 503, headers={"x-error-code": "unhealthy"})


async def landing(call: Call) -> Reply:
    """What this is, in JSON; the site is for people."""
    body = msgspec.json.encode(Landing("embedhub", __version__, "/docs", "/openapi.json"))
    return Reply(body, headers={"vary": "accept"})


def address(headers: Mapping[str, str]) -> str:
    """The address under which a request asked this server, also through a proxy; a usual one where that is unclear."""
    host = headers.get("host", "")
    if not (_PLAIN_HOST.fullmatch(host) and host_name(host)):
        return ADDRESS
    return f"{'https' if headers.get('x-forwarded-proto') == 'https' else 'http'}://{host}"


def failed(failure: Failure) -> Reply:
    """`{"error": …}`, one line."""
    return Reply(orjson.dumps({"error": failure.message}))


def smaller(reply: Reply, call: Call) -> Reply:
    """The same, compressed for who takes that: these are long and say much twice."""
    reply.headers["vary"] = "accept-encoding"
    if "gzip" in call.headers.get("accept-encoding", ""):
        reply.headers["content-encoding"] = "gzip"
        reply.body = gzip.compress(reply.body, 5)
    return reply


def own_endpoints(
    dialects: Iterable[Endpoint], numbers: Callable[[], bytes], bearer: Callable[[], bool]
) -> tuple[Endpoint, ...]:
    """The server's own endpoints.

    Args:
        dialects: all the others, for the document.
        numbers: the metrics' text.
        bearer: whether anybody needs a token.
    """

    @cache
    def described(with_tokens: bool) -> dict[str, Any]:
        return document([*dialects, *endpoints], bearer=with_tokens)

    @cache
    def page(with_tokens: bool) -> bytes:
        return docs_page(described(with_tokens))

    async def metrics_text(call: Call) -> Reply:
        """Numbers in Prometheus' text format."""
        return smaller(Reply(numbers(), content_type=metrics.CONTENT_TYPE), call)

    async def openapi(call: Call) -> Reply:
        """This document."""
        return smaller(Reply(orjson.dumps(described(bearer()))), call)

    async def docs(call: Call) -> Reply:
        """This document for people."""
        shown = page(bearer()).replace(ADDRESS.encode(), address(call.headers).encode())
        return smaller(Reply(shown, content_type=HTML, headers=dict(_PAGE_HEADERS)), call)

    def own(path: str, answer: Any, summary: str, **more: Any) -> Endpoint:
        return Endpoint("GET", path, answer, failed, summary, "embedhub", scope="public", **more)

    endpoints = (
        *(
            own(path, health, "Whether the server computes", response=Health)
            for path in ("/health", "/healthz", "/ping")
        ),
        own("/metrics", metrics_text, "Numbers for Prometheus", content_type=metrics.CONTENT_TYPE),
        own("/openapi.json", openapi, "The API's document", response=dict[str, Any]),
        own("/docs", docs, "The API's document for people", content_type=HTML),
        own("/", landing, "What this is", response=Landing),
    )
    return endpoints
