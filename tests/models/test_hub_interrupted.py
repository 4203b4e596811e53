"""Downloads that break off, are killed, or run twice at once: never half a model, and the next pull mends it."""

import json
import time

import pytest
from tests.models.fake_hub import FakeHub
from tests.models.processes import finish, pulling

from embedhub.config import Settings
from embedhub.errors import ModelError, ModelNotFoundError
from embedhub.models import find_model, installed_models, pull_model

ID = "acme/tiny"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits longer after each try; nobody here needs it to."""
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "modules.json", "1_Pooling/config.json"])
def test_a_connection_that_breaks_leaves_no_model(
    hub: FakeHub, online: Settings, cable_pulled: Settings, tiny_files: dict[str, bytes], name: str
) -> None:
    commit = hub.publish(ID, tiny_files)
    hub.cut[name] = len(tiny_files[name]) // 2

    with pytest.raises(ModelError, match=f"the download of {ID} broke off") as caught:
        pull_model(ID, settings=online)
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelNotFoundError, match=r"incomplete|not there"):
        find_model(ID, settings=cable_pulled)
    assert installed_models(cable_pulled) == []

    hub.cut.clear()
    spec = pull_model(ID, settings=online)
    assert spec.revision == commit
    assert (spec.folder / "model.safetensors").read_bytes() == tiny_files["model.safetensors"]


def test_an_update_that_breaks_leaves_the_old_model(
    hub: FakeHub, online: Settings, cable_pulled: Settings, tiny_files: dict[str, bytes]
) -> None:
    old = hub.publish(ID, tiny_files)
    pull_model(ID, settings=online)
    prompts = {"config_sentence_transformers.json": json.dumps({"prompts": {"query": "q: "}}).encode()}
    new = hub.publish(ID, tiny_files | prompts)
    hub.cut["config_sentence_transformers.json"] = 3

    with pytest.raises(ModelError, match="broke off"):
        pull_model(ID, settings=online)

    assert find_model(ID, settings=cable_pulled).revision == old
    hub.cut.clear()
    assert pull_model(ID, settings=online).revision == new


@pytest.mark.parametrize("name", ["model.safetensors", "modules.json"])
def test_a_pull_that_is_killed_leaves_no_model(
    hub: FakeHub,
    online: Settings,
    cable_pulled: Settings,
    environment: dict[str, str],
    tiny_files: dict[str, bytes],
    name: str,
) -> None:
    commit = hub.publish(ID, tiny_files)
    hub.held.add(name)
    with pulling(ID, environment) as process:
        assert hub.reached.wait(20)
        process.kill()
    hub.release.set()

    with pytest.raises(ModelNotFoundError, match=r"incomplete|not there"):
        find_model(ID, settings=cable_pulled)
    assert installed_models(cable_pulled) == []
    hub.held.clear()
    assert pull_model(ID, settings=online).revision == commit
    assert find_model(ID, settings=cable_pulled).revision == commit


def test_of_two_pulls_at_once_one_downloads(
    hub: FakeHub, environment: dict[str, str], tiny_files: dict[str, bytes]
) -> None:
    commit = hub.publish(ID, tiny_files)
    hub.held.add("model.safetensors")
    with pulling(ID, environment) as one, pulling(ID, environment) as other:
        assert hub.reached.wait(20)
        # Both have asked for the commit, so the second stands before the same files.
        for _ in range(100):
            if sum(request.path == f"/api/models/{ID}" for request in hub.requests) == 2:
                break
            time.sleep(0.05)
        time.sleep(0.3)
        hub.release.set()
        assert [finish(process)[:2] for process in (one, other)] == [(0, commit)] * 2

    assert sorted(hub.downloads()) == sorted(tiny_files)
