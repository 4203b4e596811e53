"""Pages as a program sees them: signed in, and with the proof that a page carries."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.server.hub.place import Place, open_place

HTML = {"accept": "text/html"}

Look = Callable[..., httpx.Client]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Place]:
    """A server for all tests of pages; each makes repositories of its own."""
    with open_place(tmp_path_factory.mktemp("pages"), tiny_folder) as made:
        yield made


@pytest.fixture
def look(place: Place) -> Look:
    """`look("alice")`: somebody who signed in on the page; without a name nobody."""

    def make(user: str = "") -> httpx.Client:
        client = place.http("")
        client.headers.update(HTML)
        if user:
            answer = client.post("/login", data={"token": place.tokens[user], "next": "/"})
            assert answer.status_code == 303, answer.text
        return client

    return make


def proof(client: httpx.Client) -> str:
    """What a page of this session carries."""
    found = re.search(r'<meta name="csrf" content="([^"]+)">', client.get("/settings").text)
    assert found is not None
    return found[1]
