"""What a repository says of itself, and lists of them."""

from collections.abc import Callable, Iterable
from typing import Any

from starlette.responses import Response

from embedhub.errors import RepositoryNotFoundError, RequestError
from embedhub.hub.access import Action, allowed, repository_not_found
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository
from embedhub.server.hub.description import Description, describe
from embedhub.server.hub.exchange import Exchange, PassedOnError, answer
from embedhub.server.hub.routing import HubRoute, kind_of

_PAGE = 1000

# What lists are sorted by. Nobody counts downloads and likes here, so those are all alike: the newest come first.
_SORTS: dict[str, Callable[[Description], float]] = {
    "createdAt": lambda found: found.repository.created_at,
    "lastModified": lambda found: found.modified,
    "downloads": lambda found: found.repository.created_at,
    "likes": lambda found: found.repository.created_at,
    "trendingScore": lambda found: found.repository.created_at,
}

# Fields that a list leaves out unless they are asked for: they make it long.
_LONG = ("siblings", "cardData", "usedStorage", "config", "inferenceProviderMapping", "securityRepoStatus")

# Fields that are told only to who asks for them by name.
_ON_DEMAND = ("inferenceProviderMapping", "securityRepoStatus", "xetEnabled", "config")

_ALWAYS = ("_id", "id")


def info(exchange: Exchange) -> Response:
    """All about a repository, at its main branch or another revision."""
    try:
        repository = exchange.repository(Action.SEE)
    except RepositoryNotFoundError:
        if kind_of(exchange.path) is Kind.MODEL and "revision" not in exchange.path:
            # Models that are served without being hosted have this address too.
            raise PassedOnError from None
        raise
    found = describe(exchange.hub, repository, exchange.path.get("revision") or "main")
    fields = found.fields(blobs=exchange.flag("blobs"))
    expand = _expanded(exchange)
    if expand:
        return answer({name: value for name, value in fields.items() if name in _ALWAYS or name in expand})
    wanted = {"securityRepoStatus"} if exchange.flag("securityStatus") else set()
    return answer({name: value for name, value in fields.items() if name not in _ON_DEMAND or name in wanted})


def repositories(exchange: Exchange) -> Response:
    """A page of the repositories of a kind that somebody may see."""
    kind = kind_of(exchange.path)
    sort = exchange.query.get("sort") or "createdAt"
    if sort not in _SORTS:
        raise RequestError(f"sort={sort!r:.40}: one of {', '.join(_SORTS)}")
    limit = max(1, exchange.number("limit", _PAGE, _PAGE))
    position = _position(exchange.query.get("cursor", ""))
    rising = exchange.query.get("direction") == "1"

    def place(found: Description) -> tuple[float, str]:
        return _SORTS[sort](found), found.repository.uuid

    found = [describe(exchange.hub, each) for each in _chosen(exchange, kind)]
    found = [each for each in found if _fits(exchange, each)]
    found.sort(key=place, reverse=not rising)
    if position is not None:
        found = [each for each in found if (place(each) > position if rising else place(each) < position)]
    headers = {}
    if len(found) > limit:
        value, uuid = place(found[limit - 1])
        headers = exchange.next_page(cursor=f"{value!r}:{uuid}")
    return answer([_listed(exchange, each) for each in found[:limit]], headers)


def visible(exchange: Exchange, kind: Kind | None, namespace: str = "") -> list[Repository]:
    """Repositories that whoever asks may know of, newest first."""
    found = exchange.hub.repositories.all(kind, namespace)
    return [each for each in found if allowed(exchange.actor, each.guarded()) is not None]


def _chosen(exchange: Exchange, kind: Kind) -> Iterable[Repository]:
    """Those that fit by what is known without a look at their files."""
    words = [word.lower() for word in exchange.query.getlist("search")]
    gated = exchange.query.get("gated")
    for repository in visible(exchange, kind, exchange.query.get("author", "")):
        if gated is not None and bool(repository.gated) != exchange.flag("gated"):
            continue
        if all(word in repository.id.lower() for word in words):
            yield repository


def _fits(exchange: Exchange, found: Description) -> bool:
    wanted = [tag for name in ("filter", "tags") for tag in exchange.query.getlist(name)]
    wanted = [tag.strip() for each in wanted for tag in each.split(",") if tag.strip()]
    tags = set(found.tags)
    task = exchange.query.get("pipeline_tag")
    return tags.issuperset(wanted) and (task is None or found.pipeline_tag == task)


def _listed(exchange: Exchange, found: Description) -> dict[str, Any]:
    full = exchange.flag("full")
    expand = _expanded(exchange)
    wanted = set(expand) | {name for name in ("config", "cardData") if exchange.flag(name)}
    if full:
        wanted |= {"siblings", "cardData"}
    fields = found.fields(long=bool(wanted.intersection(_LONG)))
    if expand:
        return {name: value for name, value in fields.items() if name in _ALWAYS or name in expand}
    return {name: value for name, value in fields.items() if name not in (*_LONG, "xetEnabled") or name in wanted}


def _expanded(exchange: Exchange) -> list[str]:
    return [*exchange.query.getlist("expand"), *exchange.query.getlist("expand[]")]


def _position(cursor: str) -> tuple[float, str] | None:
    value, _, uuid = cursor.partition(":")
    if not cursor:
        return None
    try:
        return float(value), uuid
    except ValueError as error:
        raise RequestError(f"cursor={cursor!r:.80}: not one of this list; begin again without it") from error


def without_namespace(exchange: Exchange) -> Response:
    """No repository here is called so; a model that is served may be."""
    kind = kind_of(exchange.path)
    if kind is Kind.MODEL:
        raise PassedOnError
    raise repository_not_found(str(kind), exchange.path["name"])


ROUTES = (
    HubRoute("GET", "/api/{kinds}", repositories),
    HubRoute("GET", "/api/{kinds}/{name}", without_namespace),
    HubRoute("GET", "/api/{kinds}/{namespace}/{name}", info),
    HubRoute("GET", "/api/{kinds}/{namespace}/{name}/revision/{revision*}", info),
)
