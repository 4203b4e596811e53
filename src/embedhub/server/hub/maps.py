"""Maps of embedded datasets over HTTP: points, what they are coloured by, and what stands at them."""

from typing import Any

import orjson
from starlette.responses import Response

from embedhub.errors import EntryNotFoundError, RequestError
from embedhub.runtime.hosted_maps import MapFile
from embedhub.search.projection import METHODS
from embedhub.server.hub.cells import encoded
from embedhub.server.hub.download import FilePart
from embedhub.server.hub.exchange import Exchange, answer
from embedhub.server.hub.routing import HubRoute
from embedhub.server.hub.search import at_revision

MOST_TEXTS = 200

# When it is worth to ask again for what is being computed, in seconds.
_AGAIN = "3"


def points(exchange: Exchange) -> Response:
    """A map, in the format that `runtime.hosted_maps` describes; status 202 while it is computed."""
    repository, commit = at_revision(exchange)
    found = exchange.maps.map(repository, commit, _method(exchange))
    if found is None:
        return answer({"state": "computing"}, {"x-repo-commit": commit, "retry-after": _AGAIN}, 202)
    size = found.path.stat().st_size
    headers = {
        "content-type": "application/octet-stream",
        "x-repo-commit": commit,
        "etag": f'"{commit}-{found.head["method"]}"',
        "cache-control": "private, no-cache",
    }
    if exchange.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    headers["content-length"] = str(size)
    if exchange.request.method == "HEAD":
        return Response(None, 200, headers)
    return FilePart(found.path, 0, size, 200, headers)


def column(exchange: Exchange) -> Response:
    """A column's values, a point each, in the order of a map's points."""
    repository, commit = at_revision(exchange)
    shown: MapFile | None = exchange.maps.map(repository, commit, _method(exchange))
    if shown is None:
        raise EntryNotFoundError("the map is being computed; ask for its points first")
    name = exchange.query.get("name", "")
    told = exchange.maps.column(repository, commit, shown, name)
    return Response(orjson.dumps(told), 200, {"x-repo-commit": commit}, media_type="application/json")


def texts(exchange: Exchange) -> Response:
    """The embedded texts of rows by their numbers: `rows=3,17`."""
    written = exchange.query.get("rows", "").split(",")
    if not all(each.isascii() and each.isdigit() and len(each) <= 12 for each in written):
        raise RequestError("rows is to be a list of row numbers with commas between, such as rows=0,17")
    if len(written) > MOST_TEXTS:
        raise RequestError(f"{len(written)} rows at once; {MOST_TEXTS} is the most")
    repository, commit = at_revision(exchange)
    found: list[dict[str, Any]] = exchange.maps.texts(repository, commit, [int(each) for each in written])
    return Response(encoded({"rows": found}), 200, {"x-repo-commit": commit}, media_type="application/json")


def _method(exchange: Exchange) -> str:
    return exchange.query.get("method") or METHODS[0]


ROUTES = (
    HubRoute("GET", "/api/datasets/{namespace}/{name}/map", points),
    HubRoute("GET", "/api/datasets/{namespace}/{name}/map/column", column),
    HubRoute("GET", "/api/datasets/{namespace}/{name}/map/texts", texts),
)
