"""The page to which `hf auth login` sends people: they say whether a program that shows a code gets a token."""

from starlette.responses import Response

from embedhub.errors import AccountError, EmbedhubError, ForbiddenError, UnauthorizedError
from embedhub.hub.accounts import SCOPES
from embedhub.hub.devices import Devices, read_code
from embedhub.server.errors import failure_of
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.layer import LOCAL_USER
from embedhub.server.hub.routing import HubRoute
from embedhub.server.web.layout import page


def show(exchange: Exchange) -> Response:
    """The question."""
    demand_person(exchange)
    return _page(exchange, exchange.query.get("user_code", ""))


def decide(exchange: Exchange) -> Response:
    """The answer."""
    demand_person(exchange)
    form = {name: values[0] for name, values in exchange.form().items()}
    code = form.get("user_code", "")
    devices = Devices(exchange.hub.connections)
    try:
        if form.get("answer") == "approve":
            owner = exchange.hub.organisations.find(exchange.actor.user)
            if owner is None:
                raise AccountError(f"there is no user {exchange.actor.user}; `embedhub user create` makes one")
            devices.approve(code, owner, allowed_scope(exchange, form.get("scope", "read")), days_of(form))
            return _page(exchange, code, done="approved")
        devices.deny(code)
        return _page(exchange, code, done="denied")
    except EmbedhubError as error:
        failure = failure_of(error)
        return _page(exchange, code, problem=failure.message, status=failure.status)


def demand_person(exchange: Exchange) -> None:
    """Nothing, if whoever asks has signed in, or sits at a server without tokens.

    Raises:
        UnauthorizedError: they have to sign in.
    """
    if not exchange.actor.user:
        raise UnauthorizedError("you have to sign in")


def allowed_scope(exchange: Exchange, scope: str) -> str:
    """The scope, if whoever asks may give it away.

    Raises:
        AccountError: there is no such scope.
        ForbiddenError: it is more than theirs, or their token has limits that another one would not have.
    """
    if scope not in SCOPES:
        raise AccountError(f"scope {scope!r:.20}: one of {', '.join(SCOPES)}")
    if SCOPES.index(scope) > SCOPES.index(exchange.actor.scope):
        raise ForbiddenError(f"your token allows {exchange.actor.scope}; a token for {scope} is more than that")
    account = exchange.identity.account
    if account is not None and (account.rate is not None or account.daily_tokens is not None):
        raise ForbiddenError("your token has limits of its own, so it makes no others; ask whoever runs this server")
    return scope


def days_of(form: dict[str, str]) -> float | None:
    """Days that a token is to last; None is for ever.

    Raises:
        AccountError: that is no number of days.
    """
    wanted = form.get("days", "").strip()
    if not wanted:
        return None
    if not wanted.isascii() or not wanted.isdigit() or not 0 < int(wanted[:10]) <= 36_500:
        raise AccountError(f"{wanted!r:.20} is no number of days: 1 to 36500, or nothing for ever")
    return float(wanted)


def scopes_below(scope: str) -> list[str]:
    """What may be given away by who has that."""
    return list(SCOPES[: SCOPES.index(scope) + 1])


def _page(exchange: Exchange, code: str, *, done: str = "", problem: str = "", status: int = 200) -> Response:
    readable = read_code(code)
    shown = {
        # Only what is one may stand in a line for a shell.
        "code": readable,
        "is_code": bool(readable or not code.strip()),
        "address": Devices(exchange.hub.connections).waiting(readable) if readable and not done else None,
        "scopes": scopes_below(exchange.actor.scope),
        "is_local": exchange.identity.account is None and exchange.actor.user == LOCAL_USER,
        "done": done,
        "problem": problem,
    }
    return page(exchange, "device.html", shown, status=status, headers={"cache-control": "no-store"})


ROUTES = (
    HubRoute("GET", "/device", show, page=True),
    HubRoute("POST", "/device", decide, scope="write", page=True),
)
