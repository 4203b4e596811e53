"""`embedhub user` and `embedhub org`: who there is, and who belongs together."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from embedhub.cli.datasets import JsonOption
from embedhub.config import settings

if TYPE_CHECKING:
    from embedhub.hub.database import Connections
    from embedhub.hub.organisations import Namespace, Organisations

users = typer.Typer(help="Users of this machine's Hub: create, list, password.", no_args_is_help=True)
organisations = typer.Typer(help="Organisations of this machine's Hub: who belongs together.", no_args_is_help=True)

FullName = Annotated[str, typer.Option("--fullname", help="For people to read.", show_default=False)]


class Role(StrEnum):
    """What a member may do in the organisation's repositories."""

    READ = "read"
    CONTRIBUTOR = "contributor"
    WRITE = "write"
    ADMIN = "admin"


class Visibility(StrEnum):
    """Who sees a repository."""

    PUBLIC = "public"
    PRIVATE = "private"


@users.command("create")
def create_user(
    name: Annotated[str, typer.Argument(help="Letters, digits, _, - and single dots.", show_default=False)],
    full_name: FullName = "",
    json: JsonOption = False,
) -> None:
    """Make a user. A token for them makes `embedhub token create`."""
    with _opened() as hub:
        _tell(hub.create_user(name, full_name), json)


@users.command("list")
def list_users(json: JsonOption = False) -> None:
    """List the users."""
    with _opened() as hub:
        _list([each for each in hub.namespaces() if not each.is_organisation], json)


@users.command("password")
def password(name: Annotated[str, typer.Argument(help="Whose password it is.", show_default=False)]) -> None:
    """Give a user a password to sign in with on the site; it is asked for, or read from the standard input."""
    import sys

    from embedhub.cli.output import RESULTS
    from embedhub.hub.passwords import Passwords

    if sys.stdin.isatty():
        chosen = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        chosen = sys.stdin.readline().rstrip("\r\n")
    with _connected() as connections:
        Passwords(connections).set(name, chosen)
    RESULTS.print(f"{name} signs in with that password", markup=False)


@organisations.command("create")
def create_organisation(
    name: Annotated[str, typer.Argument(help="As a user's; the two share their names.", show_default=False)],
    full_name: FullName = "",
    default_visibility: Annotated[
        Visibility, typer.Option(help="Of repositories that are made without a word about that.")
    ] = Visibility.PUBLIC,
    json: JsonOption = False,
) -> None:
    """Make an organisation."""
    with _opened() as hub:
        _tell(hub.create_organisation(name, full_name, str(default_visibility)), json)


@organisations.command("add")
def add(
    organisation: Annotated[str, typer.Argument(show_default=False)],
    user: Annotated[str, typer.Argument(show_default=False)],
    role: Annotated[Role, typer.Option(help="What they may do; each holds those before it.")] = Role.WRITE,
) -> None:
    """Let a user in, or change their role."""
    from embedhub.cli.output import RESULTS

    with _opened() as hub:
        hub.add_member(organisation, user, str(role))
    RESULTS.print(f"{user} is a member of {organisation} ({role})", markup=False)


@organisations.command("remove")
def remove(
    organisation: Annotated[str, typer.Argument(show_default=False)],
    user: Annotated[str, typer.Argument(show_default=False)],
) -> None:
    """Let a user go."""
    from embedhub.cli.output import RESULTS

    with _opened() as hub:
        hub.remove_member(organisation, user)
    RESULTS.print(f"{user} is no longer a member of {organisation}", markup=False)


@organisations.command("list")
def list_organisations(
    organisation: Annotated[str | None, typer.Argument(help="Whose members to list.", show_default=False)] = None,
    json: JsonOption = False,
) -> None:
    """List the organisations, or one's members."""
    from embedhub.cli.output import print_json, print_table

    with _opened() as hub:
        if organisation is None:
            _list([each for each in hub.namespaces() if each.is_organisation], json)
            return
        members = hub.members(organisation)
    if json:
        print_json([{"user": user, "role": role} for user, role in members.items()])
    else:
        print_table(("user", "role"), list(members.items()))


@contextmanager
def _connected() -> "Iterator[Connections]":
    from embedhub.hub.accounts import DATABASE
    from embedhub.hub.database import Connections

    connections = Connections(settings().home / DATABASE)
    try:
        yield connections
    finally:
        connections.close()


@contextmanager
def _opened() -> "Iterator[Organisations]":
    from embedhub.hub.organisations import Organisations

    with _connected() as connections:
        yield Organisations(connections)


def _fields(namespace: "Namespace") -> dict[str, str]:
    return {"name": namespace.name, "fullname": namespace.full_name, "default_visibility": namespace.default_visibility}


def _tell(made: "Namespace", json: bool) -> None:
    from embedhub.cli.output import RESULTS, print_json

    if json:
        print_json(_fields(made))
    else:
        RESULTS.print(f"made {'organisation' if made.is_organisation else 'user'} {made.name}", markup=False)


def _list(found: "list[Namespace]", json: bool) -> None:
    from embedhub.cli.output import print_json, print_table, say

    if json:
        print_json([_fields(each) for each in found])
    elif found:
        print_table(("name", "full name"), [(each.name, each.full_name) for each in found])
    else:
        say("none yet")
