"""`embedhub token create`, `list`, `revoke` and `approve`."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from embedhub.cli.datasets import JsonOption
from embedhub.config import settings

if TYPE_CHECKING:
    from embedhub.hub.accounts import Account, Accounts

app = typer.Typer(help="Tokens of this machine's server: create, list, revoke, approve.", no_args_is_help=True)


class Scope(StrEnum):
    """What a token may do; each holds those before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@app.command("create")
def create(
    user: Annotated[str, typer.Option(help="Whose token it is; a new name makes a new user.", show_default=False)],
    scope: Annotated[Scope, typer.Option(help="What it may do; each holds those before it.")] = Scope.READ,
    expires: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Days after which it stops working.", show_default=False)
    ] = None,
    name: Annotated[str, typer.Option(help="What it is for.", show_default=False)] = "",
    rate: Annotated[
        int | None,
        typer.Option(min=0, help="Requests a minute, 0 without limit; else EMBEDHUB_RATE_LIMIT.", show_default=False),
    ] = None,
    daily_tokens: Annotated[
        int | None,
        typer.Option(
            min=0, help="Tokens of text a day, 0 without limit; else EMBEDHUB_DAILY_TOKENS.", show_default=False
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a token and print it, this once: it is not kept. A server that runs knows it within a second."""
    from embedhub.cli.output import print_json, say

    accounts = _accounts()
    is_first = not accounts.list_tokens()
    token, account = accounts.create_token(user, str(scope), expires, name, rate=rate, daily_tokens=daily_tokens)
    if is_first:
        say(
            "the first token: from now on a server of this machine, also one that runs, asks everybody for a token "
            "(--allow-anonymous lets others read)"
        )
    if json:
        print_json(_fields(account) | {"token": token})
        return
    ends = f"until {_date(account.expires_at)}" if account.expires_at else "until it is revoked"
    say(f"token {account.id} of {account.user} ({account.scope}) works {ends}; it is shown only now:")
    typer.echo(token)


@app.command("list")
def list_tokens(json: JsonOption = False) -> None:
    """List the tokens there are, and were."""
    from embedhub.cli.output import print_json, print_table, say

    found = _accounts().list_tokens()
    if json:
        print_json([_fields(account) for account in found])
    elif found:
        rows = [
            (str(each.id), each.user, each.scope, _state(each), _date(each.created_at), _limits(each), each.name)
            for each in found
        ]
        print_table(("id", "user", "scope", "state", "created", "limits", "name"), rows)
    else:
        say("no tokens yet; `embedhub token create --user NAME` makes one")


@app.command("revoke")
def revoke(id: Annotated[int, typer.Argument(help="The token's number; `embedhub token list` shows it.")]) -> None:
    """End a token. A server that runs refuses it within a second."""
    from embedhub.cli.output import RESULTS

    account = _accounts().revoke(id)
    RESULTS.print(f"revoked token {account.id} of {account.user}", markup=False)


@app.command("approve")
def approve(
    code: Annotated[str, typer.Argument(help="The code that the program shows, such as BCDF-GHJK.")],
    user: Annotated[str, typer.Option(help="Whose token it gets; a new name makes a new user.", show_default=False)],
    scope: Annotated[Scope, typer.Option(help="What it may do; each holds those before it.")] = Scope.WRITE,
    expires: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Days after which it stops working.", show_default=False)
    ] = None,
) -> None:
    """Give a token to a program that asks for one with a code, such as `hf auth login` without a token."""
    from embedhub.cli.output import RESULTS
    from embedhub.hub.accounts import DATABASE
    from embedhub.hub.database import Connections
    from embedhub.hub.devices import Devices
    from embedhub.hub.organisations import Organisations

    connections = Connections(settings().home / DATABASE)
    try:
        owner = Organisations(connections).ensure_user(user)
        Devices(connections).approve(code, owner, str(scope), expires)
    finally:
        connections.close()
    RESULTS.print(f"approved {code} for {owner.name} ({scope})", markup=False)


def _accounts() -> "Accounts":
    from embedhub.hub.accounts import DATABASE, Accounts

    return Accounts(settings().home / DATABASE)


def _fields(account: "Account") -> dict[str, Any]:
    return {
        "id": account.id,
        "user": account.user,
        "scope": account.scope,
        "name": account.name,
        "state": _state(account).split()[0],
        "created_at": _date(account.created_at),
        "expires_at": _date(account.expires_at) or None,
        "revoked_at": _date(account.revoked_at) or None,
        "rate": account.rate,
        "daily_tokens": account.daily_tokens,
    }


def _state(account: "Account") -> str:
    if account.revoked_at is not None:
        return "revoked"
    if account.expired():
        return "expired"
    return f"valid until {_date(account.expires_at)}" if account.expires_at else "valid"


def _limits(account: "Account") -> str:
    limits = []
    if account.rate is not None:
        limits.append(f"{account.rate} requests a minute" if account.rate else "any rate")
    if account.daily_tokens is not None:
        limits.append(f"{account.daily_tokens} tokens a day" if account.daily_tokens else "any tokens a day")
    return ", ".join(limits)


def _date(seconds: float | None) -> str:
    """Seconds since 1970 as a time in UTC."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(" ", "seconds")
