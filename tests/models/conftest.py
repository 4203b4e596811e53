"""A fake Hub, settings that point to it, and the files of a tiny model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.models.fake_hub import FakeHub, files_of

from embedhub.config import Settings, read_settings


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as server:
        yield server


@pytest.fixture
def environment(hub: FakeHub, tmp_path: Path) -> dict[str, str]:
    """Variables of an empty machine whose Hub is the fake one."""
    return {
        "EMBEDHUB_HOME": str(tmp_path / "home"),
        "HF_HOME": str(tmp_path / "hf"),
        "HF_ENDPOINT": hub.endpoint,
    }


@pytest.fixture
def online(environment: dict[str, str]) -> Settings:
    return read_settings(environment)


@pytest.fixture
def cable_pulled(environment: dict[str, str]) -> Settings:
    """The same machine as `online`, offline."""
    return read_settings(environment | {"HF_HUB_OFFLINE": "1"})


@pytest.fixture(scope="session")
def tiny_files(tiny_folder: Path) -> dict[str, bytes]:
    """The files of the tiny model."""
    return files_of(tiny_folder)
