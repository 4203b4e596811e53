"""Models that come and go: who may load which, who waits, and who makes room."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from tests.engine.checkpoints import write_bert
from tests.runtime.workers import serve

from embedhub import Model
from embedhub.config import Settings
from embedhub.errors import (
    ModelLoadingError,
    ModelNotFoundError,
)
from embedhub.runtime import loaded as loading
from embedhub.runtime import service as serving
from embedhub.runtime.service import Caller, Service
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
    monkeypatch.setattr(loading, "_IMPATIENT_SECONDS", 0)

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
