"""Models that come and go: who may load which, who waits, and who makes room."""

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from tests.engine.checkpoints import write_bert
from tests.runtime.conftest import copy
from tests.runtime.workers import serve

from embedhub import Model
from embedhub.config import Settings
from embedhub.engine.encoder import Encoder
from embedhub.errors import ModelLoadingError, ModelNotFoundError
from embedhub.models import ModelSpec, ModelStore, find_model
from embedhub.runtime import finding, loading
from embedhub.runtime import loaded as loaded_models
from embedhub.runtime import service as serving
from embedhub.runtime.answers import Caller
from embedhub.runtime.finding import Sources
from embedhub.runtime.scheduler import Scheduler
from embedhub.runtime.service import Service
from embedhub.tasks import EmbedTexts

T = TypeVar("T")


def ready(service: Service) -> list[str]:
    """Names of the loaded models but the default one."""
    return sorted(each.name for each in service.loaded.ready if each.name != service.loaded.default)


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


def test_a_caller_who_does_not_wait_is_told_how_long_it_takes(
    config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_models, "_IMPATIENT_SECONDS", 0)

    async def work(service: Service) -> None:
        with pytest.raises(ModelLoadingError, match="acme/a is currently loading") as error:
            await service.run("acme/a", EmbedTexts(["the"]), Caller(wait=False))
        assert error.value.retry_after == loaded_models._USUAL_LOAD_SECONDS
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
        def __init__(self, spec: ModelSpec, **options: Any) -> None:
            loads.append(spec.id)
            super().__init__(spec, **options)

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
            service.every_model.drop_idle()
            assert used in service.loaded.ready
        used.used_at = float("-inf")
        service.every_model.drop_idle()
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


class Told:
    """Where models come from, with a note of every search, which a test may hold up by the name."""

    def __init__(self) -> None:
        self.searches: list[tuple[str, bool]] = []
        self.held: dict[str, threading.Event] = {}
        self.sources = Sources(find=self.find)

    def find(self, name: str, config: Settings) -> ModelSpec:
        self.searches.append((name, config.offline))
        if not config.offline and name in self.held:
            assert self.held[name].wait(60)
        return find_model(name, settings=replace(config, offline=True))


def test_a_download_holds_back_no_model_that_is_here(config: Settings) -> None:
    told = Told()
    told.held = {f"far/{number}": threading.Event() for number in range(4)}

    async def work(service: Service) -> None:
        far = [asyncio.create_task(service.run(name, EmbedTexts(["the"]))) for name in told.held]
        while not all((name, False) in told.searches for name in told.held):
            await asyncio.sleep(0.005)
        assert (await service.run("acme/a", EmbedTexts(["the"]))).result.shape == (1, 40)
        assert await service.loaded.describe("far/0") is None
        assert not any(task.done() for task in far)
        for event in told.held.values():
            event.set()
        for task in far:
            with pytest.raises(ModelNotFoundError):
                await task

    serve(replace(config, offline=False, allow_models=("far/*",)), work, told.sources)


def test_every_spelling_of_a_model_is_one_model(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded_models, "_MOST_SPELLINGS", 4)
    commit = "0123456789abcdef0123456789abcdef01234567"

    def find(name: str, settings: Settings) -> ModelSpec:
        id, _, revision = name.partition("@")
        spec = find_model(id, settings=settings)
        if id != "acme/a":
            return spec
        if not commit.startswith(revision.replace("main", "")):
            raise ModelNotFoundError(name)
        return replace(spec, revision=commit)

    async def work(service: Service) -> None:
        names = [f"acme/a@{commit[:length]}" for length in range(7, 41)]
        answers = await asyncio.gather(*(service.run(name, EmbedTexts(["the"])) for name in ["acme/a@main", *names]))
        answers.append(await service.run("acme/a", EmbedTexts(["the"])))
        assert len({id(answer.loaded) for answer in answers}) == 1
        assert answers[0].loaded.name == f"acme/a@{commit}"
        assert answers[0].loaded.users == 0
        # Few are remembered when they are not in use; the forgotten ones are found again.
        again = [await service.run(name, EmbedTexts(["the"])) for name in (f"acme/a@{commit[:6]}", *names)]
        assert {id(answer.loaded) for answer in again} == {id(answers[0].loaded)}
        assert len(answers[0].loaded.spellings) == 4
        with pytest.raises(ModelNotFoundError):
            await service.run("acme/a@fff0000", EmbedTexts(["the"]))
        assert ready(service) == [f"acme/a@{commit}"]
        # Dropped under all its names.
        answers[0].loaded.used_at = float("-inf")
        service.every_model.drop_idle()
        assert ready(service) == []
        assert (await service.run("acme/a", EmbedTexts(["the"]))).loaded is not answers[0].loaded

    serve(replace(config, model_idle_seconds=3600), work, Sources(find=find))


def test_a_preloaded_model_is_not_loaded_again_by_another_name(config: Settings) -> None:
    async def work(service: Service) -> None:
        answers = [await service.run(name, EmbedTexts(["the"])) for name in ("acme/a", "acme/a@1", None)]
        assert {answer.loaded.name for answer in answers} == {"acme/a"}
        assert len(service.loaded.ready) == 1

    serve(replace(config, model="acme/a"), work)


def test_who_waits_for_a_model_gets_it_before_it_can_go(config: Settings) -> None:
    async def work(service: Service) -> None:
        held = asyncio.create_task(service.run("acme/a", EmbedTexts(["the"])))
        while not ready(service):
            await asyncio.sleep(0)
        # Loaded, and nobody has woken up yet: as early as anything can want its place.
        (loaded,) = [each for each in service.loaded.ready if each.name == "acme/a"]
        loaded.used_at = float("-inf")
        service.every_model.drop_idle()
        assert ready(service) == ["acme/a"]
        assert (await held).loaded is loaded

    serve(replace(config, model_idle_seconds=3600), work)


def test_names_that_were_not_there_a_moment_ago_are_not_looked_for(
    config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "_MISSES", 2)
    told = Told()

    async def work(service: Service) -> None:
        for name in ("acme/no", "acme/no", "acme/neither", "acme/no"):
            with pytest.raises(ModelNotFoundError, match=r"there is: .*acme/a"):
                await service.run(name, EmbedTexts(["the"]))
            with pytest.raises(ModelNotFoundError, match="is not here"):
                await service.loaded.describe(name)
        assert [name for name, _ in told.searches[1:]] == ["acme/no", "acme/neither"]
        # Only so many are remembered.
        for name in ("acme/x", "acme/y", "acme/no"):
            with pytest.raises(ModelNotFoundError):
                await service.run(name, EmbedTexts(["the"]))
        assert [name for name, _ in told.searches].count("acme/no") == 2
        # What has come meanwhile is found, a moment later.
        (config.home / "made" / "a" / "note").touch()
        ModelStore(config.home).install("acme/no", "1", lambda place: copy(config.home / "made" / "a", place))
        monkeypatch.setattr(finding, "monotonic", lambda: time.monotonic() + finding._MISS_SECONDS)
        assert (await service.run("acme/no", EmbedTexts(["the"]))).loaded.name == "acme/no"

    serve(config, work, told.sources)


def test_dropping_a_model_does_not_hold_up_the_loop(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    closing, go_on = threading.Event(), threading.Event()

    def close(scheduler: Scheduler) -> None:
        if not go_on.is_set():
            closing.set()
            assert go_on.wait(60)

    async def work(service: Service) -> None:
        answer = await service.run("acme/a", EmbedTexts(["the"]))
        assert "acme/a" in service.totals
        monkeypatch.setattr(Scheduler, "close", close)
        answer.loaded.used_at = float("-inf")
        service.every_model.drop_idle()
        assert ready(service) == []
        await asyncio.to_thread(closing.wait, 60)
        # It comes again while the old one goes, whose numbers are then not forgotten.
        assert (await service.run("acme/a", EmbedTexts(["that"]))).loaded is not answer.loaded
        go_on.set()
        monkeypatch.undo()

    serve(replace(config, model_idle_seconds=3600), work)


def test_numbers_of_a_dropped_model_are_forgotten(config: Settings) -> None:
    async def work(service: Service) -> None:
        answer = await service.run("acme/a", EmbedTexts(["the"]))
        await service.run(None, EmbedTexts(["the"]))
        answer.loaded.used_at = float("-inf")
        service.every_model.drop_idle()
        while "acme/a" in service.totals:
            await asyncio.sleep(0.005)
        assert list(service.totals) == [service.loaded.default]

    serve(replace(config, model_idle_seconds=3600), work)


def test_what_a_burst_needs_is_compiled_behind_the_loads(config: Settings) -> None:
    async def work(service: Service) -> None:
        await service.run("acme/a", EmbedTexts(["the"]))
        backends: list[Any] = [each.model.encoder.backend for each in service.loaded.ready]
        while not all((False, backend.lanes) in backend._compiled for backend in backends):
            await asyncio.sleep(0.005)

    serve(replace(config, threads=2), work)


def test_a_model_that_cannot_be_prepared_still_answers(
    config: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def prepare(encoder: Encoder) -> None:
        raise RuntimeError("no more room")

    monkeypatch.setattr(Encoder, "prepare", prepare)

    async def work(service: Service) -> None:
        while "could not be prepared" not in caplog.text:
            await asyncio.sleep(0.005)
        assert (await service.run(None, EmbedTexts(["the"]))).result.shape == (1, 32)

    serve(config, work)


def test_a_container_limits_the_memory_of_models(config: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded_models, "available_memory", lambda: 2 << 20)

    async def work(service: Service) -> None:
        for name in "abcd":
            await service.run(f"acme/{name}", EmbedTexts(["the"]))
        assert 0 < len(ready(service)) < 4

    serve(config, work)
