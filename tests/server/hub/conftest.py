"""A Hub over HTTP with two users, without models, for the tests of a file."""

from collections.abc import Iterator

import pytest
from tests.server.hub.hosts import Hosted, hosted


@pytest.fixture(scope="module")
def hosted_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    """A server, and what it serves."""
    with hosted(tmp_path_factory.mktemp("hub")) as made:
        yield made
