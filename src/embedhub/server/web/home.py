"""The front page: what is running, what is hosted, how to begin, and a search over all of it."""

from typing import Any

from starlette.responses import Response

from embedhub.hub.names import Kind
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute
from embedhub.server.web.layout import page
from embedhub.server.web.lists import listed, matching, matching_served, search_of

_SHOWN = 8


def home(exchange: Exchange) -> Response:
    """The page."""
    search = search_of(exchange)
    shown: dict[str, Any] = {
        "q": search,
        "served": matching_served(exchange, search),
        "default_model": exchange.service.loaded.default,
    }
    for kind in (Kind.DATASET, Kind.MODEL):
        found = matching(exchange, kind, search)
        shown[kind.plural] = [listed(exchange.hub, each) for each in found[:_SHOWN]]
        shown[f"all_{kind.plural}"] = len(found)
    if search:
        return page(exchange, "search.html", shown)
    told = commands(exchange.base, exchange.actor.user or "you", with_token=exchange.gate.has_tokens)
    return page(exchange, "home.html", shown | {"commands": told})


def commands(base: str, user: str, *, with_token: bool) -> list[tuple[str, str]]:
    """What somebody may begin with on a terminal: words about it, and the line. Pure.

    Args:
        base: address of this server.
        user: in whose name.
        with_token: whether a token is needed, which HF_TOKEN is to hold.
    """
    json = ' -H "Content-Type: application/json"'
    bearer = ' -H "Authorization: Bearer $HF_TOKEN"' if with_token else ""
    return [
        (
            "Embed a text, from anything that speaks HTTP:",
            f"""curl {base}/v1/embeddings{bearer}{json} -d '{{"input": "How can Medicare help me?"}}'""",
        ),
        (
            "Make a dataset of a table, and host it here:",
            "printf 'question\\nHow do I sign up?\\nWhat does it cost?\\n' > faq.csv\n"
            f"embedhub embed faq.csv -o faq && embedhub push faq {user}/faq --endpoint {base}",
        ),
        (
            "Ask it, from anywhere:",
            f"curl {base}/api/datasets/{user}/faq/search{bearer}{json} "
            """-d '{"query": "Who pays?", "top_k": 1}'""",
        ),
    ]


ROUTES = (HubRoute("GET", "/", home, page=True),)
