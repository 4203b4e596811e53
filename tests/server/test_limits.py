"""Bodies that are too long, too slow, too many, or not what they say; what is used of a day."""

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from embedhub.config import Settings
from embedhub.errors import OverloadedError, RateLimitedError, RequestError, RequestTimeoutError, RequestTooLargeError
from embedhub.hub.accounts import Account
from embedhub.hub.usage import Usage
from embedhub.server.limits import Bodies
from embedhub.server.quota import Quota

MEGABYTE = 1 << 20
Receive = Callable[[], Awaitable[Any]]


def sending(*parts: bytes, ends: bool = True) -> Receive:
    """What a client sends; without an end it hangs up."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request"} if ends else {"type": "http.disconnect"})

    async def receive() -> Any:
        return messages.pop(0)

    return receive


def read(bodies: Bodies, receive: Receive, **headers: str) -> bytes:
    return asyncio.run(bodies.read(receive, {name.replace("_", "-"): value for name, value in headers.items()}))


@pytest.fixture
def bodies() -> Bodies:
    return Bodies(Settings(max_body_mb=1, body_seconds=1))


def test_a_body_is_its_parts(bodies: Bodies) -> None:
    body = read(bodies, sending(b"one ", b"", b"two"))
    assert body == b"one two"
    assert bodies.held == 7
    bodies.release(body)
    assert bodies.held == 0


@pytest.mark.parametrize("name", ["gzip", "GZIP", "x-gzip"])
def test_gzip_may_have_several_members(bodies: Bodies, name: str) -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two") + b"\0" * 512
    assert read(bodies, sending(packed[:15], packed[15:]), content_encoding=name) == b"one two"
    assert bodies.held == 7


def test_deflate_is_what_the_standard_says(bodies: Bodies) -> None:
    assert read(bodies, sending(zlib.compress(b"one")), content_encoding="deflate") == b"one"


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"no gzip",
        gzip.compress(b"one", mtime=0)[:-1],
        gzip.compress(b"one", mtime=0) + b"more",
        gzip.compress(b"one", mtime=0)[:12],
    ],
)
def test_broken_gzip_is_refused(bodies: Bodies, packed: bytes) -> None:
    with pytest.raises(RequestError):
        read(bodies, sending(packed), content_encoding="gzip")
    assert bodies.held == 0


def test_a_damaged_checksum_is_refused(bodies: Bodies) -> None:
    packed = bytearray(gzip.compress(b"one"))
    packed[-6] ^= 1
    with pytest.raises(RequestError, match="cannot be decompressed"):
        read(bodies, sending(bytes(packed)), content_encoding="gzip")


def test_exactly_the_limit_is_allowed(bodies: Bodies) -> None:
    assert len(read(bodies, sending(b" " * MEGABYTE))) == MEGABYTE
    assert len(read(bodies, sending(gzip.compress(b" " * MEGABYTE)), content_encoding="gzip")) == MEGABYTE


@pytest.mark.parametrize(
    ("parts", "headers"),
    [
        ([b" " * MEGABYTE, b" "], {}),
        ([], {"content_length": str(MEGABYTE + 1)}),
        ([gzip.compress(b" " * (MEGABYTE + 1))], {"content_encoding": "gzip"}),
        ([gzip.compress(b" " * (MEGABYTE // 2)) * 3], {"content_encoding": "gzip"}),
    ],
)
def test_more_is_too_large_and_names_the_setting(bodies: Bodies, parts: list[bytes], headers: dict[str, str]) -> None:
    with pytest.raises(RequestTooLargeError, match="EMBEDHUB_MAX_BODY_MB"):
        read(bodies, sending(*parts), **headers)
    assert bodies.held == 0


def test_encodings_that_are_not_known_are_refused_before_the_body_is_read(bodies: Bodies) -> None:
    for encoding in ("br", "gzip, gzip", "zstd"):
        with pytest.raises(RequestError, match="content-encoding"):
            read(bodies, sending(), content_encoding=encoding)


def test_a_body_that_breaks_off_is_refused(bodies: Bodies) -> None:
    with pytest.raises(RequestError, match="broke off"):
        read(bodies, sending(b"one", ends=False))
    assert bodies.held == 0


def test_silence_is_a_timeout(bodies: Bodies) -> None:
    async def silent() -> Any:
        await asyncio.sleep(60)

    with pytest.raises(RequestTimeoutError, match="EMBEDHUB_BODY_SECONDS"):
        read(bodies, silent)


def test_large_bodies_at_once_are_refused_beyond_a_limit(bodies: Bodies) -> None:
    held = [read(bodies, sending(b" " * MEGABYTE)) for _ in range(8)]
    with pytest.raises(OverloadedError) as told:
        read(bodies, sending(b" "))
    assert told.value.retry_after
    bodies.release(held.pop())
    assert read(bodies, sending(b" ")) == b" "


def test_what_is_used_is_kept_and_shared(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    mine, other = (Quota(Settings(daily_tokens=100), Usage(path)) for _ in range(2))
    mine.charge(None, "10.0.0.1", 60)
    asyncio.run(mine.save())
    mine.check(None, "10.0.0.1")
    other.charge(None, "10.0.0.1", 60)
    asyncio.run(other.save())
    for quota in (other, Quota(Settings(daily_tokens=100), Usage(path))):
        with pytest.raises(RateLimitedError, match="100 tokens a day"):
            quota.check(None, "10.0.0.1")
        quota.check(None, "10.0.0.2")


def test_what_has_no_limit_is_not_written(tmp_path: Path) -> None:
    quota = Quota(Settings(), Usage(tmp_path / "hub.sqlite"))
    quota.charge(None, "10.0.0.1", 60)
    asyncio.run(quota.save())
    assert not (tmp_path / "hub.sqlite").exists()


def test_a_token_may_have_limits_of_its_own(tmp_path: Path) -> None:
    quota = Quota(Settings(daily_tokens=10), Usage(tmp_path / "hub.sqlite"))
    free, tight = (
        Account(number, "alice", "read", "", 0.0, None, None, None, daily) for number, daily in ((1, 0), (2, 5))
    )
    for each in (free, tight):
        quota.charge(each, "10.0.0.1", 5)
    quota.check(free, "10.0.0.1")
    with pytest.raises(RateLimitedError, match="5 tokens a day"):
        quota.check(tight, "10.0.0.1")


def test_what_cannot_be_written_is_told_and_still_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "hub.sqlite"
    quota = Quota(Settings(daily_tokens=10), Usage(path))
    path.write_bytes(b"damaged" * 1000)
    quota.charge(None, "10.0.0.1", 10)
    asyncio.run(quota.save())
    assert "not written down" in caplog.text
    with pytest.raises(RateLimitedError, match="tokens a day"):
        quota.check(None, "10.0.0.1")


def test_what_would_go_beyond_the_day_is_refused_and_costs_nothing(tmp_path: Path) -> None:
    quota = Quota(Settings(daily_tokens=100), Usage(tmp_path / "hub.sqlite"))
    quota.charge(None, "10.0.0.1", 60)
    with pytest.raises(RateLimitedError, match="has 41 tokens, 40 of the 100 tokens a day") as told:
        quota.charge(None, "10.0.0.1", 41)
    assert told.value.retry_after
    with pytest.raises(RequestTooLargeError, match="has 101 tokens, 100 a day"):
        quota.charge(None, "10.0.0.1", 101)
    quota.charge(None, "10.0.0.1", 40)
    with pytest.raises(RateLimitedError):
        quota.check(None, "10.0.0.1")


def test_what_was_not_computed_is_given_back_but_no_more(tmp_path: Path) -> None:
    quota = Quota(Settings(daily_tokens=100), Usage(tmp_path / "hub.sqlite"))
    quota.charge(None, "10.0.0.1", 60)
    asyncio.run(quota.save())
    quota.charge(None, "10.0.0.1", -60)
    quota.charge(None, "10.0.0.1", -60)
    quota.charge(None, "10.0.0.1", 100)
    with pytest.raises(RateLimitedError):
        quota.charge(None, "10.0.0.1", 1)
