"""Who somebody is, as `hf auth login` and its relatives ask."""

from typing import Any

import msgspec
from starlette.responses import Response

from embedhub.errors import HubContentError, UnauthorizedError
from embedhub.hub.cards import read_card
from embedhub.server.hub.exchange import Exchange, answer
from embedhub.server.hub.routing import HubRoute


class Card(msgspec.Struct):
    """A README.md that is about to be uploaded."""

    content: str = ""
    repoType: str = "model"  # noqa: N815 - as on the wire


def whoami(exchange: Exchange) -> Response:
    """The user behind a token, and the token."""
    actor = exchange.actor
    if not actor.user:
        raise UnauthorizedError("Invalid username or password.")
    account = exchange.identity.account
    namespace = exchange.hub.organisations.find(actor.user)
    organisations = []
    for name, role in actor.roles.items():
        found = exchange.hub.organisations.find(name)
        organisations.append(
            {
                "type": "org",
                "id": name,
                "name": name,
                "fullname": (found and found.full_name) or name,
                "roleInOrg": role,
                "isEnterprise": False,
            }
        )
    return answer(
        {
            "type": "user",
            "id": actor.user,
            "name": actor.user,
            "fullname": (namespace and namespace.full_name) or actor.user,
            "emailVerified": True,
            "isPro": False,
            "canPay": False,
            "orgs": organisations,
            "auth": {
                "type": "access_token",
                "accessToken": {"displayName": (account and account.name) or "embedhub", "role": actor.scope},
            },
        }
    )


def agent_harnesses(exchange: Exchange) -> Response:
    """Nothing: what programs other than people use the client is not asked here."""
    return answer({"standardEnvVars": [], "harnesses": {}})


def validate_yaml(exchange: Exchange) -> Response:
    """What is wrong with the head of a README.md."""
    card = exchange.json(Card)
    errors, warnings = card_problems(card.content)
    body = {"errors": [{"message": each} for each in errors], "warnings": [{"message": each} for each in warnings]}
    return answer(body, status=400 if errors else 200)


def card_problems(content: str) -> tuple[list[str], list[str]]:
    """Errors and warnings about a README.md. Pure."""
    try:
        metadata = read_card(content)
    except HubContentError as error:
        return [str(error)], []
    if not metadata:
        return [], ["empty or missing yaml metadata in repo card"]
    return _fields(metadata), []


def _fields(metadata: dict[str, Any]) -> list[str]:
    problems = []
    for name in ("license", "pipeline_tag", "library_name", "pretty_name"):
        value = metadata.get(name)
        if value is not None and not isinstance(value, str | list):
            problems.append(f'"{name}" must be a string')
    index = metadata.get("model-index")
    if index is not None and not (isinstance(index, list) and all(isinstance(each, dict) for each in index)):
        problems.append('"model-index" must be an array of objects')
    tags = metadata.get("tags")
    if tags is not None and not (isinstance(tags, list) and all(isinstance(tag, str | int | float) for tag in tags)):
        problems.append('"tags" must be an array of strings')
    return problems


ROUTES = (
    HubRoute("GET", "/api/whoami-v2", whoami),
    HubRoute("GET", "/api/agent-harnesses", agent_harnesses, scope="public"),
    HubRoute("POST", "/api/validate-yaml", validate_yaml, scope="public"),
)
