"""`hf auth login` without a token: a client shows a code, somebody says whose it is, on a page or on the machine.

Source: RFC 8628; errors are those of OAuth, not the Hub's.
"""

from starlette.responses import Response

from embedhub.hub.accounts import DATABASE, Accounts
from embedhub.hub.devices import EXPIRES_SECONDS, INTERVAL_SECONDS, Devices, Progress
from embedhub.server.hub.exchange import Exchange, answer
from embedhub.server.hub.routing import HubRoute

_GRANT = "urn:ietf:params:oauth:grant-type:device_code"

# What somebody who looks at their tokens sees.
_TOKEN_NAME = "hf auth login"

_UNCACHED = {"cache-control": "no-store"}


def begin(exchange: Exchange) -> Response:
    """Codes for a client that wants a token."""
    device_code, code = Devices(exchange.hub.connections).begin(exchange.identity.address)
    page = f"{exchange.base}/device"
    return answer(
        {
            "device_code": device_code,
            "user_code": code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={code}",
            "expires_in": EXPIRES_SECONDS,
            "interval": INTERVAL_SECONDS,
        },
        _UNCACHED,
    )


def token(exchange: Exchange) -> Response:
    """The token, once somebody has said whose it is; until then how far that is."""
    form = exchange.form()
    grant = form.get("grant_type", [""])[0]
    if grant == "refresh_token":
        # Tokens of this server are not renewed: they last as long as whoever approved them said.
        return _refused("invalid_grant", "tokens are not renewed here: log in again")
    if grant != _GRANT:
        return _refused("unsupported_grant_type", f"grant_type is to be {_GRANT}")
    found = Devices(exchange.hub.connections).ask(form.get("device_code", [""])[0])
    if isinstance(found, Progress):
        return _refused(str(found), "see RFC 8628, section 3.5")
    accounts = Accounts(exchange.hub.home / DATABASE)
    try:
        made, account = accounts.create_token(found.user, found.scope, found.days, _TOKEN_NAME)
    finally:
        accounts.close()
    told: dict[str, str | int] = {"access_token": made, "token_type": "bearer", "scope": account.scope}
    if account.expires_at is not None:
        told |= {"expires_in": round(account.expires_at - account.created_at)}
    return answer(told, _UNCACHED)


def _refused(error: str, description: str) -> Response:
    return answer({"error": error, "error_description": description}, _UNCACHED, 400)


ROUTES = (
    HubRoute("POST", "/oauth/device", begin, scope="public"),
    HubRoute("POST", "/oauth/token", token, scope="public"),
)
