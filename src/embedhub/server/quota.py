"""How much one may ask: requests a minute and tokens of text a day.

Requests are counted in memory, in a bucket that is refilled all the time and holds a minute's worth. Tokens are counted
once they are known and before they are computed, so that neither requests at the same time nor those that are given up
go beyond the limit. They are written down every few seconds, and read again by a server that starts.
"""

import asyncio
import ipaddress
import logging
import math
from collections import Counter, OrderedDict
from datetime import UTC, datetime
from time import monotonic

from embedhub.config import Settings
from embedhub.errors import EmbedhubError, RateLimitedError, RequestTooLargeError
from embedhub.hub.accounts import Account
from embedhub.hub.usage import Usage

logger = logging.getLogger(__name__)

_SAVE_EVERY_SECONDS = 5.0
_MINUTE = 60.0
_DAY_SECONDS = 86_400

# Whoever has not asked for longest is forgotten first; a forgotten bucket is a full one.
_REMEMBERED = 10_000


class Quota:
    """What everybody has used of what is allowed.

    Args:
        config: the settings; a token may have limits of its own.
        usage: what was used before.
    """

    def __init__(self, config: Settings, usage: Usage) -> None:
        self._rate = config.rate_limit
        self._daily = config.daily_tokens
        self._usage = usage
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._day = _today()
        self._saved = usage.read(self._day)
        self._unsaved: Counter[str] = Counter()

    def check(self, account: Account | None, address: str) -> None:
        """Count a request, or refuse it.

        Raises:
            RateLimitedError: too many requests, or too many tokens today; `retry_after` says when there is room.
        """
        rate, daily = self._limits(account)
        if not rate and not daily:
            return
        consumer = _consumer(account, address)
        if daily and self._used(consumer) >= daily:
            raise RateLimitedError(
                f"the {daily} tokens a day (EMBEDHUB_DAILY_TOKENS) are used up; they begin anew at 00:00 UTC",
                retry_after=_seconds_left_today(),
            )
        if rate:
            self._take(consumer, rate)

    def charge(self, account: Account | None, address: str, tokens: int) -> None:
        """Count the tokens of a request that is about to be computed; fewer than none are given back.

        Raises:
            RateLimitedError: they are more than what is left of today; nothing was counted.
            RequestTooLargeError: they are more than a whole day has.
        """
        daily = self._limits(account)[1]
        if not daily:
            return
        if tokens > daily:
            raise RequestTooLargeError(
                f"the request has {tokens} tokens, {daily} a day are allowed (EMBEDHUB_DAILY_TOKENS): send fewer"
            )
        consumer = _consumer(account, address)
        used = self._used(consumer)
        if tokens > 0 and used + tokens > daily:
            raise RateLimitedError(
                f"the request has {tokens} tokens, {max(0, daily - used)} of the {daily} tokens a day "
                "(EMBEDHUB_DAILY_TOKENS) are left; they begin anew at 00:00 UTC",
                retry_after=_seconds_left_today(),
            )
        # What is given back of yesterday's is none of today's.
        self._unsaved[consumer] += max(tokens, -used)

    def consumer(self, account: Account | None, address: str) -> str:
        """What somebody is called here."""
        return _consumer(account, address)

    def add(self, consumer: str, tokens: int) -> None:
        """Count tokens that were computed already, for work that is too long to know them before."""
        self._begin_day()
        self._unsaved[consumer] += tokens

    async def keep_saving(self) -> None:
        """Write down what is used, until cancelled."""
        while True:
            await asyncio.sleep(_SAVE_EVERY_SECONDS)
            await self.save()

    async def save(self) -> None:
        """Write down what was used since the last time."""
        if not self._unsaved:
            return
        day, unsaved = self._day, self._unsaved
        self._unsaved = Counter()
        # Counted at once, so that nobody asks for free while it is written.
        self._saved = dict(Counter(self._saved) + unsaved)
        try:
            saved = await asyncio.to_thread(self._usage.add, day, unsaved)
        except EmbedhubError as error:
            logger.error("what was used of the daily limits is not written down: %s", error)  # noqa: TRY400
            return
        if day == self._day:
            self._saved = saved

    def _limits(self, account: Account | None) -> tuple[int, int]:
        if account is None:
            return self._rate, self._daily
        return (
            self._rate if account.rate is None else account.rate,
            self._daily if account.daily_tokens is None else account.daily_tokens,
        )

    def _take(self, consumer: str, rate: int) -> None:
        now = monotonic()
        left, at = self._buckets.get(consumer, (float(rate), now))
        left = min(float(rate), left + (now - at) * rate / _MINUTE)
        if left < 1:
            raise RateLimitedError(
                f"{rate} requests a minute are allowed (EMBEDHUB_RATE_LIMIT)",
                retry_after=math.ceil((1 - left) * _MINUTE / rate),
            )
        self._buckets[consumer] = left - 1, now
        self._buckets.move_to_end(consumer)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)

    def _used(self, consumer: str) -> int:
        self._begin_day()
        return self._saved.get(consumer, 0) + self._unsaved[consumer]

    def _begin_day(self) -> None:
        today = _today()
        if today != self._day:
            # The few seconds of yesterday that are not written down are nobody's any more.
            self._day = today
            self._saved = {}
            self._unsaved = Counter()


def _consumer(account: Account | None, address: str) -> str:
    return f"token {account.id}" if account is not None else f"address {network_of(address)}"


def network_of(address: str) -> str:
    """The address; of IPv6 the network, because one customer has all addresses of it."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _seconds_left_today() -> float:
    now = datetime.now(UTC)
    return _DAY_SECONDS - (now.hour * 3600 + now.minute * 60 + now.second)
