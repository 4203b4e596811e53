"""The rows of a hosted dataset and numbers about its columns, in the shape of the Hugging Face dataset viewer's API."""

from typing import Any

from starlette.responses import Response

from embedhub.datasets.tables import Page
from embedhub.errors import RequestError
from embedhub.hub.repositories import Repository
from embedhub.server.hub.cells import encoded
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute
from embedhub.server.hub.search import at_revision

MOST_ROWS = 100

_MOST_OFFSET = 999_999_999


def splits(exchange: Exchange) -> Response:
    """The configurations and splits of a dataset."""
    repository, commit = at_revision(exchange)
    found = exchange.tables.splits(repository, commit)
    listed = [
        {"dataset": repository.id, "config": config, "split": split}
        for config, named in found.items()
        for split in named
    ]
    return _answer({"splits": listed, "pending": [], "failed": []}, commit)


def rows(exchange: Exchange) -> Response:
    """Rows from `offset` on, `length` of them."""
    offset = exchange.number("offset", 0, _MOST_OFFSET)
    length = exchange.number("length", MOST_ROWS, _MOST_OFFSET)
    if length > MOST_ROWS:
        raise RequestError(f"length={length}: {MOST_ROWS} rows at most in one answer")
    _, commit, page = _page(exchange, offset, length)
    content = _rows(page, offset) | {
        "num_rows_total": page.row_count,
        "num_rows_per_page": MOST_ROWS,
        "partial": False,
    }
    return _answer(content, commit)


def first_rows(exchange: Exchange) -> Response:
    """The first hundred rows."""
    repository, commit, page = _page(exchange, 0, MOST_ROWS)
    named = {"dataset": repository.id} | {name: exchange.query.get(name, "") for name in ("config", "split")}
    return _answer(named | _rows(page, 0) | {"truncated": page.row_count > MOST_ROWS}, commit)


def statistics(exchange: Exchange) -> Response:
    """Numbers about every column."""
    repository, commit = at_revision(exchange)
    found = exchange.tables.statistics(
        repository, commit, exchange.query.get("config", ""), exchange.query.get("split", "")
    )
    return _answer(found, commit)


def _page(exchange: Exchange, offset: int, length: int) -> tuple[Repository, str, Page]:
    repository, commit = at_revision(exchange)
    config, split = exchange.query.get("config", ""), exchange.query.get("split", "")
    return repository, commit, exchange.tables.page(repository, commit, config, split, offset, length)


def _rows(page: Page, offset: int) -> dict[str, Any]:
    return {
        "features": page.features,
        "rows": [
            {"row_idx": offset + place, "row": row, "truncated_cells": cut}
            for place, (row, cut) in enumerate(page.rows)
        ],
    }


def _answer(content: dict[str, Any], commit: str) -> Response:
    return Response(encoded(content), 200, {"x-repo-commit": commit}, media_type="application/json")


ROUTES = (
    HubRoute("GET", "/api/datasets/{namespace}/{name}/splits", splits),
    HubRoute("GET", "/api/datasets/{namespace}/{name}/rows", rows),
    HubRoute("GET", "/api/datasets/{namespace}/{name}/first-rows", first_rows),
    HubRoute("GET", "/api/datasets/{namespace}/{name}/statistics", statistics),
)
