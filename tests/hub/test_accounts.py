"""Users and tokens: what works, what is kept, what several processes and a damaged file do."""

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from embedhub.errors import AccountError, HubDatabaseError
from embedhub.hub.accounts import Accounts


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    return Accounts(tmp_path / "home" / "hub.sqlite")


def test_a_token_is_found_until_it_is_revoked(accounts: Accounts) -> None:
    token, account = accounts.create_token("alice", "write", name="laptop", rate=60, daily_tokens=1000)
    assert token.startswith("hf_")
    assert accounts.find(token) == account
    assert (account.user, account.scope, account.name, account.rate) == ("alice", "write", "laptop", 60)
    assert accounts.find(token[:-1]) is None
    assert accounts.find("") is None
    assert accounts.revoke(account.id).revoked_at is not None
    assert accounts.find(token) is None
    assert [each.revoked_at is not None for each in accounts.list_tokens()] == [True]


def test_revoking_twice_keeps_the_first_time(accounts: Accounts) -> None:
    _, account = accounts.create_token("alice", "read")
    assert accounts.revoke(account.id) == accounts.revoke(account.id)


def test_tokens_differ_and_a_user_has_several(accounts: Accounts) -> None:
    made = [accounts.create_token(user, "read") for user in ("alice", "Alice", "bob")]
    assert len({token for token, _ in made}) == 3
    assert [account.user for _, account in made] == ["alice", "alice", "bob"]
    assert [account.id for account in accounts.list_tokens()] == [1, 2, 3]


def test_a_token_expires(accounts: Accounts) -> None:
    lasting, _ = accounts.create_token("alice", "read", 1)
    ended, account = accounts.create_token("alice", "read", 1e-9)
    assert account.expired()
    assert accounts.find(ended) is None
    assert accounts.find(lasting) is not None


def test_the_token_is_nowhere_in_the_files_and_others_cannot_read_them(accounts: Accounts) -> None:
    token, _ = accounts.create_token("alice", "read")
    files = [path for path in accounts.path.parent.iterdir() if path.name.startswith("hub.sqlite")]
    assert files
    for path in files:
        assert token.encode() not in path.read_bytes()
        assert token.removeprefix("hf_").encode() not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("user", ["", "a/b", "..", "a..b", "../x", "-x", "ä", "x" * 97, "a b", "a\n"])
def test_impossible_users_are_refused(accounts: Accounts, user: str) -> None:
    with pytest.raises(AccountError):
        accounts.create_token(user, "read")
    assert not accounts.path.exists()


@pytest.mark.parametrize("user", ["datasets", "API", "v1"])
def test_users_whose_names_mean_something_else_are_refused(accounts: Accounts, user: str) -> None:
    with pytest.raises(AccountError, match="another meaning"):
        accounts.create_token(user, "read")


def test_impossible_scopes_times_and_limits_are_refused(accounts: Accounts) -> None:
    for wrong in [("root", None, 1), ("read", 0.0, 1), ("read", -1.0, 1), ("read", float("nan"), 1), ("read", 1.0, -1)]:
        scope, days, rate = wrong
        with pytest.raises(AccountError):
            accounts.create_token("alice", scope, days, rate=rate)
    with pytest.raises(AccountError, match="no token 7"):
        accounts.revoke(7)


def test_without_a_file_there_is_nothing_and_looking_makes_none(accounts: Accounts) -> None:
    assert accounts.list_tokens() == []
    assert accounts.find("hf_x") is None
    assert accounts.mark() is None
    assert not accounts.path.exists()


def test_the_mark_changes_when_another_process_writes(accounts: Accounts) -> None:
    accounts.create_token("alice", "read")
    before = accounts.mark()
    assert accounts.mark() == before
    other = Accounts(accounts.path)
    token, account = other.create_token("bob", "read")
    between = accounts.mark()
    assert between != before
    assert accounts.find(token) == account
    other.revoke(account.id)
    assert accounts.mark() != between


def test_a_file_that_was_replaced_is_read_anew(accounts: Accounts) -> None:
    token, _ = accounts.create_token("alice", "read")
    before = accounts.mark()
    for path in accounts.path.parent.glob("hub.sqlite*"):
        path.unlink()
    assert accounts.find(token) is None
    other, _ = Accounts(accounts.path).create_token("bob", "read")
    assert accounts.mark() != before
    assert accounts.find(token) is None
    assert accounts.find(other) is not None


def test_processes_at_once_lose_nothing(accounts: Accounts) -> None:
    program = (
        "import sys; from pathlib import Path; from embedhub.hub.accounts import Accounts\n"
        "accounts = Accounts(Path(sys.argv[1]))\n"
        "for number in range(20): accounts.create_token(f'user{number}', 'read')"
    )
    command = [sys.executable, "-c", program, str(accounts.path)]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    for writer in writers:
        _, told = writer.communicate(timeout=60)
        assert writer.returncode == 0, told.decode()
    assert len(accounts.list_tokens()) == 80
    assert len({account.user for account in accounts.list_tokens()}) == 20


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_one_line(accounts: Accounts, content: bytes) -> None:
    accounts.path.parent.mkdir()
    accounts.path.write_bytes(content)
    for ask in (accounts.list_tokens, accounts.mark, lambda: accounts.create_token("alice", "read")):
        with pytest.raises(HubDatabaseError, match=r"hub\.sqlite is damaged"):
            ask()


def test_damage_in_the_middle_is_one_line(accounts: Accounts) -> None:
    for number in range(200):
        accounts.create_token(f"user{number}", "read", name="x" * 100)
    accounts.close()
    content = bytearray(accounts.path.read_bytes())
    content[4096:] = b"\xaa" * (len(content) - 4096)
    accounts.path.write_bytes(content)
    with pytest.raises(HubDatabaseError, match="damaged"):
        accounts.list_tokens()


def test_a_newer_file_is_left_alone(accounts: Accounts) -> None:
    accounts.create_token("alice", "read")
    accounts.close()
    database = sqlite3.connect(accounts.path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(HubDatabaseError, match="newer embedhub"):
        accounts.list_tokens()


def test_a_folder_in_its_place_is_one_line(accounts: Accounts) -> None:
    accounts.path.mkdir(parents=True)
    with pytest.raises(HubDatabaseError, match="cannot be used"):
        accounts.create_token("alice", "read")
