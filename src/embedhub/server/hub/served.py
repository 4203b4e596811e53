"""Models that are served without being hosted, at the addresses of repositories: to read, not to write.

Each handler asks the one for hosted repositories first; only where there is none is a model looked for, among those
that whoever asks may use.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import orjson
from starlette.responses import Response

from embedhub.errors import EntryNotFoundError, ModelError, RepositoryNotFoundError
from embedhub.hub.names import Kind
from embedhub.runtime.served import ServedModel, served_model
from embedhub.server.dialects.hf.wire import model_info
from embedhub.server.hub import files, info, resolve
from embedhub.server.hub.exchange import Exchange, PassedOnError, answer
from embedhub.server.hub.routing import HubRoute, kind_of

Handler = Callable[[Exchange], Response]


def served_too(hosted: Handler) -> Callable[[Callable[[Exchange, ServedModel], Response]], Handler]:
    """Have a handler answer for a model that is no repository, where `hosted` finds none."""

    def both(served: Callable[[Exchange, ServedModel], Response]) -> Handler:
        @wraps(served)
        def handler(exchange: Exchange) -> Response:
            try:
                return hosted(exchange)
            except (RepositoryNotFoundError, PassedOnError):
                model = _model(exchange)
                if model is None:
                    raise
                return served(exchange, model)

        return handler

    return both


@served_too(info.info)
def described(exchange: Exchange, model: ServedModel) -> Response:
    """All about the model."""
    if exchange.query.get("expand") or exchange.query.get("expand[]"):
        # Whoever wants some fields only asks what can be computed with the model, which is told there.
        raise PassedOnError
    model.check_revision(exchange.path.get("revision") or "main")
    spec, id = model.spec, _id(exchange)
    said: dict[str, Any] = orjson.loads(model_info(id, spec, []).body)
    return answer(
        said
        | {
            "_id": model.commit[:24],
            "modelId": id,
            "author": exchange.path["namespace"],
            "sha": model.commit,
            "private": False,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "siblings": [{"rfilename": path} for path in model.files],
        }
    )


@served_too(files.tree)
def tree(exchange: Exchange, model: ServedModel) -> Response:
    """What lies in a folder; such repositories have few files, so that there is one page."""
    model.check_revision(exchange.path["revision"])
    folder = exchange.path["path"].strip("/")
    found = list(model.entries(folder, recursive=exchange.flag("recursive")))
    if not found:
        raise EntryNotFoundError(f"Entry not found: {folder[:300]} does not exist at {model.commit}")
    return answer([files.told_of(entry) for entry in found], {"x-repo-commit": model.commit})


@served_too(files.paths_info)
def paths_info(exchange: Exchange, model: ServedModel) -> Response:
    """What lies at each of some paths; those where nothing does are left out."""
    model.check_revision(exchange.path["revision"])
    paths, _ = files.asked_paths(exchange)
    found = (model.entry(path) for path in paths)
    return answer([files.told_of(each) for each in found if each is not None], {"x-repo-commit": model.commit})


@served_too(resolve.resolve)
def content(exchange: Exchange, model: ServedModel) -> Response:
    """A file's content."""
    model.check_revision(exchange.path["revision"])
    path = exchange.path["path"]
    found = model.file(path)
    if found is None:
        return resolve.no_file(path, model.commit)
    entry, at = found
    headers = resolve.file_headers(exchange, entry, model.commit)
    if isinstance(at, Path):
        return resolve.ranged(exchange, headers, entry.etag, entry.size, at, b"")
    return resolve.ranged(exchange, headers, entry.etag, entry.size, None, at)


def _model(exchange: Exchange) -> ServedModel | None:
    """The model that the address means, if there is one for whoever asks."""
    if kind_of(exchange.path) is not Kind.MODEL:
        return None
    try:
        return served_model(exchange.service.loaded.find_available(_id(exchange)), exchange.config)
    except ModelError:
        return None


def _id(exchange: Exchange) -> str:
    return f"{exchange.path['namespace']}/{exchange.path['name']}"


# Before those that they stand for.
ROUTES = (
    HubRoute("GET", "/api/{kinds}/{namespace}/{name}", described),
    HubRoute("GET", "/api/{kinds}/{namespace}/{name}/revision/{revision*}", described),
    HubRoute("GET", "/api/{kinds}/{namespace}/{name}/tree/{revision}/{path*}", tree),
    HubRoute("POST", "/api/{kinds}/{namespace}/{name}/paths-info/{revision}", paths_info),
    HubRoute("GET", "/{prefix}{namespace}/{name}/resolve/{revision}/{path*}", content),
    HubRoute("GET", "/api/{kinds}/{namespace}/{name}/resolve/{revision}/{path*}", content),
)
