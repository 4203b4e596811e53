"""Users and organisations as others see them."""

from typing import Any

from starlette.responses import Response

from embedhub.errors import NamespaceNotFoundError, UnauthorizedError
from embedhub.hub.names import Kind
from embedhub.hub.organisations import Namespace
from embedhub.server.hub.description import describe
from embedhub.server.hub.exchange import Exchange, answer, moment
from embedhub.server.hub.info import visible
from embedhub.server.hub.routing import HubRoute


def user(exchange: Exchange) -> Response:
    """A user."""
    found = _find(exchange, is_organisation=False)
    organisations = [exchange.hub.organisations.find(name) for name in exchange.hub.organisations.roles(found.name)]
    told = _person(found) | _counts(exchange, found)
    told["orgs"] = [_group(each) for each in organisations if each is not None]
    return answer(told)


def organisation(exchange: Exchange) -> Response:
    """An organisation."""
    found = _find(exchange, is_organisation=True)
    members = exchange.hub.organisations.members(found.name)
    return answer(_group(found) | _counts(exchange, found) | {"numUsers": len(members)})


def members(exchange: Exchange) -> Response:
    """Who belongs to an organisation."""
    names = exchange.hub.organisations.members(_find(exchange, is_organisation=True).name)
    found = [exchange.hub.organisations.find(name) for name in names]
    return answer([_person(each) for each in found if each is not None])


def own_repositories(exchange: Exchange) -> Response:
    """The repositories of whoever asks, with what their large files take."""
    if not exchange.actor.user:
        raise UnauthorizedError("a token is needed: it says whose repositories are meant")
    return _stored(exchange, exchange.actor.user)


def organisations_repositories(exchange: Exchange) -> Response:
    """Those of an organisation that whoever asks may see."""
    return _stored(exchange, _find(exchange, is_organisation=True).name)


def _stored(exchange: Exchange, namespace: str) -> Response:
    hub = exchange.hub
    found = [(each, sum(hub.holdings.of(each.uuid).values())) for each in visible(exchange, None, namespace)]
    total = sum(size for _, size in found) or 1
    return answer(
        [
            {
                "id": repository.id,
                "type": str(repository.kind),
                "updatedAt": moment(describe(hub, repository).modified),
                "visibility": repository.visibility,
                "storage": size,
                "storagePercent": round(100 * size / total, 1),
            }
            for repository, size in found
        ]
    )


def _find(exchange: Exchange, *, is_organisation: bool) -> Namespace:
    name = exchange.path["namespace"]
    found = exchange.hub.organisations.find(name)
    if found is None or found.is_organisation != is_organisation:
        raise NamespaceNotFoundError(f"there is no {'organisation' if is_organisation else 'user'} {name:.100}")
    return found


def _person(found: Namespace) -> dict[str, Any]:
    return {
        "type": "user",
        "user": found.name,
        "fullname": found.full_name or found.name,
        "avatarUrl": "",
        "isPro": False,
        "createdAt": moment(found.created_at),
    }


def _group(found: Namespace) -> dict[str, Any]:
    return {"type": "org", "name": found.name, "fullname": found.full_name or found.name, "avatarUrl": ""}


def _counts(exchange: Exchange, found: Namespace) -> dict[str, int]:
    """How much of theirs whoever asks may see."""
    kinds = [repository.kind for repository in visible(exchange, None, found.name)]
    told = {f"num{kind.plural.capitalize()}": kinds.count(kind) for kind in Kind}
    return told | {"numFollowers": 0, "numLikes": 0, "numPapers": 0}


ROUTES = (
    HubRoute("GET", "/api/users/{namespace}/overview", user),
    HubRoute("GET", "/api/organizations/{namespace}/overview", organisation),
    HubRoute("GET", "/api/organizations/{namespace}/members", members),
    HubRoute("GET", "/api/settings/repositories", own_repositories),
    HubRoute("GET", "/api/organizations/{namespace}/settings/repositories", organisations_repositories),
)
