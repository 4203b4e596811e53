"""Organisations, their members, and the names that they share with users."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedhub.errors import AccountError, HubConflictError, HubNameError
from embedhub.hub.accounts import Accounts
from embedhub.hub.database import Connections
from embedhub.hub.organisations import Organisations


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "hub.sqlite"


@pytest.fixture
def organisations(database: Path) -> Iterator[Organisations]:
    connections = Connections(database)
    yield Organisations(connections)
    connections.close()


def test_members_and_roles(organisations: Organisations) -> None:
    organisations.create_organisation("Acme", "The Acme Company", "private")
    organisations.create_organisation("other")
    for name in ("bob", "alice"):
        organisations.create_user(name)
    organisations.add_member("acme", "ALICE", "admin")
    organisations.add_member("Acme", "bob", "read")
    organisations.add_member("Acme", "bob", "write")
    organisations.add_member("other", "bob", "read")
    assert organisations.members("ACME") == {"alice": "admin", "bob": "write"}
    assert organisations.roles("Bob") == {"Acme": "write", "other": "read"}
    organisations.remove_member("acme", "bob")
    assert organisations.roles("bob") == {"other": "read"}
    found = organisations.find("aCME")
    assert found is not None
    assert (found.name, found.full_name, found.default_visibility, found.is_organisation) == (
        "Acme",
        "The Acme Company",
        "private",
        True,
    )


def test_users_and_organisations_share_their_names(organisations: Organisations, database: Path) -> None:
    organisations.create_organisation("acme")
    organisations.create_user("alice")
    for make in (organisations.create_user, organisations.create_organisation):
        for name in ("Acme", "ALICE"):
            with pytest.raises(HubConflictError):
                make(name)
    accounts = Accounts(database)
    with pytest.raises(AccountError, match="organisation"):
        accounts.create_token("ACME", "read")
    accounts.close()


@pytest.mark.parametrize("name", ["", "a/b", "..", "api", "a b", "ü", "a" * 97, "a\n"])
def test_impossible_names(organisations: Organisations, name: str) -> None:
    with pytest.raises(HubNameError):
        organisations.create_user(name)
    with pytest.raises(HubNameError):
        organisations.create_organisation(name)
    assert organisations.namespaces() == []


def test_what_is_not_there_is_named(organisations: Organisations) -> None:
    organisations.create_user("alice")
    organisations.create_organisation("acme")
    for organisation, user, role, word in (
        ("nobody", "alice", "read", "no organisation nobody"),
        ("alice", "alice", "read", "no organisation alice"),
        ("acme", "nobody", "read", "no user nobody"),
        ("acme", "acme", "read", "no user acme"),
        ("acme", "alice", "owner", "owner"),
    ):
        with pytest.raises(AccountError, match=word):
            organisations.add_member(organisation, user, role)
    with pytest.raises(AccountError, match="no member"):
        organisations.remove_member("acme", "alice")
    with pytest.raises(AccountError, match="visibility"):
        organisations.create_organisation("b", default_visibility="secret")


def test_a_user_is_made_once(organisations: Organisations) -> None:
    first = organisations.ensure_user("Alice")
    assert organisations.ensure_user("alice") == first
    assert [each.name for each in organisations.namespaces()] == ["Alice"]
