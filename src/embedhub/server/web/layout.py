"""How a page is put together: a template, what every page shows, and headers that allow nothing from elsewhere.

Knows templates. Refuses to know what a page is about.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from embedhub import __version__
from embedhub.errors import EmbedhubError
from embedhub.server.errors import Failure, failure_of
from embedhub.server.hub.exchange import Exchange
from embedhub.server.web.assets import asset_address, imported

# No inline script and no inline style; WebAssembly for models that run in the browser; nothing from anywhere else.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; worker-src 'self'; font-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    # What a page shows depends on who looks.
    "cache-control": "private, no-cache",
}

_STATUSES = {
    401: "You have to sign in",
    403: "That is not for you",
    404: "There is nothing here",
    405: "That is not done here",
    429: "Too many requests",
    500: "Something is broken",
    507: "The disk is full",
}


@cache
def templates() -> Environment:
    """The templates of this package. What is put into them is escaped."""
    made = Environment(
        loader=PackageLoader("embedhub.server.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"asset": asset_address, "script": _script, "version": __version__}
    made.filters |= {"bytes": in_bytes, "number": "{:,}".format, "day": as_day}
    return made


def page(
    exchange: Exchange,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A page.

    Args:
        exchange: the request.
        template: its file's name.
        context: what it shows, beside what every page does.
        status: of HTTP.
        headers: more of them.
    """
    identity = exchange.identity
    shown = {
        "user": exchange.actor.user,
        "can_write": exchange.actor.scope in ("write", "admin"),
        "signed_in": bool(identity.session),
        "csrf": exchange.gate.sessions.proof(identity.session) if identity.session else "",
        "needs_token": exchange.gate.has_tokens,
        "base": exchange.base,
        "path": exchange.raw_path,
    }
    return _rendered(template, shown | dict(context or {}), status, dict(headers or {}))


def refuse_page(error: EmbedhubError, request: Request) -> Response:
    """What people see of an error; who has to sign in is led there and back."""
    failure = failure_of(error)
    if failure.status == 401:
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(back, safe='')}", 303, HEADERS)
    return error_page(failure, request.url.path)


def error_page(failure: Failure, path: str) -> Response:
    """An error as people see it.

    Args:
        failure: what went wrong.
        path: where.
    """
    shown = {
        "user": "",
        "can_write": False,
        "signed_in": False,
        "csrf": "",
        # Who looks is not known here.
        "needs_token": False,
        "base": "",
        "path": path,
        "may_sign_in": failure.status in (403, 404),
        "title": _STATUSES.get(failure.status, "That did not work"),
        "message": failure.message,
    }
    return _rendered("error.html", shown, failure.status, failure.headers | {"x-error-code": failure.code})


def _rendered(template: str, context: dict[str, Any], status: int, headers: dict[str, str]) -> Response:
    body = templates().get_template(template).render(context)
    return Response(body, status, HEADERS | headers, media_type="text/html")


def in_bytes(size: float) -> str:
    """A size for people: `1.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def as_day(seconds: float) -> str:
    """Seconds since 1970 as a day in UTC: `2026-11-25`."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _script(name: str) -> Markup:
    """The tag of a script of ours, before it the names of all that it imports."""
    early = (Markup('<link rel="modulepreload" href="{}">').format(asset_address(each)) for each in imported(name))
    return Markup("").join([*early, Markup('<script type="module" src="{}"></script>').format(asset_address(name))])
