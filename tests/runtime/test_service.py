"""The service: one way for every request, models that come and go, and health that is computed."""

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from tests.engine.checkpoints import write_bert
from tests.runtime.workers import Watched, jobs_of

from embedhub import Model
from embedhub.config import Settings
from embedhub.errors import (
    ComputationError,
    InputError,
    ModelLoadingError,
    ModelNotFoundError,
    OverloadedError,
    RequestTimeoutError,
    RequestTooLargeError,
    SettingError,
    ShuttingDownError,
)
from embedhub.models import ModelStore
from embedhub.runtime import loaded as loading
from embedhub.runtime import service as serving
from embedhub.runtime.service import Caller, Service
from embedhub.tasks import EmbedTexts, RerankTexts

T = TypeVar("T")


@pytest.fixture
def config(offline: Settings, tiny_folder: Path) -> Settings:
    """Settings with the tiny model as the default and `acme/a` to `acme/d` in the store."""
    store = ModelStore(offline.home)
    for seed, name in enumerate("abcd"):
        folder = write_bert(offline.home / "made" / name, width=40, seed=seed + 1)
        store.install(f"acme/{name}", "1", partial(_copy, folder))
    return replace(offline, model=str(tiny_folder), dtype="f32")


def _copy(folder: Path, place: Path) -> None:
    shutil.copytree(folder, place, dirs_exist_ok=True)


def serve(config: Settings, work: Callable[[Service], Awaitable[T]]) -> T:
    """What the work gives, with a service that is started before and closed behind it."""

    async def run() -> T:
        service = Service(config)
        await service.start()
        try:
            return await work(service)
        finally:
            await service.close()

    return asyncio.run(asyncio.wait_for(run(), 60))


def ready(service: Service) -> list[str]:
    """Names of the loaded models but the default one."""
    return sorted(each.name for each in service.loaded.ready if each.name != service.loaded.default)


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


@pytest.mark.parametrize(
    "name", ["acme/nothing", "nonsense", "../../etc", "a/b/c", "acme/a@nothing", "", "\0", "x" * 999]
)
def test_an_unknown_model_is_refused_and_tried_again_next_time(config: Settings, name: str) -> None:
    async def work(service: Service) -> None:
        for _ in range(2):
            if not name:
                assert (await service.run(name, EmbedTexts(["the"]))).loaded.name == service.loaded.default
                continue
            with pytest.raises(ModelNotFoundError):
                await service.run(name, EmbedTexts(["the"]))
        assert ready(service) == []

    serve(config, work)


def test_a_folder_of_the_server_is_not_for_clients(config: Settings, tmp_path: Path, monkeypatch: Any) -> None:
    write_bert(tmp_path / "inner" / "model")
    monkeypatch.chdir(tmp_path)

    async def work(service: Service) -> None:
        for name in ("inner/model", str(tmp_path / "inner" / "model")):
            with pytest.raises(ModelNotFoundError):
                await service.run(name, EmbedTexts(["the"]))

    serve(config, work)


def test_a_caller_who_does_not_wait_is_told_how_long_it_takes(config: Settings) -> None:
    async def work(service: Service) -> None:
        with pytest.raises(ModelLoadingError, match="acme/a is currently loading") as error:
            await service.run("acme/a", EmbedTexts(["the"]), Caller(wait=False))
        assert error.value.retry_after == loading._USUAL_LOAD_SECONDS
        waited = await service.run("acme/a", EmbedTexts(["the"]))
        assert waited.result.shape == (1, 40)
        # Now it is there.
        await service.run("acme/a", EmbedTexts(["the"]), Caller(wait=False))

    serve(config, work)


def test_models_are_told_apart(config: Settings) -> None:
    async def work(service: Service) -> None:
        answers = [await service.run(f"acme/{name}", EmbedTexts(["this is that"])) for name in "ab"]
        assert [answer.cached for answer in answers] == [0, 0]
        assert not np.allclose(answers[0].result, answers[1].result, atol=1e-3)
        alias = await service.run("short", EmbedTexts(["this is that"]))
        assert alias.loaded.name == "acme/b"
        assert alias.cached == 1

    serve(replace(config, model_aliases=(("short", "acme/b"),)), work)


def test_who_asks_at_once_waits_for_one_load(config: Settings, monkeypatch: Any) -> None:
    loads: list[str] = []

    class Counted(Model):
        def __init__(self, name: str, **options: Any) -> None:
            loads.append(name)
            super().__init__(name, **options)

    monkeypatch.setattr(loading, "Model", Counted)

    async def work(service: Service) -> None:
        asked = [service.run("acme/a", EmbedTexts(["the"])) for _ in range(5)]
        gone = asyncio.create_task(service.run("acme/a", EmbedTexts(["the"])))
        await asyncio.sleep(0)
        gone.cancel()
        answers = await asyncio.gather(*asked)
        assert loads.count("acme/a") == 1
        assert len({id(answer.loaded) for answer in answers}) == 1

    serve(config, work)


def test_the_model_not_used_for_longest_makes_room(config: Settings) -> None:
    async def work(service: Service) -> None:
        await service.run("acme/a", EmbedTexts(["the"]))
        size = service.loaded.ready[-1].memory_bytes
        taken = sum(each.memory_bytes for each in service.loaded.ready)
        # Two fit beside the default model, three do not.
        assert taken + size <= 1 << 20 < taken + 2 * size
        for name in "bac":
            await service.run(f"acme/{name}", EmbedTexts(["the"]))
        kept = ready(service)
        assert "acme/c" in kept
        assert "acme/b" not in kept
        assert sum(each.memory_bytes for each in service.loaded.ready) <= 1 << 20
        # What was dropped comes again.
        assert (await service.run("acme/b", EmbedTexts(["this"]))).result.shape == (1, 40)

    serve(replace(config, model_memory_mb=1), work)


def test_a_model_in_use_is_never_dropped(config: Settings) -> None:
    async def work(service: Service) -> None:
        async with service.loaded.use("acme/a") as used:
            for name in "bcd":
                await service.run(f"acme/{name}", EmbedTexts(["the"]))
            assert used in service.loaded.ready
            used.used_at = float("-inf")
            service.loaded.drop_idle()
            assert used in service.loaded.ready
        used.used_at = float("-inf")
        service.loaded.drop_idle()
        assert used not in service.loaded.ready

    serve(replace(config, model_memory_mb=1, model_idle_seconds=3600), work)


def test_an_idle_model_is_dropped_by_itself(config: Settings, monkeypatch: Any) -> None:
    monkeypatch.setattr(serving, "_IDLE_CHECK_SECONDS", 0.01)

    async def work(service: Service) -> None:
        await service.run("acme/a", EmbedTexts(["the"]))
        service.loaded.ready[-1].used_at = float("-inf")
        while ready(service):
            await asyncio.sleep(0.005)
        # The default model stays, however long nobody asks for it.
        assert [each.name for each in service.loaded.ready] == [service.loaded.default]

    serve(replace(config, model_idle_seconds=3600), work)


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
    monkeypatch.setattr(serving, "_PROBE_SECONDS", 0.05)

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
