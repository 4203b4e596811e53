"""What somebody owns: tokens, repositories, organisations; each is changed by a form of this page.

Knows the forms. What one may do is decided where it is done. Every change takes a session for `write` and its proof.
"""

from collections.abc import Callable
from typing import Any

from starlette.responses import RedirectResponse, Response

from embedhub.errors import AccountError, EmbedhubError, ForbiddenError, RequestError
from embedhub.hub.access import Action
from embedhub.hub.accounts import Account
from embedhub.hub.names import Kind
from embedhub.hub.organisations import ROLES
from embedhub.hub.repositories import Repository
from embedhub.server.errors import failure_of
from embedhub.server.hub.exchange import Exchange
from embedhub.server.hub.routing import HubRoute
from embedhub.server.web.device_page import allowed_scope, days_of, demand_person, scopes_below
from embedhub.server.web.layout import HEADERS, page
from embedhub.server.web.sign_in import SESSION_TOKEN, accounts_of

_LONGEST_NAME = 100
_MOST_REPOSITORIES = 200

# What is told once something was done, by the word in the address.
_DONE = {
    "revoked": "The token is revoked. It stops working within a second.",
    "changed": "It is changed.",
    "deleted": "The repository is gone.",
    "member": "The organisation is changed.",
}


def show(exchange: Exchange) -> Response:
    """The page."""
    demand_person(exchange)
    return _page(exchange, told=_DONE.get(exchange.query.get("done", ""), ""))


def make_token(exchange: Exchange) -> Response:
    """A new token, which is shown this once."""

    def change(form: dict[str, str]) -> Response:
        name = " ".join(form.get("name", "").split())[:_LONGEST_NAME]
        if name == SESSION_TOKEN:
            raise AccountError(f"{SESSION_TOKEN!r} is what tokens of sessions are called; choose another name")
        if exchange.identity.account is None:
            raise ForbiddenError("tokens are of users; `embedhub token create --user NAME` makes the first one")
        scope, days = allowed_scope(exchange, form.get("scope", "read")), days_of(form)
        with accounts_of(exchange) as accounts:
            token, account = accounts.create_token(exchange.actor.user, scope, days, name)
        return _page(exchange, made=token, made_scope=account.scope)

    return _changed(exchange, change)


def revoke_token(exchange: Exchange) -> Response:
    """A token's end."""

    def change(form: dict[str, str]) -> Response:
        wanted = form.get("id", "")
        with accounts_of(exchange) as accounts:
            own = {str(account.id): account for account in _own_tokens(accounts.list_tokens(), exchange.actor.user)}
            if wanted not in own:
                raise AccountError("you have no such token")
            accounts.revoke(own[wanted].id)
        return _done("revoked")

    return _changed(exchange, change)


def change_repository(exchange: Exchange) -> Response:
    """A repository that is public or private from now on, or gone."""

    def change(form: dict[str, str]) -> Response:
        repository = _owned(exchange, form.get("kind", ""), form.get("id", ""))
        wanted = form.get("change", "")
        if wanted == "delete":
            if form.get("confirm", "").strip().lower() != repository.id.lower():
                raise RequestError(f"nothing is deleted: to confirm it, type {repository.id}")
            exchange.hub.repositories.delete(repository)
            return _done("deleted")
        exchange.hub.repositories.change(repository, visibility=wanted or "none")
        return _done("changed")

    return _changed(exchange, change)


def change_member(exchange: Exchange) -> Response:
    """Somebody who is let into an organisation, has another role in it, or is no longer in it."""

    def change(form: dict[str, str]) -> Response:
        organisation, user, role = (form.get(name, "").strip() for name in ("organisation", "user", "role"))
        if not exchange.actor.is_administrator and exchange.actor.role(organisation) != "admin":
            raise ForbiddenError("only admins of an organisation say who belongs to it")
        organisations = exchange.hub.organisations
        members = organisations.members(organisation)
        admins = {name.lower() for name, its in members.items() if its == "admin"}
        if role != "admin" and admins == {user.lower()}:
            raise AccountError(f"{organisation} would have no admin: make somebody else one first")
        if role:
            organisations.add_member(organisation, user, role)
        else:
            organisations.remove_member(organisation, user)
        return _done("member")

    return _changed(exchange, change)


def _changed(exchange: Exchange, change: Callable[[dict[str, str]], Response]) -> Response:
    """What a change gives; if it goes wrong, the page with the reason."""
    demand_person(exchange)
    try:
        return change({name: values[0] for name, values in exchange.form().items()})
    except EmbedhubError as error:
        failure = failure_of(error)
        return _page(exchange, problem=failure.message, status=failure.status)


def _done(what: str) -> Response:
    return RedirectResponse(f"/settings?done={what}", 303, HEADERS)


def _page(exchange: Exchange, *, status: int = 200, **told: Any) -> Response:
    actor = exchange.actor
    with accounts_of(exchange) as accounts:
        tokens = _own_tokens(accounts.list_tokens(), actor.user) if exchange.identity.account is not None else []
    organisations = [
        {
            "name": name,
            "role": role,
            "members": exchange.hub.organisations.members(name),
            "can_change": role == "admin" or actor.is_administrator,
        }
        for name, role in actor.roles.items()
    ]
    own_id = exchange.identity.account.id if exchange.identity.account is not None else 0
    repositories = _repositories(exchange)
    shown = {
        "scope": actor.scope,
        "can_change": actor.scope != "read",
        "is_local": exchange.identity.account is None,
        "tokens": tokens,
        "own_id": own_id,
        "scopes": scopes_below(actor.scope),
        "repositories": repositories[:_MOST_REPOSITORIES],
        "has_more": len(repositories) > _MOST_REPOSITORIES,
        "organisations": organisations,
        "roles": ROLES,
        "told": "",
        "problem": "",
        "made": "",
        "made_scope": "",
    }
    return page(exchange, "settings.html", shown | told, status=status, headers={"cache-control": "no-store"})


def _own_tokens(accounts: list[Account], user: str) -> list[Account]:
    """Those of a user that work, newest first."""
    working = [each for each in accounts if each.user == user and each.revoked_at is None and not each.expired()]
    return working[::-1]


def _repositories(exchange: Exchange) -> list[Repository]:
    """One's own and those of organisations that one administers; at a server without tokens all of them."""
    actor = exchange.actor
    found = exchange.hub.repositories.all()
    if exchange.identity.account is None:
        return found
    return [each for each in found if actor.role(each.namespace) == "admin"]


def _owned(exchange: Exchange, kind: str, id: str) -> Repository:
    """A repository by the name that it has now: nobody removes what lies behind a name of the past."""
    if kind not in tuple(Kind):
        raise RequestError(f"kind {kind!r:.20}: one of {', '.join(Kind)}")
    found = exchange.hub.find(exchange.actor, Kind(kind), id, Action.ADMINISTER)
    if found.id.lower() != id.lower():
        raise RequestError(f"{id:.200} is called {found.id} by now")
    return found


ROUTES = (
    HubRoute("GET", "/settings", show, page=True),
    HubRoute("POST", "/settings/tokens", make_token, scope="write", page=True),
    HubRoute("POST", "/settings/tokens/revoke", revoke_token, scope="write", page=True),
    HubRoute("POST", "/settings/repositories", change_repository, scope="write", page=True),
    HubRoute("POST", "/settings/members", change_member, scope="write", page=True),
)
