"""The front page: what is running, what is hosted, and how to begin."""

from starlette.responses import Response

from embedhub.errors import EmbedhubError
from embedhub.hub.access import Action, allowed
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute
from embedhub.server.web.layout import page

_SHOWN = 12


def home(exchange: Exchange) -> Response:
    """The page."""
    loaded = exchange.service.loaded
    models = [
        {"name": each.name, "dtype": each.model.dtype, "backend": each.model.backend}
        for each in sorted(loaded.ready, key=lambda each: each.name)
    ]
    shown = {
        "models": models,
        "default_model": loaded.default,
        "datasets": visible(exchange, Kind.DATASET)[:_SHOWN],
        "hosted_models": visible(exchange, Kind.MODEL)[:_SHOWN],
        "commands": commands(exchange.base, exchange.actor.user or "you", with_token=exchange.gate.has_tokens),
    }
    return page(exchange, "home.html", shown)


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
            f'curl {base}/v1/embeddings{bearer}{json} -d \'{{"input": "How can Medicare help me?"}}\'',
        ),
        (
            "Make a dataset of a table, and host it here:",
            "printf 'question\\nHow do I sign up?\\nWhat does it cost?\\n' > faq.csv\n"
            f"embedhub embed faq.csv -o faq && embedhub push faq {user}/faq --endpoint {base}",
        ),
        (
            "Ask it, from anywhere:",
            f'curl {base}/api/datasets/{user}/faq/search{bearer}{json} -d \'{{"query": "Who pays?", "top_k": 1}}\'',
        ),
    ]


def visible(exchange: Exchange, kind: Kind, words: str = "") -> list[Repository]:
    """Repositories that one may see, newest first, whose name holds all the words."""
    wanted = words.lower().split()
    found = []
    for repository in exchange.hub.repositories.all(kind):
        try:
            most = allowed(exchange.actor, repository.guarded())
        except EmbedhubError:
            continue
        if most is not None and most >= Action.SEE and all(word in repository.id.lower() for word in wanted):
            found.append(repository)
    return found


ROUTES = (HubRoute("GET", "/", home, page=True),)
