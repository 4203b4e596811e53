"""The map of a dataset: every row a point. The page; its points come by `server.hub.maps`, and scripts draw them."""

from typing import Any

from starlette.responses import Response

from embedhub.datasets.colouring import gives_colours
from embedhub.runtime.hosted_maps import MOST_POINTS
from embedhub.search.projection import has_umap
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute
from embedhub.server.web.dataset import ADDRESS, Looked, ask, look
from embedhub.server.web.layout import page

_HITS = 50


async def show(exchange: Exchange) -> Response:
    """The page."""
    looked = await exchange.run(look, exchange)
    search = await ask(exchange, looked, exchange.query.get("q", "").strip(), _HITS)
    return await exchange.run(_page, exchange, looked, search)


def _page(exchange: Exchange, looked: Looked, search: dict[str, Any]) -> Response:
    shown = {
        "columns": _columns(looked),
        "has_umap": has_umap(),
        "most_points": MOST_POINTS,
        "problem": looked.problem,
    }
    return page(exchange, "dataset_map.html", looked.shown() | search | shown)


def _columns(looked: Looked) -> list[str]:
    """Those that may be coloured by: numbers, yes and no, and words."""
    if looked.stored is None:
        return []
    schema = looked.stored.shards[0].schema
    names = [name for name in looked.stored.columns if name != looked.stored.text_column]
    return [name for name in names if gives_colours(schema.field(name).type)]


ROUTES = (HubRoute("GET", f"{ADDRESS}/map", show, page=True),)
