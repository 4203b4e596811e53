"""Datasets of the Hub that are asked: opened once, kept while there is room, whole or not there."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.datasets.fake_embedder import FakeEmbedder, text_vector

from embedhub.config import Settings
from embedhub.datasets import BuildOptions, InputRequest, build, open_source, read_dataset
from embedhub.errors import DatasetError, EntryNotFoundError, ModelNotFoundError, SettingError
from embedhub.hub.derived import Derived
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.pointers import Pointer
from embedhub.hub.repositories import Repository
from embedhub.runtime import hosted as module
from embedhub.runtime.apart import Apart
from embedhub.runtime.hosted import HostedDatasets, Question
from embedhub.runtime.service import Service

WORDS = ["one", "two", "three", "four", "five"]


def files_of(folder: Path, words: list[str]) -> dict[str, bytes]:
    """An embedded dataset as the files of a commit."""
    folder.mkdir()
    (folder / "in.csv").write_text("\n".join(["words", *words]))
    with open_source(InputRequest(folder / "in.csv")) as source:
        build(source, folder / "out", FakeEmbedder(), BuildOptions(shard_rows=2))
    return {
        str(path.relative_to(folder / "out")): path.read_bytes()
        for path in (folder / "out").rglob("*")
        if path.is_file() and ".embedhub" not in path.parts
    }


class World:
    """A Hub with datasets whose shards are small enough for git."""

    def __init__(self, folder: Path, config: Settings) -> None:
        self.folder = folder
        self.config = config
        self.hub = Hub(config.home)
        self.derived = Derived(self.hub, config.derived_mb << 20)
        self.apart = Apart()
        self.datasets = HostedDatasets(self.derived, self.apart, config)
        self.service = Service(config)

    def add(self, name: str, **others: bytes) -> tuple[Repository, str]:
        """A new repository with the words and other files, and its commit."""
        files = files_of(self.folder / name, WORDS) | others
        made = self.hub.create(self.hub.actor("alice", "admin"), Kind.DATASET, f"alice/{name}", files=files)
        with self.hub.open(made) as git:
            return made, git.resolve("main")

    async def ask(self, of: tuple[Repository, str], word: str, **more: Any) -> list[str]:
        """The words nearest to a word."""
        question = Question(vectors=text_vector(word)[None, :], top_k=5, **more)
        found = await self.datasets.search(*of, question, self.service)
        return [hit["words"] for hit in found.hits[0]]


Play = Callable[[World], Awaitable[None]]


def play(tmp_path: Path, config: Settings, scene: Play) -> None:
    async def run() -> None:
        async with _world(tmp_path, config) as world:
            await scene(world)

    asyncio.run(run())


@asynccontextmanager
async def _world(folder: Path, config: Settings) -> AsyncIterator[World]:
    world = World(folder, config)
    try:
        yield world
    finally:
        world.datasets.close()
        world.apart.close()
        world.hub.close()


def test_small_files_are_written_out_and_found(tmp_path: Path, offline: Settings) -> None:
    async def scene(world: World) -> None:
        of = world.add("a")
        assert (await world.ask(of, "three"))[0] == "three"
        assert sorted(await world.ask(of, "three")) == sorted(WORDS)
        assert await world.ask(of, "three", conditions={"words": ["one", "two"]}) in (["one", "two"], ["two", "one"])
        files = world.hub.root / "derived" / of[0].uuid / of[1] / "files"
        assert sorted(path.name for path in files.iterdir()) == ["README.md", "data"]

    play(tmp_path, offline, scene)


def test_a_dataset_is_opened_once_for_all_who_ask(
    tmp_path: Path, offline: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(module, "read_dataset", _counting(opened))

    async def scene(world: World) -> None:
        of = world.add("a")
        found = await asyncio.gather(*(world.ask(of, word) for word in WORDS * 4))
        assert [words[0] for words in found] == WORDS * 4
        assert len(opened) == 1

    play(tmp_path, offline, scene)


def test_the_one_not_used_for_longest_makes_room(
    tmp_path: Path, offline: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(module, "read_dataset", _counting(opened))
    # Each takes a little more than a megabyte.
    config = replace(offline, search_memory_mb=3)

    async def scene(world: World) -> None:
        a, b, c = (world.add(name) for name in "abc")
        for of in (a, b, a, c, a):
            await world.ask(of, "one")
        assert len(opened) == 3, "the one in use was dropped"
        await world.ask(b, "one")
        assert len(opened) == 4, "nothing was dropped"

    play(tmp_path, config, scene)


def test_one_that_would_take_all_memory_is_refused(
    tmp_path: Path, offline: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIXED_BYTES", 2 << 20)

    async def scene(world: World) -> None:
        with pytest.raises(DatasetError, match="EMBEDHUB_SEARCH_MEMORY_MB"):
            await world.ask(world.add("a"), "one")

    play(tmp_path, replace(offline, search_memory_mb=1), scene)


def test_a_failure_is_tried_again(tmp_path: Path, offline: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(world: World) -> None:
        of = world.add("a")
        with monkeypatch.context() as patch:
            patch.setattr(module, "read_dataset", _failing)
            with pytest.raises(DatasetError, match="out of order"):
                await world.ask(of, "one")
        assert (await world.ask(of, "one"))[0] == "one"

    play(tmp_path, offline, scene)


def test_who_gives_up_does_not_end_the_opening(tmp_path: Path, offline: Settings) -> None:
    async def scene(world: World) -> None:
        of = world.add("a")
        impatient = asyncio.create_task(world.ask(of, "one"))
        patient = asyncio.create_task(world.ask(of, "two"))
        await asyncio.sleep(0)
        impatient.cancel()
        assert (await patient)[0] == "two"

    play(tmp_path, offline, scene)


def test_touched_and_removed_files_are_opened_again(tmp_path: Path, offline: Settings) -> None:
    async def scene(world: World) -> None:
        of = world.add("a")
        await world.ask(of, "one")
        for shard in world.hub.root.glob("derived/*/*/files/data/*"):
            # As when a large file is uploaded once more.
            os.utime(shard, (1, 1))
        assert (await world.ask(of, "two"))[0] == "two"
        assert world.derived.make_room() == 0
        Derived(world.hub, 0).make_room()
        assert not list(world.hub.root.glob("derived/*/*/files"))
        assert (await world.ask(of, "three"))[0] == "three"

    play(tmp_path, offline, scene)


def test_room_is_made_of_what_is_gone_and_of_what_was_not_used_for_longest(tmp_path: Path, offline: Settings) -> None:
    async def scene(world: World) -> None:
        made = [world.add(name) for name in "abc"]
        for of in made:
            await world.ask(of, "one")
        folders = [world.hub.root / "derived" / repository.uuid / commit for repository, commit in made]
        for age, folder in enumerate(folders):
            os.utime(folder, (age, age))
        world.hub.repositories.delete(made[2][0])
        one = sum(path.lstat().st_size for path in folders[1].rglob("*"))
        assert Derived(world.hub, one + one // 2).make_room() == 2
        assert [folder.exists() for folder in folders] == [False, True, False]
        assert not folders[2].parent.exists()

    play(tmp_path, offline, scene)


def test_a_pointer_alone_opens_nothing(tmp_path: Path, offline: Settings) -> None:
    async def scene(world: World) -> None:
        with world.hub.blobs.begin() as writer:
            writer.write(b"of somebody else")
            sha256 = writer.sha256
            writer.finish(None, None)
        stolen = bytes(Pointer(sha256, 16))
        of = world.add("a", **{"data/stolen.csv": stolen})
        with pytest.raises(EntryNotFoundError, match="never uploaded"):
            await world.ask(of, "one")
        assert not list(world.hub.root.glob("derived/*/*/files"))

    play(tmp_path, offline, scene)


def test_a_model_that_is_nowhere_is_named(tmp_path: Path, offline: Settings) -> None:
    async def scene(world: World) -> None:
        of = world.add("a")
        with pytest.raises(ModelNotFoundError, match="embedhub models pull example/fake"):
            await world.datasets.search(*of, Question(texts=["one"]), world.service)
        with pytest.raises(SettingError, match="example/fake"):
            await world.datasets.search(*of, Question(vectors=np.ones((1, 3), np.float32)), world.service)

    play(tmp_path, offline, scene)


def _counting(opened: list[Path]) -> Callable[[Path], Any]:

    def counted(folder: Path) -> Any:
        opened.append(folder)
        return read_dataset(folder)

    return counted


def _failing(folder: Path) -> Any:
    raise DatasetError("out of order")
