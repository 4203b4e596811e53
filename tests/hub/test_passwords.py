"""Passwords: what is kept, what matches, and what is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedhub.errors import AccountError
from embedhub.hub.accounts import DATABASE
from embedhub.hub.database import Connections
from embedhub.hub.organisations import Organisations
from embedhub.hub.passwords import Passwords


@pytest.fixture
def connections(tmp_path: Path) -> Iterator[Connections]:
    made = Connections(tmp_path / DATABASE)
    Organisations(made).create_user("Alice")
    Organisations(made).create_user("bob")
    Organisations(made).create_organisation("acme")
    yield made
    made.close()


def test_a_password_is_its_users(connections: Connections) -> None:
    passwords = Passwords(connections)
    passwords.set("alice", "correct horse ☃")
    assert passwords.check("ALICE", "correct horse ☃") == "Alice"
    for user, tried in (("alice", "correct horse"), ("alice", ""), ("bob", "correct horse ☃"), ("nobody", "x" * 8)):
        assert passwords.check(user, tried) is None
    passwords.set("alice", "another one")
    assert passwords.check("alice", "correct horse ☃") is None


def test_nobody_reads_it_in_the_file(connections: Connections) -> None:
    passwords = Passwords(connections)
    passwords.set("alice", "correct horse")
    passwords.set("bob", "correct horse")
    with connections.read() as database:
        kept = [row[0] for row in database.execute("SELECT password FROM users WHERE password != ''")]
    assert len(set(kept)) == 2
    assert all(each.startswith("scrypt$32768$8$1$") and "horse" not in each for each in kept)


@pytest.mark.parametrize(
    "kept", ["x", "scrypt$a$b$c$d$e", "scrypt$3$8$1$AAAA$AAAA", "scrypt$1048576$8$1$AAAA$AAAA", "$$$$$"]
)
def test_what_was_not_written_here_matches_nothing(connections: Connections, kept: str) -> None:
    with connections.write() as database:
        database.execute("UPDATE users SET password = ? WHERE name = 'bob'", (kept,))
    assert Passwords(connections).check("bob", "anything") is None


@pytest.mark.parametrize(
    ("user", "password", "told"),
    [
        ("alice", "short", "at least 8 characters"),
        ("alice", "x" * 1001, "at most 1000 bytes"),
        ("nobody", "x" * 8, "no user nobody"),
        ("acme", "x" * 8, "no user acme"),
    ],
)
def test_what_is_refused(connections: Connections, user: str, password: str, told: str) -> None:
    with pytest.raises(AccountError, match=told):
        Passwords(connections).set(user, password)
