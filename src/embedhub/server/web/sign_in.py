"""Signing in with a token, and out."""

from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from embedhub.errors import EmbedhubError
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute
from embedhub.server.web.layout import HEADERS, page


def show(exchange: Exchange) -> Response:
    """The form."""
    return page(exchange, "login.html", {"next": _inside(exchange.query.get("next", "/")), "problem": ""})


def sign_in(exchange: Exchange) -> Response:
    """Begin a session for a token that works."""
    form = exchange.form()
    following = _inside(form.get("next", ["/"])[0])
    token = form.get("token", [""])[0].strip()
    try:
        identity = exchange.gate.admit({"authorization": f"Bearer {token}"}, "read", exchange.identity.address)
    except EmbedhubError as error:
        shown = {"next": following, "problem": str(error)}
        return page(exchange, "login.html", shown, status=401)
    response = RedirectResponse(following, 303, HEADERS)
    if identity.account is not None:
        _, header = exchange.gate.sessions.begin(identity.account.id, secure=exchange.base.startswith("https:"))
        response.headers["set-cookie"] = header
    return response


def sign_out(exchange: Exchange) -> Response:
    """Forget the session."""
    response = RedirectResponse("/", 303, HEADERS)
    response.headers["set-cookie"] = exchange.gate.sessions.end(secure=exchange.base.startswith("https:"))
    return response


def _inside(address: str) -> str:
    """An address of this site; whatever leads elsewhere is its front page."""
    parts = urlsplit(address)
    inside = address.startswith("/") and not address.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return address if inside and address.isprintable() and "\\" not in address else "/"


ROUTES = (
    HubRoute("GET", "/login", show, scope="public", page=True),
    HubRoute("POST", "/login", sign_in, scope="public", page=True),
    HubRoute("POST", "/logout", sign_out, scope="public", page=True),
)
