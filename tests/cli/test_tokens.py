"""`embedhub token`: what is printed where, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.server.processes import surroundings

from embedhub.hub.accounts import DATABASE, Accounts


def run(folder: Path, *words: object, status: int = 0) -> subprocess.CompletedProcess[bytes]:
    """`embedhub token` with words and a home in the folder; its exit status must be `status`."""
    command = [sys.executable, "-m", "embedhub", "token", *map(str, words)]
    variables = surroundings(folder / "home", folder, NO_COLOR="1")
    result = subprocess.run(command, capture_output=True, cwd=folder, env=variables, timeout=60, check=False)
    assert result.returncode == status, result.stderr.decode()
    return result


def accounts(folder: Path) -> Accounts:
    return Accounts(folder / "home" / DATABASE)


def test_the_token_alone_goes_to_standard_output(tmp_path: Path) -> None:
    made = run(tmp_path, "create", "--user", "alice", "--name", "[b]laptop[/b]")
    token = made.stdout.decode().removesuffix("\n")
    assert token.startswith("hf_")
    assert token.isascii()
    account = accounts(tmp_path).find(token)
    assert account is not None
    assert (account.user, account.scope, account.name) == ("alice", "read", "[b]laptop[/b]")
    assert b"token 1 of alice (read)" in made.stderr
    assert b"the first token" in made.stderr
    assert b"the first token" not in run(tmp_path, "create", "--user", "bob").stderr
    listed = run(tmp_path, "list").stdout.decode()
    assert token not in listed
    assert "alice" in listed


def test_json_says_everything_and_the_token_once(tmp_path: Path) -> None:
    flags = ["--scope", "write", "--expires", "2", "--rate", "60", "--daily-tokens", "0", "--json"]
    made = json.loads(run(tmp_path, "create", "--user", "bob", *flags).stdout)
    assert (made["id"], made["scope"], made["rate"], made["daily_tokens"]) == (1, "write", 60, 0)
    assert made["expires_at"] > made["created_at"]
    listed = json.loads(run(tmp_path, "list", "--json").stdout)
    assert listed == [{name: value for name, value in made.items() if name != "token"}]


def test_a_revoked_token_is_still_listed(tmp_path: Path) -> None:
    token = run(tmp_path, "create", "--user", "alice").stdout.decode().strip()
    assert run(tmp_path, "revoke", 1).stdout == b"revoked token 1 of alice\n"
    assert accounts(tmp_path).find(token) is None
    assert b"revoked" in run(tmp_path, "list").stdout


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["create", "--user", "a/b"], 8, b"a name has letters"),
        (["create", "--user", "a", "--expires", "0"], 8, b"expire"),
        (["create", "--user", "a", "--expires", "nan"], 8, b"expire"),
        (["create", "--user", "a", "--scope", "root"], 2, b"--scope"),
        (["create"], 2, b"--user"),
        (["revoke", "7"], 8, b"no token 7"),
        (["list"], 0, b"no tokens yet"),
    ],
)
def test_what_is_told(tmp_path: Path, words: list[str], status: int, told: bytes) -> None:
    assert told in run(tmp_path, *words, status=status).stderr
    assert not accounts(tmp_path).path.exists()


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    path = accounts(tmp_path).path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged" * 1000)
    for words in (["list"], ["create", "--user", "alice"], ["revoke", 1]):
        stderr = run(tmp_path, *words, status=8).stderr
        assert stderr.count(b"\n") == 1
        assert b"is damaged" in stderr
