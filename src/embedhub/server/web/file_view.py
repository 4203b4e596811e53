"""One file of a hosted repository as a page: text and pictures are shown, anything else is told of. For every kind."""

from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from embedhub.hub.access import Action
from embedhub.hub.reading import GitReader
from embedhub.hub.trees import Entry
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute
from embedhub.server.web.layout import HEADERS, page

# Longer texts are downloaded by who wants to read them.
_LONGEST_TEXT = 200_000
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")


def file(exchange: Exchange) -> Response:
    """The page."""
    repository = exchange.repository(Action.READ)
    path, revision = exchange.path["path"], exchange.path["revision"]
    with exchange.hub.open(repository) as git:
        commit = git.resolve(revision)
        entry = git.file(commit, path)
        text = text_of(git, entry)
        last = git.last_commits(commit, [path])[path]
    base = f"/{repository.kind.prefix}{repository.id}"
    within = quote(revision, safe="")
    steps = path.split("/")
    shown = {
        "repository": repository,
        "address": base,
        "revision": revision,
        "tree": f"{base}/tree/{within}",
        "steps": [(step, quote("/".join(steps[: number + 1]))) for number, step in enumerate(steps[:-1])],
        "name": steps[-1],
        "entry": entry,
        "last": last,
        "text": text,
        "is_picture": path.lower().endswith(_PICTURES),
        "content": f"{base}/resolve/{within}/{quote(path)}",
    }
    return page(exchange, "file.html", shown)


def text_of(git: GitReader, entry: Entry) -> str | None:
    """What a file says; None if it is no text, or a long one."""
    if entry.pointer is not None or entry.size > _LONGEST_TEXT:
        return None
    content = git.read(entry)
    try:
        return None if b"\0" in content else content.decode()
    except UnicodeDecodeError:
        return None


def commit(exchange: Exchange) -> Response:
    """Clients name a commit by this address: its files are shown."""
    repository = exchange.repository(Action.READ)
    with exchange.hub.open(repository) as git:
        found = git.resolve(exchange.path["commit"])
    return RedirectResponse(f"/{repository.kind.prefix}{repository.id}/tree/{found}", 303, HEADERS)


ROUTES = (
    HubRoute("GET", "/{kinds}/{namespace}/{name}/blob/{revision}/{path*}", file, page=True),
    HubRoute("GET", "/{kinds}/{namespace}/{name}/commit/{commit}", commit, page=True),
    HubRoute("GET", "/{owner}/{name}/blob/{revision}/{path*}", file, page=True),
    HubRoute("GET", "/{owner}/{name}/commit/{commit}", commit, page=True),
)
