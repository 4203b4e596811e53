"""Who has tried too many passwords waits."""

import pytest

from embedhub.errors import RateLimitedError
from embedhub.server import attempts
from embedhub.server.attempts import Attempts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(attempts, "monotonic", lambda: now[0])
    return now


def test_an_address_tries_ten_times(clock: list[float]) -> None:
    tried = Attempts()
    for number in range(10):
        tried.count("10.0.0.1", f"user{number}")
    with pytest.raises(RateLimitedError, match="wait 15 minutes, or sign in with a token") as refused:
        tried.count("10.0.0.1", "another")
    assert refused.value.retry_after == 900
    tried.count("10.0.0.2", "another")
    clock[0] += 900
    tried.count("10.0.0.1", "another")


def test_one_network_of_ipv6_is_one_address(clock: list[float]) -> None:
    tried = Attempts()
    for number in range(10):
        tried.count(f"2001:db8::{number}", "a")
    with pytest.raises(RateLimitedError):
        tried.count("2001:db8::ffff", "a")


def test_many_networks_share_what_may_be_tried_of_a_name(clock: list[float]) -> None:
    tried = Attempts()
    for number in range(100):
        tried.count(f"10.0.{number}.1", "Alice")
    with pytest.raises(RateLimitedError):
        tried.count("10.9.9.9", "alice")
    tried.count("10.9.9.9", "bob")


def test_ones_own_password_buys_no_guesses(clock: list[float]) -> None:
    tried = Attempts()
    for _ in range(50):
        tried.count("10.0.0.1", "own")
        tried.forgive("10.0.0.1", "own")
    for _ in range(9):
        tried.count("10.0.0.1", "victim")
        tried.count("10.0.0.1", "own")
        tried.forgive("10.0.0.1", "own")
    tried.count("10.0.0.1", "victim")
    with pytest.raises(RateLimitedError):
        tried.count("10.0.0.1", "victim")
