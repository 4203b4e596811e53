"""Signing in, with a token or with a name and a password, and out.

A session stands for a token. Who signs in with a password is given one for that session, which ends with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from embedhub.errors import EmbedhubError, UnauthorizedError
from embedhub.hub.accounts import DATABASE, Accounts
from embedhub.hub.passwords import Passwords
from embedhub.server.errors import failure_of
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute
from embedhub.server.sessions import PROOF_HEADER
from embedhub.server.web.layout import HEADERS, page

SESSION_TOKEN = "web session"
_SESSION_DAYS = 14
# What is one's own; the whole server is administered with a token that says so.
_SESSION_SCOPE = "write"


def show(exchange: Exchange) -> Response:
    """The form."""
    return _form(exchange, _inside(exchange.query.get("next", "/")))


def sign_in(exchange: Exchange) -> Response:
    """Begin a session for a token that works, or for a name and its password."""
    form = exchange.form()
    following = _inside(form.get("next", ["/"])[0])
    name, password = (form.get(field, [""])[0] for field in ("name", "password"))
    token = form.get("token", [""])[0].strip()
    try:
        account_id = _by_password(exchange, name.strip(), password) if name or password else _by_token(exchange, token)
    except EmbedhubError as error:
        failure = failure_of(error)
        return _form(exchange, following, failure.message, status=failure.status, name=name)
    response = RedirectResponse(following, 303, HEADERS)
    if account_id is not None:
        _, header = exchange.gate.sessions.begin(account_id, secure=exchange.base.startswith("https:"))
        response.headers["set-cookie"] = header
    return response


def sign_out(exchange: Exchange) -> Response:
    """Forget the session; a token that was made for it ends."""
    session = exchange.gate.sessions.read(exchange.headers.get("cookie", ""))
    if session is not None and exchange.gate.sessions.is_proven(session[0], exchange.headers.get(PROOF_HEADER, "")):
        with accounts_of(exchange) as accounts:
            for account in accounts.list_tokens():
                if account.id == session[1] and account.name == SESSION_TOKEN:
                    accounts.revoke(account.id)
    response = RedirectResponse("/", 303, HEADERS)
    response.headers["set-cookie"] = exchange.gate.sessions.end(secure=exchange.base.startswith("https:"))
    return response


@contextmanager
def accounts_of(exchange: Exchange) -> Iterator[Accounts]:
    """The tokens of this server, to change."""
    accounts = Accounts(exchange.hub.home / DATABASE)
    try:
        yield accounts
    finally:
        accounts.close()


def _by_token(exchange: Exchange, token: str) -> int | None:
    identity = exchange.gate.admit({"authorization": f"Bearer {token}"}, "read", exchange.identity.address)
    return identity.account.id if identity.account is not None else None


def _by_password(exchange: Exchange, name: str, password: str) -> int:
    address = exchange.identity.address
    exchange.gate.attempts.count(address, name)
    user = Passwords(exchange.hub.connections).check(name, password)
    if user is None:
        raise UnauthorizedError("name and password do not belong together")
    exchange.gate.attempts.forgive(address, name)
    with accounts_of(exchange) as accounts:
        _, account = accounts.create_token(user, _SESSION_SCOPE, _SESSION_DAYS, SESSION_TOKEN)
    return account.id


def _form(exchange: Exchange, following: str, problem: str = "", *, status: int = 200, name: str = "") -> Response:
    return page(exchange, "login.html", {"next": following, "problem": problem, "name": name[:100]}, status=status)


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
