"""What every test may ask for. No test touches the network or this user's folders by accident."""

from pathlib import Path

import pytest
from tests.engine.checkpoints import write_bert

from embedhub import Model
from embedhub.config import DEFAULT_MODEL, Settings, read_settings

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared test data beside the checkout; without it the test is skipped."""
    if not SHARED.is_dir():
        pytest.skip(f"no shared test data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with random weights: 32 dimensions, 48 tokens."""
    return write_bert(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def offline(tmp_path: Path) -> Settings:
    """Settings that know no network and an empty home."""
    return read_settings(
        {"EMBEDHUB_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    )


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The tiny model, loaded in float32."""
    home = tmp_path_factory.mktemp("home")
    return Model(tiny_folder, dtype="f32", config=read_settings({"EMBEDHUB_HOME": str(home), "HF_HUB_OFFLINE": "1"}))


@pytest.fixture(scope="session")
def default_model() -> Model:
    """The real default model in float32; `make test` has fetched it."""
    return Model(DEFAULT_MODEL, dtype="f32")
