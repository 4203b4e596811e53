"""The files of a hosted repository and its history, as pages. The same for every kind of repository."""

from itertools import islice
from urllib.parse import quote

from starlette.responses import Response

from embedhub.errors import EntryNotFoundError
from embedhub.hub.access import Action
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute
from embedhub.server.web.layout import page

_MOST_FILES = 500
# Who changed each of them last takes a look into the past.
_MOST_LOOKED_BACK = 100
_COMMITS = 30


def files(exchange: Exchange) -> Response:
    """What lies in a folder."""
    repository = exchange.repository(Action.READ)
    path = exchange.path.get("path", "").strip("/")
    revision = exchange.path.get("revision") or "main"
    with exchange.hub.open(repository) as git:
        commit = git.resolve(revision)
        folder = git.entry(commit, path)
        if folder is None or not folder.is_folder:
            raise EntryNotFoundError(f"there is no folder {path[:300]} at {revision[:100]}")
        found = list(islice(git.entries(commit, path), _MOST_FILES + 1))
        shown = sorted(found[:_MOST_FILES], key=lambda entry: (not entry.is_folder, entry.path.lower()))
        looked = [entry.path for entry in shown[:_MOST_LOOKED_BACK]]
        last = git.last_commits(commit, looked) if looked else {}
    steps = path.split("/") if path else []
    base = f"/{repository.kind.prefix}{repository.id}"
    return page(
        exchange,
        "files.html",
        {
            "repository": repository,
            "address": base,
            "revision": revision,
            "tree": f"{base}/tree/{quote(revision, safe='')}",
            "content": f"{base}/resolve/{quote(revision, safe='')}",
            "steps": [(step, quote("/".join(steps[: number + 1]))) for number, step in enumerate(steps)],
            "entries": [(entry, quote(entry.path), last.get(entry.path)) for entry in shown],
            "has_more": len(found) > _MOST_FILES,
        },
    )


def history(exchange: Exchange) -> Response:
    """The commits that led to a revision, newest first."""
    repository = exchange.repository(Action.READ)
    revision = exchange.path.get("revision") or "main"
    number = max(1, exchange.number("page", 1, 1_000_000))
    with exchange.hub.open(repository) as git:
        found = list(git.log(revision, (number - 1) * _COMMITS, _COMMITS + 1))
    base = f"/{repository.kind.prefix}{repository.id}"
    here = f"{base}/commits/{quote(revision, safe='')}"
    shown = {
        "repository": repository,
        "address": base,
        "revision": revision,
        "commits": found[:_COMMITS],
        "newer": f"{here}?page={number - 1}" if number > 1 else "",
        "older": f"{here}?page={number + 1}" if len(found) > _COMMITS else "",
    }
    return page(exchange, "history.html", shown)


ROUTES = (
    HubRoute("GET", "/{owner}/{name}/tree/{revision}/{path*}", files, page=True),
    HubRoute("GET", "/{owner}/{name}/commits/{revision}", history, page=True),
)
