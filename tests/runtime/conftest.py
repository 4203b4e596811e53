"""Settings of a service with small models."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tests.engine.checkpoints import write_bert

from embedhub.config import Settings
from embedhub.models import ModelStore


@pytest.fixture
def config(offline: Settings, tiny_folder: Path) -> Settings:
    """Settings with the tiny model as the default and `acme/a` to `acme/d` in the store."""
    store = ModelStore(offline.home)
    for seed, name in enumerate("abcd"):
        folder = write_bert(offline.home / "made" / name, width=40, seed=seed + 1)
        store.install(f"acme/{name}", "1", partial(copy, folder))
    return replace(offline, model=str(tiny_folder), dtype="f32")


def copy(folder: Path, place: Path) -> None:
    """A folder's content into another."""
    shutil.copytree(folder, place, dirs_exist_ok=True)
