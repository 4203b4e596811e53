"""`embedhub user` and `embedhub org`: what is printed, and what is refused in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.server.processes import surroundings


def run(folder: Path, *words: str, status: int = 0, typed: str = "") -> subprocess.CompletedProcess[bytes]:
    """`embedhub` with words and a home in the folder; its exit status must be `status`."""
    variables = surroundings(folder / "home", folder, NO_COLOR="1")
    command = [sys.executable, "-m", "embedhub", *words]
    result = subprocess.run(
        command, input=typed.encode(), capture_output=True, cwd=folder, env=variables, timeout=60, check=False
    )
    assert result.returncode == status, result.stderr.decode()
    return result


def test_an_organisation_and_its_members(tmp_path: Path) -> None:
    run(tmp_path, "user", "create", "alice", "--fullname", "Alice A.")
    run(tmp_path, "token", "create", "--user", "Bob")
    made = json.loads(run(tmp_path, "org", "create", "acme", "--default-visibility", "private", "--json").stdout)
    assert made == {"name": "acme", "fullname": "", "default_visibility": "private"}
    run(tmp_path, "org", "add", "acme", "alice", "--role", "admin")
    run(tmp_path, "org", "add", "acme", "bob")
    members = json.loads(run(tmp_path, "org", "list", "acme", "--json").stdout)
    assert members == [{"user": "alice", "role": "admin"}, {"user": "Bob", "role": "write"}]
    run(tmp_path, "org", "remove", "acme", "alice")
    assert b"alice" not in run(tmp_path, "org", "list", "acme").stdout
    users = json.loads(run(tmp_path, "user", "list", "--json").stdout)
    assert [user["name"] for user in users] == ["alice", "Bob"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["user", "create", "a/b"], b"a name has letters"),
        (["user", "create", "API"], b"another meaning"),
        (["org", "add", "nobody", "alice"], b"no organisation nobody"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(tmp_path: Path, words: list[str], told: bytes) -> None:
    refused = run(tmp_path, *words, status=8)
    assert told in refused.stderr
    assert refused.stderr.count(b"\n") == 1


def test_users_and_organisations_share_their_names(tmp_path: Path) -> None:
    run(tmp_path, "user", "create", "alice")
    assert b"already" in run(tmp_path, "org", "create", "Alice", status=8).stderr
    run(tmp_path, "org", "create", "acme")
    assert b"is an organisation" in run(tmp_path, "token", "create", "--user", "acme", status=8).stderr


def test_a_password_is_read_and_not_told(tmp_path: Path) -> None:
    run(tmp_path, "user", "create", "alice")
    told = run(tmp_path, "user", "password", "alice", typed="correct horse\n")
    assert told.stdout == b"alice signs in with that password\n"
    assert b"horse" not in told.stderr
    short = run(tmp_path, "user", "password", "alice", typed="short\n", status=8)
    assert b"at least 8 characters" in short.stderr
