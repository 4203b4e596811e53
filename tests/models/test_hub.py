"""Downloads from a Hub with the real client: which files, which token, which commit, and what a refusal says."""

import json
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
from tests.models import fake_hub
from tests.models.fake_hub import FakeHub

from embedhub.config import Settings
from embedhub.errors import ModelIntegrityError, ModelNotFoundError, StorageFullError, UnsupportedModelError
from embedhub.models import find_model, pull_model

ID = "acme/tiny"


def changed(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same model with a prompt more."""
    return files | {"config_sentence_transformers.json": json.dumps({"prompts": {"query": "q: "}}).encode()}


def test_a_pull_downloads_the_needed_files_and_no_other(
    hub: FakeHub, online: Settings, tiny_files: dict[str, bytes]
) -> None:
    superfluous = {"pytorch_model.bin": b"pickle", "tf_model.h5": b"tf", "onnx/model.onnx": b"onnx", "a.png": b"png"}
    commit = hub.publish(ID, tiny_files | superfluous | {".gitattributes": b"", "README.md": b"---\nlicense: mit\n---"})

    spec = pull_model(ID, settings=online)

    assert sorted(hub.downloads()) == sorted([*tiny_files, "README.md"])
    assert (spec.id, spec.revision, spec.source, spec.licence) == (ID, commit, "hub", "mit")
    assert spec.folder == online.hf_home / "hub" / "models--acme--tiny" / "snapshots" / commit
    assert spec.expected_sha256 == spec.weights_sha256
    assert spec.normalize


def test_the_onnx_export_comes_along_for_an_architecture_without_a_graph(
    hub: FakeHub, online: Settings, tiny_files: dict[str, bytes]
) -> None:
    config = json.loads(tiny_files["config.json"]) | {"model_type": "modernbert"}
    files = {"config.json": json.dumps(config).encode(), "onnx/model.onnx": b"onnx", "onnx/model.onnx_data": b"more"}
    hub.publish(ID, tiny_files | files)

    spec = pull_model(ID, settings=online)

    assert spec.onnx is not None
    assert spec.onnx.read_bytes() == b"onnx"
    assert "onnx/model.onnx_data" in hub.downloads()


def test_the_huggingface_library_finds_what_was_pulled(
    hub: FakeHub, online: Settings, tiny_files: dict[str, bytes]
) -> None:
    hub.publish(ID, tiny_files)
    spec = pull_model(ID, settings=online)

    folder = huggingface_hub.snapshot_download(ID, cache_dir=online.hf_home / "hub", local_files_only=True)

    assert Path(folder) == spec.folder


def test_find_asks_nobody_when_the_model_is_here(hub: FakeHub, online: Settings, tiny_files: dict[str, bytes]) -> None:
    hub.publish(ID, tiny_files)
    find_model(ID, settings=online)
    hub.requests.clear()

    assert find_model(ID, settings=online).source == "cache"
    assert hub.requests == []


def test_pull_notices_a_newer_commit_and_find_does_not(
    hub: FakeHub, online: Settings, tiny_files: dict[str, bytes]
) -> None:
    old = hub.publish(ID, tiny_files)
    pull_model(ID, settings=online)
    new = hub.publish(ID, changed(tiny_files))
    hub.requests.clear()

    assert find_model(ID, settings=online).revision == old
    assert pull_model(ID, settings=online).revision == new
    assert hub.downloads().count("model.safetensors") == 0
    found = find_model(ID, settings=online)
    assert (found.revision, dict(found.prompts)) == (new, {"query": "q: "})
    assert find_model(f"{ID}@{old}", settings=online).revision == old


def test_a_second_pull_downloads_nothing(hub: FakeHub, online: Settings, tiny_files: dict[str, bytes]) -> None:
    hub.publish(ID, tiny_files)
    pull_model(ID, settings=online)
    hub.requests.clear()

    pull_model(ID, settings=online)

    assert hub.downloads() == []
    assert hub.requests


@pytest.mark.parametrize("spelling", ["branch", "commit"])
def test_a_revision_pins_the_commit(
    hub: FakeHub, online: Settings, cable_pulled: Settings, tiny_files: dict[str, bytes], spelling: str
) -> None:
    old = hub.publish(ID, tiny_files, branch="v1.0")
    hub.publish(ID, changed(tiny_files))
    revision = {"branch": "v1.0", "commit": old}[spelling]

    assert find_model(f"{ID}@{revision}", settings=online).revision == old
    assert find_model(ID, revision=revision, settings=cable_pulled).revision == old
    with pytest.raises(ModelNotFoundError, match=f"model {ID}@main not found"):
        find_model(f"{ID}@main", settings=cable_pulled)


@pytest.mark.parametrize(
    ("token", "stored", "sent"),
    [
        ("hf_set", None, "Bearer hf_set"),
        (None, "hf_stored\n", "Bearer hf_stored"),
        ("hf_set", "hf_stored", "Bearer hf_set"),
        (None, None, None),
    ],
)
def test_the_token_that_is_sent(
    hub: FakeHub,
    online: Settings,
    tiny_files: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    stored: str | None,
    sent: str | None,
) -> None:
    # The library would take this one by itself.
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    if stored is not None:
        online.hf_home.mkdir()
        (online.hf_home / "token").write_text(stored)
    hub.publish(ID, tiny_files)

    pull_model(ID, settings=replace(online, token=token))

    assert {request.authorization for request in hub.requests} == {sent}


@pytest.mark.parametrize(
    ("token", "words"),
    [(None, "401: no model acme/tiny; set HF_TOKEN"), ("hf_wrong", "401: no model acme/tiny; the token was refused")],
)
def test_a_private_model_names_the_way_in(
    hub: FakeHub, online: Settings, tiny_files: dict[str, bytes], token: str | None, words: str
) -> None:
    hub.publish(ID, tiny_files)
    hub.repositories[ID].token = "hf_right"

    with pytest.raises(ModelNotFoundError, match=words) as caught:
        find_model(ID, settings=replace(online, token=token))

    assert "\n" not in str(caught.value)
    assert find_model(ID, settings=replace(online, token="hf_right")).source == "hub"


def test_an_unknown_id_lists_everything_that_was_tried_in_order(hub: FakeHub, online: Settings) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        find_model("acme/unknown", settings=online)

    message = str(caught.value)
    places = ["folder", "store", "Hugging Face cache", f"{hub.endpoint} (404: no model", "package", "check its name"]
    positions = [message.index(place) for place in places]
    assert positions == sorted(positions)
    assert "\n" not in message
    assert len(message) < 300


def test_an_unknown_revision_says_so(hub: FakeHub, online: Settings, tiny_files: dict[str, bytes]) -> None:
    hub.publish(ID, tiny_files)

    with pytest.raises(ModelNotFoundError, match="acme/tiny has no revision v9"):
        find_model(f"{ID}@v9", settings=online)


def test_a_hub_that_is_not_there_says_so(online: Settings) -> None:
    with pytest.raises(ModelNotFoundError, match=r"http://127.0.0.1:9 \(cannot be reached: "):
        find_model(ID, settings=replace(online, endpoint="http://127.0.0.1:9"))


def test_pull_takes_what_is_here_when_the_hub_is_not_there(
    hub: FakeHub, online: Settings, tiny_files: dict[str, bytes]
) -> None:
    commit = hub.publish(ID, tiny_files)
    pull_model(ID, settings=online)

    spec = pull_model(ID, settings=replace(online, endpoint="http://127.0.0.1:9"))

    assert (spec.source, spec.revision) == ("cache", commit)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_repository_without_an_encoder_is_not_downloaded(
    hub: FakeHub, online: Settings, tiny_files: dict[str, bytes], missing: str
) -> None:
    hub.publish(ID, {name: content for name, content in tiny_files.items() if name != missing})

    with pytest.raises(UnsupportedModelError, match=r"acme/tiny at .* is no text encoder"):
        pull_model(ID, settings=online)

    assert hub.downloads() == []


def test_a_model_without_modules_is_found_again_without_the_network(
    hub: FakeHub, online: Settings, cable_pulled: Settings, tiny_files: dict[str, bytes]
) -> None:
    hub.publish(
        ID, {name: tiny_files[name] for name in tiny_files if name not in ("modules.json", "1_Pooling/config.json")}
    )
    pull_model(ID, settings=online)

    spec = find_model(ID, settings=cable_pulled)

    assert (spec.pooling, spec.normalize) == (("mean",), False)


def test_names_that_lead_elsewhere_are_left_alone(hub: FakeHub, online: Settings, tiny_files: dict[str, bytes]) -> None:
    hub.publish(ID, tiny_files | {"../config.json": b"{}", "*/config.json": b"{}", "/config.json": b"{}"})

    pull_model(ID, settings=online)

    assert sorted(hub.downloads()) == sorted(tiny_files)


def test_a_commit_that_is_a_path_is_refused(hub: FakeHub, online: Settings, tiny_files: dict[str, bytes]) -> None:
    hub.publish(ID, tiny_files)
    repository = hub.repositories[ID]
    repository.commits["../../../evil"] = tiny_files
    repository.branches["main"] = "../../../evil"

    with pytest.raises(ModelNotFoundError, match="names no commit"):
        pull_model(ID, settings=online)

    assert hub.downloads() == []


def test_weights_that_changed_on_the_way_are_refused(
    hub: FakeHub, online: Settings, tiny_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tiny_files["model.safetensors"]
    hub.publish(ID, tiny_files)
    flipped = weights[:-1] + bytes([weights[-1] ^ 1])
    commit = hub.repositories[ID].commits[hub.repositories[ID].branches["main"]]
    honest = fake_hub.etag
    # The names of the bytes stay those of the right ones.
    monkeypatch.setattr(
        fake_hub, "etag", lambda name, content: honest(name, weights if content == flipped else content)
    )
    commit["model.safetensors"] = flipped

    with pytest.raises(
        ModelIntegrityError, match="embedhub models remove acme/tiny` and `embedhub models pull acme/tiny"
    ):
        pull_model(ID, settings=online)


def test_a_full_disk_is_called_one(
    hub: FakeHub, online: Settings, tiny_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> str:
        raise RuntimeError("a worker failed") from OSError(28, "No space left on device")

    hub.publish(ID, tiny_files)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)

    with pytest.raises(StorageFullError, match="free some and pull again"):
        pull_model(ID, settings=online)
    monkeypatch.undo()
    assert pull_model(ID, settings=online).source == "hub"
