"""A server for the gate, in a home of its own, with the people whom the libraries' tests expect to be there.

Knows our own command line, and only by its words. The tests' tokens are made anew each time and die with the home.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.engine.checkpoints import write_bert

USERS = {
    "__DUMMY_HUB_USER__": "Dummy User",
    "__DUMMY_DATASETS_USER__": "Dummy User",
    "DVUser": "Other User",
    "EnterpriseAdmin": "Enterprise Admin",
}
ORGANISATIONS = {
    "valid_org": ("Dummy Org", "public"),
    "valid_org_hub": ("Dummy Hub Org", "public"),
    "EnterpriseOrgPrivate": ("Enterprise Org", "private"),
}
MEMBERS = (
    ("valid_org", "__DUMMY_HUB_USER__", "admin"),
    ("valid_org_hub", "__DUMMY_HUB_USER__", "admin"),
    ("EnterpriseOrgPrivate", "__DUMMY_HUB_USER__", "write"),
    ("EnterpriseOrgPrivate", "EnterpriseAdmin", "admin"),
)

_STARTED = "listening on http://"


class HostError(Exception):
    """The server did not start, or a command of ours failed."""


@contextmanager
def hosting(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A server while the block runs, everything it keeps in `folder`: its address, and a token for each user.

    Raises:
        HostError: a user could not be made or the server did not start; says what was written.
    """
    # A model that is made here in no time: none is asked, but a server has one.
    surroundings = _surroundings(folder / "home", write_bert(folder / "model"))
    tokens = _populate(surroundings)
    log = folder / "server.log"
    with log.open("wb") as told:
        command = [sys.executable, "-m", "embedhub", "serve", "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told, env=surroundings)
    try:
        yield _address(server, log), tokens
    finally:
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _surroundings(home: Path, model: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EMBEDHUB_", "HF_"))}
    mine = {"EMBEDHUB_HOME": str(home), "EMBEDHUB_MODEL": str(model), "HF_HUB_OFFLINE": "1"}
    # As on the public Hub: what is public is for everybody. And one address makes all the requests of a suite.
    open_to_all = {"EMBEDHUB_ALLOW_ANONYMOUS": "1", "EMBEDHUB_RATE_LIMIT": "0"}
    return kept | mine | open_to_all | {"HF_HOME": str(home / "hf")}


def _populate(surroundings: dict[str, str]) -> dict[str, str]:
    for user, fullname in USERS.items():
        _embedhub(surroundings, "user", "create", user, "--fullname", fullname)
    for organisation, (fullname, visibility) in ORGANISATIONS.items():
        words = ("org", "create", organisation, "--fullname", fullname, "--default-visibility", visibility)
        _embedhub(surroundings, *words)
    for organisation, user, role in MEMBERS:
        _embedhub(surroundings, "org", "add", organisation, user, "--role", role)
    made = {
        user: _embedhub(surroundings, "token", "create", "--user", user, "--scope", "write", "--json") for user in USERS
    }
    return {user: json.loads(printed)["token"] for user, printed in made.items()}


def _embedhub(surroundings: dict[str, str], *words: str) -> str:
    command = [sys.executable, "-m", "embedhub", *words]
    result = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    if result.returncode:
        raise HostError(f"embedhub {' '.join(words)}: {result.stderr.strip()}")
    return result.stdout


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < deadline:
        told = log.read_text(errors="replace")
        if _STARTED in told:
            return "http://" + told.partition(_STARTED)[2].split()[0]
        time.sleep(0.05)
    raise HostError(f"the server did not start:\n{log.read_text(errors='replace')}")
