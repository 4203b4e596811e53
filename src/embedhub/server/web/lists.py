"""Lists of what somebody may see: datasets and models, a page at a time.

Knows names and the heads of cards. Refuses to look into files.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from embedhub.hub.access import Action, may
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository
from embedhub.models import ModelSpec
from embedhub.models.wanted import is_model_id
from embedhub.runtime.finding import HOSTED
from embedhub.server.errors import without_folders
from embedhub.server.hub.description import describe
from embedhub.server.hub.exchange import Exchange, PassedOnError
from embedhub.server.hub.routing import HubRoute
from embedhub.server.web.layout import page

_PAGE = 30
_LONGEST_SEARCH = 200


@dataclass(frozen=True)
class Listed:
    """A repository in a list.

    Attributes:
        repository: which.
        modified: when it was last changed, in seconds since 1970.
        title: what its card calls it, if that is not its name.
        model: that made its vectors, or the task of a model; empty if that is not known.
        rows: of an embedded dataset; None where it is not known.
        size: bytes of its large files.
    """

    repository: Repository
    modified: float
    title: str
    model: str
    rows: int | None
    size: int


@dataclass(frozen=True)
class Served:
    """A model of this server that no repository holds.

    Attributes:
        name: what requests call it.
        shown: the name without the folders before it.
        address: of its page; empty if there is none.
        spec: what it is.
        dtype: number type of the computation, once it is loaded; empty before.
    """

    name: str
    shown: str
    address: str
    spec: ModelSpec
    dtype: str


def datasets(exchange: Exchange) -> Response:
    """The datasets that somebody may see."""
    return page(exchange, "datasets.html", _page_of(exchange, Kind.DATASET))


def models(exchange: Exchange) -> Response:
    """The models that somebody may use; programs that take anything get the list of OpenAI's API."""
    if "text/html" not in exchange.headers.get("accept", ""):
        raise PassedOnError
    shown = _page_of(exchange, Kind.MODEL)
    return page(exchange, "models.html", shown | {"served": matching_served(exchange, search_of(exchange))})


def search_of(exchange: Exchange) -> str:
    """What is looked for."""
    return " ".join(exchange.query.get("q", "")[:_LONGEST_SEARCH].split())


def matching(exchange: Exchange, kind: Kind, search: str) -> list[Repository]:
    """Repositories that somebody may see and whose name, title or tags hold all the words, newest first."""
    words = search.lower().split()
    found = []
    for repository in exchange.hub.repositories.all(kind):
        if not may(exchange.actor, repository.guarded(), Action.SEE):
            continue
        if all(word in repository.id.lower() for word in words) or _told_by_card(exchange.hub, repository, words):
            found.append(repository)
    return found


def listed(hub: Hub, repository: Repository) -> Listed:
    """What a list tells of a repository. Reads its newest commit's card."""
    found = describe(hub, repository)
    made = found.card.get("embedhub")
    made = made if isinstance(made, dict) else {}
    title = found.card.get("pretty_name")
    model = str(made.get("model") or "") if repository.kind is Kind.DATASET else found.pipeline_tag or ""
    return Listed(
        repository,
        found.modified,
        title if isinstance(title, str) and title.lower() != repository.name.lower() else "",
        without_folders(model)[:100],
        _rows(made),
        sum(hub.holdings.of(repository.uuid).values()),
    )


def matching_served(exchange: Exchange, search: str) -> list[Served]:
    """Models that are here without a repository of the Hub and whose name holds all the words, by name."""
    service = exchange.service
    dtypes = {loaded.name: loaded.model.dtype for loaded in service.every_model.ready}
    words = search.lower().split()
    found = []
    for name, spec in sorted(service.every_model.available().items()):
        shown = without_folders(name)
        if name.startswith(HOSTED) or not all(word in shown.lower() for word in words):
            continue
        has_page = is_model_id(name) and name.count("/") == 1
        found.append(Served(name, shown, f"/{name}" if has_page else "", spec, dtypes.get(name, "")))
    return found


def _page_of(exchange: Exchange, kind: Kind) -> dict[str, Any]:
    search = search_of(exchange)
    found = matching(exchange, kind, search)
    pages = max(1, -(-len(found) // _PAGE))
    number = min(max(1, exchange.number("page", 1, pages)), pages)
    shown = [listed(exchange.hub, each) for each in found[(number - 1) * _PAGE : number * _PAGE]]

    def address(page: int) -> str:
        return f"/{kind.plural}?" + urlencode(([("q", search)] if search else []) + [("page", str(page))])

    return {
        "found": shown,
        "total": len(found),
        "q": search,
        "page": number,
        "pages": pages,
        "previous": address(number - 1) if number > 1 else "",
        "next": address(number + 1) if number < pages else "",
    }


def _told_by_card(hub: Hub, repository: Repository, words: list[str]) -> bool:
    found = describe(hub, repository)
    text = " ".join([repository.id, str(found.card.get("pretty_name", "")), *found.tags]).lower()
    return all(word in text for word in words)


def _rows(made: dict[str, Any]) -> int | None:
    rows = made.get("rows")
    return rows if isinstance(rows, int) and not isinstance(rows, bool) and rows >= 0 else None


ROUTES = (
    HubRoute("GET", "/datasets", datasets, page=True),
    HubRoute("GET", "/models", models, page=True),
)
