"""The service: one way for every request, models that come and go, and health that is computed."""

import asyncio
import threading
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest
from tests.runtime.workers import Watched, jobs_of, serve

from embedhub import Model
from embedhub.config import Settings
from embedhub.errors import (
    ComputationError,
    InputError,
    OverloadedError,
    RateLimitedError,
    RequestTimeoutError,
    RequestTooLargeError,
    SettingError,
    ShuttingDownError,
)
from embedhub.runtime import service as serving
from embedhub.runtime.answers import Caller
from embedhub.runtime.service import Service
from embedhub.tasks import EmbedTexts, RerankTexts

T = TypeVar("T")


def test_vectors_are_the_models_own(config: Settings, tiny: Model) -> None:
    texts = ["the", "this is that", "the", "of " * 100, "?"]

    async def work(service: Service) -> None:
        answer = await service.run(None, EmbedTexts(texts), Caller("a"))
        np.testing.assert_allclose(answer.result, tiny.encode(texts), atol=1e-5)
        assert answer.tokens.tolist() == tiny.embed(texts).tokens.tolist()
        assert answer.truncated == [3]
        assert answer.characters == sum(map(len, texts))
        assert answer.jobs == 5
        # The third is the first: computed once.
        assert answer.cached == 1
        times = answer.timings
        assert times.inference > 0
        assert times.total >= times.queue + times.inference + times.tokenization

    serve(config, work)


def test_what_was_computed_before_is_taken_from_the_cache(config: Settings) -> None:
    async def work(service: Service) -> None:
        first = await service.run(None, EmbedTexts(["the", "this"]))
        again = await service.run(None, EmbedTexts(["this", "that", "the"]))
        every = await service.run(None, EmbedTexts(["that", "the"], normalize=False))
        fresh = await service.run(None, EmbedTexts(["the"]), Caller(use_cache=False))
        assert [each.cached for each in (first, again, every, fresh)] == [0, 2, 2, 0]
        np.testing.assert_array_equal(again.result[[2, 0]], first.result)
        np.testing.assert_allclose(fresh.result, first.result[:1], atol=1e-6)
        assert every.timings.inference == every.timings.queue == 0
        totals = service.totals[service.loaded.default]
        assert (totals.cache_hits, totals.cache_misses) == (4, 3)

    serve(config, work)


def test_without_a_cache_nothing_is_remembered(config: Settings) -> None:
    async def work(service: Service) -> None:
        for _ in range(2):
            assert (await service.run(None, EmbedTexts(["the", "the"]))).cached == 0

    serve(replace(config, cache_mb=0), work)


def test_tokens_are_charged_before_they_are_computed(config: Settings) -> None:
    charged: list[int] = []

    def refuse(tokens: int) -> None:
        raise RateLimitedError("no more")

    async def work(service: Service) -> None:
        answer = await service.run(None, EmbedTexts(["the", "of " * 100]), Caller(charge=charged.append))
        # A long text counts as far as it is read.
        assert answer.read_tokens < int(answer.tokens.sum())
        assert charged == [answer.read_tokens] == [int(answer.tokens[0]) + 48]
        again = await service.run(None, EmbedTexts(["of " * 100], long_texts="chunk"), Caller(charge=charged.append))
        assert charged[1:] == [again.read_tokens]
        assert again.read_tokens > again.tokens[0] > 48
        before = service.totals[service.loaded.default].pack_jobs.count
        with pytest.raises(RateLimitedError):
            await service.run(None, EmbedTexts(["something new"]), Caller(charge=refuse))
        assert service.totals[service.loaded.default].pack_jobs.count == before

    serve(config, work)


def test_who_gives_up_pays_and_who_is_failed_does_not(config: Settings) -> None:
    charged: list[int] = []

    async def work(service: Service) -> None:
        caller = Caller(charge=charged.append)
        blocked = Blocked(service)
        given_up = asyncio.create_task(service.run(None, EmbedTexts(["the"]), caller))
        await asyncio.to_thread(blocked.reached.wait, 30)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert sum(charged) == charged[0] > 0
        blocked.open.set()
        loaded = service.loaded.ready[0]
        loaded.scheduler.close()
        with pytest.raises(ShuttingDownError):
            await service.run(None, EmbedTexts(["this"]), caller)
        assert sum(charged) == charged[0]

    serve(config, work)


def test_limits_name_their_settings(config: Settings) -> None:
    cases = [
        (["the"] * 11, "EMBEDHUB_MAX_TEXTS"),
        (["the", "t" * 1001], r"text 1 has 1001 characters.*EMBEDHUB_MAX_TEXT_CHARACTERS"),
        (["t " * 400] * 2, "EMBEDHUB_MAX_TOKENS"),
    ]

    async def work(service: Service) -> None:
        for texts, message in cases:
            with pytest.raises(RequestTooLargeError, match=message):
                await service.run(None, EmbedTexts(texts))
        assert len((await service.run(None, EmbedTexts(["the"] * 10))).result) == 10

    serve(replace(config, max_texts=10, max_text_characters=1000, max_tokens=500), work)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (EmbedTexts([]), InputError),
        (EmbedTexts(["the", [5]]), InputError),
        (EmbedTexts([[10**9]]), InputError),
        (EmbedTexts([[]]), InputError),
        (EmbedTexts(["the"], dimensions=33), SettingError),
        (EmbedTexts(["the"], prompt_name="nobody"), SettingError),
        (RerankTexts("the", []), InputError),
    ],
)
def test_what_is_wrong_with_a_request_is_said_and_the_next_works(
    config: Settings, request_: Any, error: type[Exception]
) -> None:
    async def work(service: Service) -> None:
        with pytest.raises(error):
            await service.run(None, request_)
        assert (await service.run(None, EmbedTexts(["the"]))).result.shape == (1, 32)

    serve(config, work)


class Blocked:
    """A gate in a scheduler's thread."""

    def __init__(self, service: Service) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        (loaded,) = service.loaded.ready
        loaded.scheduler._encoder = Watched(loaded.model.encoder, self._wait)  # type: ignore[assignment]

    def _wait(self, jobs: Any) -> None:
        self.reached.set()
        assert self.open.wait(20)


def test_a_caller_who_goes_away_leaves_the_queue(config: Settings) -> None:
    async def work(service: Service) -> None:
        blocked = Blocked(service)
        scheduler = service.loaded.ready[0].scheduler
        first = asyncio.create_task(service.run(None, EmbedTexts(["the"])))
        await asyncio.to_thread(blocked.reached.wait, 60)
        gone = asyncio.create_task(service.run(None, EmbedTexts(["of"] * 10 + ["to", "in"])))
        while not scheduler.waiting:
            await asyncio.sleep(0)
        assert scheduler.waiting == 3
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert scheduler.waiting == 0
        blocked.open.set()
        assert (await first).result.shape == (1, 32)
        assert service.loaded.ready[0].users == 0

    serve(config, work)


def test_a_full_queue_and_a_slow_answer_are_errors_of_their_own(config: Settings) -> None:
    async def work(service: Service) -> None:
        blocked = Blocked(service)
        slow = [asyncio.create_task(service.run(None, EmbedTexts(["the"])))]
        await asyncio.to_thread(blocked.reached.wait, 60)
        slow += [asyncio.create_task(service.run(None, EmbedTexts([text]))) for text in ("of", "to")]
        while service.loaded.ready[0].scheduler.waiting < 2:
            await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await service.run(None, EmbedTexts(["in"]))
        for task in slow:
            with pytest.raises(RequestTimeoutError, match="EMBEDHUB_ANSWER_SECONDS"):
                await task
        assert service.loaded.ready[0].scheduler.waiting == 0
        blocked.open.set()

    serve(replace(config, queue_texts=2, answer_seconds=1), work)


def test_a_poisoned_text_is_an_error_of_its_own_request(config: Settings) -> None:
    async def work(service: Service) -> None:
        (loaded,) = service.loaded.ready
        bad_ids = tuple(jobs_of(loaded.model, ["? ?"])[0].ids)

        def check(jobs: Any) -> None:
            if any(tuple(job.ids) == bad_ids for job in jobs):
                raise RuntimeError("poison")

        loaded.scheduler._encoder = Watched(loaded.model.encoder, check)  # type: ignore[assignment]
        results = await asyncio.gather(
            *(service.run(None, EmbedTexts([text])) for text in ("the", "? ?", "this", "that")), return_exceptions=True
        )
        assert [type(result).__name__ for result in results] == ["Answer", "ComputationError", "Answer", "Answer"]
        with pytest.raises(ComputationError):
            await service.run(None, EmbedTexts(["? ?"]))

    serve(config, work)


def test_closing_answers_what_waits(config: Settings) -> None:
    async def work() -> None:
        service = Service(config)
        await service.start()
        blocked = Blocked(service)
        first = asyncio.create_task(service.run(None, EmbedTexts(["the"])))
        await asyncio.to_thread(blocked.reached.wait, 60)
        second = asyncio.create_task(service.run(None, EmbedTexts(["of"])))
        while not service.loaded.ready[0].scheduler.waiting:
            await asyncio.sleep(0)
        closing = asyncio.create_task(service.close())
        with pytest.raises(ShuttingDownError):
            await second
        blocked.open.set()
        await closing
        assert (await first).result.shape == (1, 32)

    asyncio.run(asyncio.wait_for(work(), 60))


def test_health_is_computed(config: Settings) -> None:
    async def work(service: Service) -> None:
        scheduler = service.loaded.ready[0].scheduler
        assert scheduler.computed_at == float("-inf")
        assert await service.healthy()
        computed = scheduler.computed_at
        assert computed > 0
        # Young enough to be believed.
        assert await service.healthy()
        assert scheduler.computed_at == computed

    serve(config, work)


def test_a_worker_that_hangs_is_not_healthy(config: Settings, monkeypatch: Any) -> None:
    monkeypatch.setattr(serving, "_PROBE_SECONDS", 1)

    async def work(service: Service) -> None:
        blocked = Blocked(service)
        assert not await service.healthy()
        assert blocked.reached.is_set()
        blocked.open.set()
        # And is again when it moves on.
        monkeypatch.setattr(serving, "_PROBE_SECONDS", 30)
        assert await service.healthy()

    serve(config, work)


def test_a_worker_that_hangs_since_a_success_is_not_healthy(config: Settings, monkeypatch: Any) -> None:
    async def work(service: Service) -> None:
        await service.run(None, EmbedTexts(["the"]))
        blocked = Blocked(service)
        stuck = asyncio.create_task(service.run(None, EmbedTexts(["this"])))
        await asyncio.to_thread(blocked.reached.wait, 60)
        # It has only just begun: that is no reason to doubt.
        assert await service.healthy()
        monkeypatch.setattr(serving, "_HEALTHY_SECONDS", 0.0)
        assert not await service.healthy()
        blocked.open.set()
        await stuck

    serve(config, work)


def test_a_worker_that_fails_is_not_healthy(config: Settings) -> None:
    async def work(service: Service) -> None:
        (loaded,) = service.loaded.ready

        def fail(jobs: Any) -> None:
            raise RuntimeError("broken")

        loaded.scheduler._encoder = Watched(loaded.model.encoder, fail)  # type: ignore[assignment]
        assert not await service.healthy()

    serve(config, work)


def test_the_disk_cache_serves_the_next_process(config: Settings) -> None:
    lasting = replace(config, cache_disk_mb=10)
    first = serve(lasting, lambda service: service.run(None, EmbedTexts(["the", "this"])))
    again = serve(lasting, lambda service: service.run(None, EmbedTexts(["this", "the"])))
    assert (first.cached, again.cached) == (0, 2)
    np.testing.assert_array_equal(again.result[::-1], first.result)
