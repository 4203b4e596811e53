"""What the tests of datasets share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.datasets.fake_embedder import FakeEmbedder

from embedhub.datasets import BuildOptions, BuildReport, InputRequest, build, open_source

Build = Callable[..., BuildReport]


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture
def run_build(tmp_path: Path, embedder: FakeEmbedder) -> Build:
    """Build `tmp_path/out` from a file, with the fixture's embedder unless another is given."""

    def run(path: Path, *, by: Any = None, into: Path | None = None, **values: Any) -> BuildReport:
        request = {key: values.pop(key) for key in ("format", "column", "on_error") if key in values}
        progress = values.pop("on_progress", None)
        options = BuildOptions(**({"shard_rows": 20, "slice_texts": 7} | values))
        with open_source(InputRequest(path, **request)) as source:
            return build(source, into or tmp_path / "out", by or embedder, options, progress)

    return run
