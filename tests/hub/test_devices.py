"""Clients that wait for a token: what a code opens, how long, how often, and for how many."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedhub.errors import AccountError, RateLimitedError
from embedhub.hub import devices as module
from embedhub.hub.database import Connections
from embedhub.hub.devices import EXPIRES_SECONDS, INTERVAL_SECONDS, Approval, Devices, Progress
from embedhub.hub.organisations import Namespace, Organisations


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def connections(tmp_path: Path) -> Iterator[Connections]:
    made = Connections(tmp_path / "hub.sqlite")
    yield made
    made.close()


@pytest.fixture
def devices(connections: Connections, clock: Clock) -> Devices:
    return Devices(connections)


@pytest.fixture
def alice(connections: Connections) -> Namespace:
    return Organisations(connections).create_user("alice")


def test_a_client_is_approved_once(devices: Devices, clock: Clock, alice: Namespace) -> None:
    secret, code = devices.begin("1.2.3.4")
    assert devices.ask(secret) is Progress.PENDING
    assert devices.ask(secret) is Progress.TOO_SOON
    # As people write it.
    devices.approve(f" {code.lower().replace('-', ' ')}", alice, "write", 30)
    clock.now += INTERVAL_SECONDS
    assert devices.ask(secret) == Approval("alice", "write", 30)
    clock.now += INTERVAL_SECONDS
    assert devices.ask(secret) is Progress.EXPIRED
    with pytest.raises(AccountError, match="no client waits"):
        devices.approve(code, alice, "write")


def test_the_first_word_counts(devices: Devices, alice: Namespace) -> None:
    _, code = devices.begin("1.2.3.4")
    devices.approve(code, alice, "read")
    with pytest.raises(AccountError, match="no client waits"):
        devices.approve(code, alice, "admin")


def test_codes_end(devices: Devices, clock: Clock, alice: Namespace) -> None:
    secret, code = devices.begin("1.2.3.4")
    approved, approved_code = devices.begin("1.2.3.4")
    devices.approve(approved_code, alice, "read")
    clock.now += EXPIRES_SECONDS
    with pytest.raises(AccountError, match="no client waits"):
        devices.approve(code, alice, "read")
    assert devices.ask(secret) is Progress.EXPIRED
    assert devices.ask(approved) is Progress.EXPIRED


def test_a_code_is_no_secret_and_a_secret_no_code(devices: Devices, alice: Namespace) -> None:
    secret, code = devices.begin("1.2.3.4")
    assert devices.ask(code) is Progress.EXPIRED
    for wrong in (secret, "", "-", "BCDF-GHJK'; --", "\0", "ü" * 1000):
        with pytest.raises(AccountError, match="no client waits"):
            devices.approve(wrong, alice, "read")
    assert devices.ask("\udcff") is Progress.EXPIRED


def test_only_so_many_wait(devices: Devices, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(10):
        devices.begin("1.2.3.4")
    with pytest.raises(RateLimitedError):
        devices.begin("1.2.3.4")
    devices.begin("5.6.7.8")
    monkeypatch.setattr(module, "_MOST", 11)
    with pytest.raises(RateLimitedError):
        devices.begin("9.9.9.9")
    clock.now += EXPIRES_SECONDS
    devices.begin("1.2.3.4")


def test_who_cannot_be_approved(devices: Devices, connections: Connections, alice: Namespace) -> None:
    _, code = devices.begin("1.2.3.4")
    organisation = Organisations(connections).create_organisation("acme")
    with pytest.raises(AccountError, match="organisation"):
        devices.approve(code, organisation, "read")
    with pytest.raises(AccountError, match="scope"):
        devices.approve(code, alice, "owner")
    for days in (0, -1, float("nan"), float("inf")):
        with pytest.raises(AccountError, match="expire"):
            devices.approve(code, alice, "read", days)
    devices.approve(code, alice, "read")


def test_no_secret_is_kept(devices: Devices, connections: Connections) -> None:
    secret, _ = devices.begin("1.2.3.4")
    with connections.read() as database:
        assert secret not in str(database.execute("SELECT * FROM devices").fetchall())
