"""Models that were pushed with the real client and are served at once, to those who may read them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.engine.checkpoints import write_bert
from tests.server.processes import Running, eventually, running

from embedhub import Model
from embedhub.config import Settings, read_settings
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.models import ModelStore, find_model

Push = Callable[[Kind, str, Path], str]

OPEN, SECRET = "alice/open-model", "alice/secret-model"

# Every way to name a model: method, path and body.
WAYS: list[tuple[str, str, Any]] = [
    ("POST", "/models/{}", {"inputs": "the one"}),
    ("POST", "/hf-inference/models/{}/pipeline/feature-extraction", {"inputs": "the one"}),
    ("POST", "/v1/embeddings", {"model": "{}", "input": "the one"}),
    ("POST", "/embed", {"model": "{}", "inputs": "the one"}),
    ("POST", "/v1/rerank", {"model": "{}", "query": "the", "documents": ["one"]}),
    ("GET", "/v1/models/{}", None),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("pushed")
    return {name: write_bert(made / name, seed=50 + place) for place, name in enumerate(("open", "secret", "newer"))}


@pytest.fixture(scope="module")
def commit(hub: Hub, push: Push, folders: dict[str, Path]) -> str:
    """Of the open model; the secret one is there too."""
    hub.create(hub.actor("alice", "write"), Kind.MODEL, SECRET, visibility="private")
    push(Kind.MODEL, SECRET, folders["secret"])
    return push(Kind.MODEL, OPEN, folders["open"])


def ask(client: httpx.Client, way: tuple[str, str, Any], model: str) -> httpx.Response:
    method, path, body = way
    named = body and {key: model if value == "{}" else value for key, value in body.items()}
    return client.request(method, path.format(model), json=named)


def vector_of(client: httpx.Client, model: str) -> Any:
    answer = client.post(f"/models/{model}", json={"inputs": "the one"})
    assert answer.status_code == 200, answer.text
    return np.array(answer.json())


def encoded(folder: Path, settings: Settings) -> Any:
    return Model(folder, dtype="f32", config=settings).encode("the one")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way[1])
def test_a_pushed_model_is_served_in_every_dialect(as_bob: httpx.Client, commit: str, way: Any) -> None:
    answer = ask(as_bob, way, OPEN)
    assert answer.status_code == 200, answer.text


def test_its_vectors_are_the_model_s(
    as_bob: httpx.Client, commit: str, folders: dict[str, Path], offline: Settings
) -> None:
    wanted = encoded(folders["open"], offline)
    np.testing.assert_allclose(vector_of(as_bob, OPEN), wanted, atol=1e-5)
    np.testing.assert_allclose(vector_of(as_bob, f"{OPEN}@{commit}"), wanted, atol=1e-5)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way[1])
def test_a_private_model_is_unknown_to_others(
    as_alice: httpx.Client, as_bob: httpx.Client, commit: str, way: Any
) -> None:
    assert ask(as_alice, way, SECRET).status_code == 200, "its owner may use it"
    hidden, absent = (ask(as_bob, way, name) for name in (SECRET, "alice/nothing-model"))
    assert (hidden.status_code, hidden.text.replace(SECRET, "alice/nothing-model")) == (
        absent.status_code,
        absent.text,
    )
    assert hidden.status_code in (400, 404)
    varying = ("date", "x-request-id", "content-length")
    told = [{name: value for name, value in each.headers.items() if name not in varying} for each in (hidden, absent)]
    assert told[0].pop("x-error-message", "").replace(SECRET, "alice/nothing-model") == told[1].pop(
        "x-error-message", ""
    )
    assert told[0] == told[1]


def test_what_only_those_are_given_who_were_let_in_cannot_be_spelled(
    as_alice: httpx.Client, as_bob: httpx.Client, hub: Hub, commit: str
) -> None:
    assert ask(as_alice, WAYS[0], SECRET).status_code == 200
    repository = hub.repositories.find(Kind.MODEL, SECRET)
    with hub.open(repository) as git:
        at = git.resolve("main")
    for name in (
        f"hosted:{repository.uuid}@{at}",
        f"hosted:{SECRET}@{at}",
        f"{SECRET}@{at}",
        f"{repository.uuid}@{at}",
    ):
        assert ask(as_bob, WAYS[2], name).status_code == 404


def test_lists_show_each_what_they_may_use(as_alice: httpx.Client, as_bob: httpx.Client, commit: str) -> None:
    ask(as_alice, WAYS[0], SECRET)
    mine, theirs = ({each["id"] for each in client.get("/v1/models").json()["data"]} for client in (as_alice, as_bob))
    assert mine - theirs == {SECRET}
    assert OPEN in theirs
    assert "secret" not in as_bob.get("/info").text
    assert "secret" not in as_bob.get("/metrics").text


def test_a_new_commit_is_noticed(
    as_bob: httpx.Client, push: Push, folders: dict[str, Path], offline: Settings, tmp_path: Path
) -> None:
    first = push(Kind.MODEL, "alice/growing", folders["open"])
    before = vector_of(as_bob, "alice/growing")
    push(Kind.MODEL, "alice/growing", folders["newer"])
    wanted = encoded(folders["newer"], offline)
    assert eventually(lambda: np.allclose(vector_of(as_bob, "alice/growing"), wanted, atol=1e-5))
    assert not np.allclose(before, wanted, atol=1e-3)
    np.testing.assert_allclose(vector_of(as_bob, f"alice/growing@{first}"), before, atol=1e-5)


def test_one_that_becomes_private_is_served_no_longer(as_bob: httpx.Client, hub: Hub, push: Push, folders: Any) -> None:
    push(Kind.MODEL, "alice/closing", folders["open"])
    vector_of(as_bob, "alice/closing")
    hub.repositories.change(hub.repositories.find(Kind.MODEL, "alice/closing"), visibility="private")
    assert ask(as_bob, WAYS[0], "alice/closing").status_code == 404


def test_a_repository_that_is_no_model_says_so(hub: Hub, as_bob: httpx.Client) -> None:
    hub.create(hub.actor("alice", "write"), Kind.MODEL, "alice/prose", files={"prose.txt": b"a"})
    answer = ask(as_bob, WAYS[0], "alice/prose")
    assert answer.status_code == 501
    assert "alice/prose is no text encoder" in answer.text


def test_a_dataset_made_by_a_pushed_model_is_asked_with_it(
    as_bob: httpx.Client, hosting: Running, push: Push, embedded: Any, commit: str
) -> None:
    settings = read_settings({"EMBEDHUB_HOME": str(hosting.home), "EMBEDHUB_DTYPE": "f32", "HF_HUB_OFFLINE": "1"})
    model = Model(OPEN, config=settings)
    assert (model.spec.source, model.spec.revision) == ("hosted", commit)
    push(Kind.DATASET, "alice/made", embedded(model, ["words", "the", "one of", "an be this"]))
    answer = as_bob.post("/api/datasets/alice/made/search", json={"query": "one of", "top_k": 1}).json()
    assert (answer["model"], answer["hits"][0]["words"]) == (OPEN, "one of")
    # The same made by one that bob may not use: as if it were not here.
    push(Kind.DATASET, "alice/made-secretly", embedded(Model(SECRET, config=settings), ["words", "the", "one of"]))
    refused = as_bob.post("/api/datasets/alice/made-secretly/search", json={"query": "one of"})
    assert (refused.status_code, refused.headers["x-error-code"]) == (404, "model_not_found")


def test_what_was_installed_is_not_replaced_by_what_somebody_pushed(
    hosting: Running, hub: Hub, push: Push, folders: dict[str, Path], as_bob: httpx.Client, offline: Settings
) -> None:
    push(Kind.MODEL, "alice/both", folders["secret"])

    def fill(place: Path) -> None:
        shutil.copytree(folders["open"], place, dirs_exist_ok=True)

    ModelStore(hosting.home).install("alice/both", "1", fill)
    np.testing.assert_allclose(vector_of(as_bob, "alice/both"), encoded(folders["open"], offline), atol=1e-5)


def test_weights_are_links_and_what_they_say_they_are(hosting: Running, commit: str) -> None:
    settings = read_settings({"EMBEDHUB_HOME": str(hosting.home), "HF_HUB_OFFLINE": "1"})
    spec = find_model(OPEN, settings=settings)
    (weights,) = spec.weights_files
    assert weights.is_symlink()
    assert weights.readlink().name == spec.expected_sha256
    assert spec.weights_sha256 == spec.expected_sha256


def test_a_server_starts_with_hosted_models_and_calls_them_by_other_names(
    hosting: Running, commit: str, tokens: dict[str, str], tiny_folder: Path, tmp_path: Path
) -> None:
    del commit
    (tmp_path / "home").symlink_to(hosting.home)
    flags = ["--model", str(tiny_folder), "--model", SECRET, "--model-aliases", f"short={OPEN}"]
    with (
        running(tmp_path, tiny_folder, *flags) as server,
        httpx.Client(base_url=server.address, headers={"authorization": f"Bearer {tokens['bob']}"}) as bob,
    ):
        np.testing.assert_allclose(vector_of(bob, "short"), vector_of(bob, OPEN), atol=1e-6)
        # Whoever starts a server with a private model serves it to everybody.
        assert len(vector_of(bob, SECRET)) == 32
        assert eventually(lambda: bob.get("/health").status_code == 200)
        assert "EMBEDHUB_MODEL_ALIASES" not in server.told()
