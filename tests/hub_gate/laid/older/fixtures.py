"""The one fixture that huggingface_hub 0.36's tests ask for; the rest of what they need they bring along."""

from pathlib import Path

import pytest


@pytest.fixture
def fx_cache_dir(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """An empty folder as the test's `self.cache_dir`."""
    request.instance.cache_dir = tmp_path
