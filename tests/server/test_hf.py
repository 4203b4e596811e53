"""Hugging Face's Inference API: shapes, options, errors; vectors are the model's own."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient, close_session
from tests.engine.checkpoints import write_classifier
from tests.models.fake_hub import FakeHub, files_of
from tests.server.conftest import Start

from embedhub import Model
from embedhub.config import DEFAULT_MODEL
from embedhub.engine.classifier import Classifier
from embedhub.engine.scores import ACTIVATIONS

TEXTS = ["one text", "another", "How do I sign up for Medicare?"]
LONG = "word " * 600
PATHS = [
    f"/pipeline/feature-extraction/{DEFAULT_MODEL}",
    f"/models/{DEFAULT_MODEL}",
    f"/models/{DEFAULT_MODEL}/",
    f"/models/{DEFAULT_MODEL}/pipeline/feature-extraction",
    f"/hf-inference/pipeline/feature-extraction/{DEFAULT_MODEL}",
    f"/hf-inference/models/{DEFAULT_MODEL}",
    f"/hf-inference/models/{DEFAULT_MODEL}/pipeline/feature-extraction",
    "/",
]


@pytest.fixture(scope="module")
def expected(default_model: Model) -> Any:
    return default_model.encode(TEXTS)


def cosines(model: Model, source: str, texts: list[str]) -> Any:
    return (model.encode([source]) @ model.encode(texts).T)[0]


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(np.array(found, np.float32), wanted, atol=1e-5)


@pytest.mark.parametrize("path", PATHS)
def test_a_list_gives_vectors_and_a_string_one_flat_vector(client: httpx.Client, expected: Any, path: str) -> None:
    close(client.post(path, json={"inputs": TEXTS}).json(), expected)
    close(client.post(path, json={"inputs": TEXTS[0]}).json(), expected[0])


@pytest.mark.parametrize("task", ["feature-extraction", "sentence-similarity", "text-ranking", "rerank"])
def test_the_inputs_decide_whatever_the_path_says(
    client: httpx.Client, default_model: Model, expected: Any, task: str
) -> None:
    path = f"/models/{DEFAULT_MODEL}/pipeline/{task}"
    close(client.post(path, json={"inputs": TEXTS}).json(), expected)
    compare = {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}
    close(client.post(path, json={"inputs": compare}).json(), cosines(default_model, TEXTS[0], TEXTS[1:]))
    ranking = client.post(path, json={"inputs": {"query": "sign up", "texts": TEXTS}}).json()
    assert ranking[0]["index"] == 2


@pytest.mark.parametrize("parameters", [{}, None])
@pytest.mark.parametrize("options", [{}, None, {"use_cache": True, "wait_for_model": True, "use_gpu": False}])
def test_empty_parameters_old_options_and_unknown_keys_do_no_harm(
    client: httpx.Client, expected: Any, parameters: Any, options: Any
) -> None:
    body = {"inputs": TEXTS[0], "parameters": parameters, "options": options, "model": "x", "of the future": [1]}
    close(client.post("/", json=body).json(), expected[0])


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (json.dumps(TEXTS[0]).encode(), "application/json"),
        (TEXTS[0].encode(), "text/plain"),
        (TEXTS[0].encode(), "text/plain; charset=utf-8"),
        (json.dumps({"inputs": TEXTS[0]}).encode(), "text/plain;charset=UTF-8"),
        (json.dumps({"inputs": TEXTS[0]}).encode(), "application/x-www-form-urlencoded"),
    ],
)
def test_bare_values_and_raw_text_are_inputs(
    client: httpx.Client, expected: Any, content: bytes, content_type: str
) -> None:
    answer = client.post(f"/models/{DEFAULT_MODEL}", content=content, headers={"content-type": content_type})
    close(answer.json(), expected[0])


def test_a_bare_list_is_inputs(client: httpx.Client, expected: Any) -> None:
    close(client.post("/", json=TEXTS).json(), expected)


@pytest.mark.parametrize("place", ["top", "parameters"])
def test_parameters_count_wherever_they_stand(client: httpx.Client, default_model: Model, place: str) -> None:
    def post(inputs: Any, **parameters: Any) -> Any:
        more = parameters if place == "top" else {"parameters": parameters}
        return client.post("/", json={"inputs": inputs, **more})

    short = default_model.encode(TEXTS, truncate_dim=64, normalize_embeddings=True)
    close(post(TEXTS, dimensions=64, normalize=True).json(), short)
    encoded = post(TEXTS, encoding_format="base64").json()
    close([np.frombuffer(base64.b64decode(each), "<f4") for each in encoded], default_model.encode(TEXTS))
    one = post(TEXTS[0], encoding_format="base64").json()
    close(np.frombuffer(base64.b64decode(one), "<f4"), default_model.encode(TEXTS[0]))

    assert post(LONG, truncate=True).headers["x-truncated-count"] == "1"
    refused = post([TEXTS[0], LONG], truncate=False)
    assert refused.status_code == 400
    assert "text 1" in refused.json()["error"]
    mixed = "sun " * 400 + "moon " * 400
    close(post(mixed, truncation_direction="left").json(), default_model.encode("moon " * 400))
    close(post(mixed, truncation_direction="Right").json(), default_model.encode("sun " * 400))
    assert "no prompt" in post(TEXTS[0], prompt_name="of nobody").json()["error"]


def test_a_ranking_is_best_first_and_tells_texts_if_asked(client: httpx.Client, default_model: Model) -> None:
    scores = cosines(default_model, "sign up", TEXTS)
    order = np.argsort(-scores).tolist()
    wanted = [{"index": index, "score": pytest.approx(scores[index], abs=1e-5)} for index in order]
    path = f"/models/{DEFAULT_MODEL}/pipeline/text-ranking"
    question = {"query": "sign up", "texts": TEXTS}
    answer = client.post(path, json=question)
    assert answer.json() == wanted
    assert answer.headers["x-method"] == "cosine"
    assert client.post(path, json={"inputs": question}).json() == wanted
    documents = {"query": "sign up", "documents": [{"text": text} for text in TEXTS]}
    assert client.post(path, json={"inputs": documents}).json() == wanted
    pairs = [{"text": "sign up", "text_pair": text} for text in TEXTS]
    assert client.post(path, json={"inputs": pairs}).json() == wanted
    best = client.post(path, json={"inputs": question, "parameters": {"top_k": 1, "return_text": True}}).json()
    assert best == [{**wanted[0], "text": TEXTS[2]}]


def test_headers_tell_seconds_and_the_cache_can_be_declined(client: httpx.Client) -> None:
    text = "a text of this test alone"

    def cache(body: Any, **headers: str) -> str:
        answer = client.post("/", json=body, headers=headers)
        assert 0 <= float(answer.headers["x-compute-time"]) < 30
        assert "." in answer.headers["x-compute-time"]
        return answer.headers["x-cache"]

    assert cache({"inputs": text}) == "miss"
    assert cache({"inputs": text}) == "hit"
    assert cache({"inputs": text, "options": {"use_cache": False}}) == "miss"
    assert cache({"inputs": text}, **{"x-use-cache": "false"}) == "miss"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"\xff", "malformed"),
        (b'{"inputs":"\xff"}', "UTF-8"),
        (b'{"inputs":"\\ud800abcdef"}', "surrogate"),
        (b"1", "int"),
        (b"null", "null"),
        (b"{}", "inputs is missing"),
        (b'{"inputs":null}', "$.inputs"),
        (b'{"inputs":7}', "$.inputs"),
        (b'{"inputs":[]}', "inputs is empty"),
        (b'{"inputs":["a",7]}', "$.inputs[1]"),
        (b'{"inputs":["a",null]}', "$.inputs[1]"),
        (b'{"inputs":["a",{"text":"b"}]}', "one kind"),
        (b'{"inputs":{}}', "inputs is missing"),
        (b'{"inputs":{"source_sentence":"a"}}', "sentences"),
        (b'{"inputs":{"source_sentence":"a","sentences":[]}}', "sentences is empty"),
        (b'{"inputs":{"query":"a"}}', "texts"),
        (b'{"query":"a","texts":[]}', "no texts"),
        (b'{"inputs":"a","dimensions":0}', "$.dimensions"),
        (b'{"inputs":"a","dimensions":385}', "1 to 384"),
        (b'{"inputs":"a","parameters":{"dimensions":NaN}}', "malformed"),
        (b'{"inputs":"a","truncation_direction":"up"}', "$.truncation_direction"),
        (b'{"inputs":"a","parameters":7}', "$.parameters"),
        (b'{"inputs":"a","options":{"use_cache":"no"}}', "$.options.use_cache"),
        (b"[" * 100_000, "array"),
    ],
)
def test_bad_bodies_are_refused_with_a_string(client: httpx.Client, body: bytes, told: str) -> None:
    answer = client.post("/", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]
    assert told in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/pipeline/text-classification/" + DEFAULT_MODEL, {"inputs": "I like you"}),
        ("/models/" + DEFAULT_MODEL, {"inputs": {"text": "a", "text_pair": "b"}}),
        ("/pipeline/summarization/" + DEFAULT_MODEL, {"inputs": "a long text"}),
        ("/pipeline/rerank/" + DEFAULT_MODEL, {"inputs": [{"text": "a", "text_pair": "b"}, {"text": "c"}]}),
    ],
)
def test_what_is_not_served_is_said(client: httpx.Client, path: str, body: Any) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing", "a/b/c", "%2e%2e/%2e%2e/etc", "tests/server"])
@pytest.mark.parametrize("wait", [True, False])
def test_an_unknown_model_is_not_found(client: httpx.Client, name: str, wait: bool) -> None:
    answer = client.post(f"/models/{name}", json={"inputs": "a", "options": {"wait_for_model": wait}})
    assert answer.status_code == 404
    assert isinstance(answer.json().get("error", answer.json().get("detail")), str)


def test_what_is_known_of_a_model(client: httpx.Client) -> None:
    info = client.get(f"/api/models/{DEFAULT_MODEL}").json()
    assert info["id"] == DEFAULT_MODEL
    assert info["library_name"] == "sentence-transformers"
    assert {info["pipeline_tag"], "sentence-similarity"} <= set(info["tags"])
    assert [each["providerId"] for each in info["inferenceProviderMapping"]] == [DEFAULT_MODEL]
    query = "expand[]=inferenceProviderMapping&expand[]=tags"
    assert set(client.get(f"/api/models/{DEFAULT_MODEL}?{query}").json()) == {"id", "inferenceProviderMapping", "tags"}
    assert client.get("/api/models/nobody/nothing").status_code == 404


def test_a_model_that_is_being_loaded(start_server: Start, tmp_path: Path, tiny: Model, tiny_folder: Path) -> None:
    with FakeHub() as hub:
        hub.publish("acme/tiny", files_of(tiny_folder))
        hub.held.add("model.safetensors")
        home = {"EMBEDHUB_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
        server = start_server("--model", str(tiny_folder), "--allow-models", "acme/*", HF_ENDPOINT=hub.endpoint, **home)
        with httpx.Client(base_url=server, timeout=60) as client:
            known = client.get("/api/models/acme/tiny?expand[]=pipeline_tag").json()
            assert known == {"id": "acme/tiny", "pipeline_tag": "feature-extraction"}
            for refused in (
                client.post("/models/acme/tiny", json={"inputs": "a", "options": {"wait_for_model": False}}),
                client.post("/models/acme/tiny", json={"inputs": "a"}, headers={"x-wait-for-model": "false"}),
            ):
                assert refused.status_code == 503
                assert refused.json()["error"] == "Model acme/tiny is currently loading"
                assert isinstance(refused.json()["estimated_time"], float)
                assert int(refused.headers["retry-after"]) >= 1
            assert hub.reached.wait(20)
            # The other model answers meanwhile.
            close(client.post("/", json={"inputs": "the one"}).json(), tiny.encode("the one"))
            hub.release.set()
            waited = client.post("/models/acme/tiny", json={"inputs": "the one"})
            close(waited.json(), tiny.encode("the one"))
            assert client.get("/api/models/acme/tiny").status_code == 200


def test_a_classifier_labels_texts_and_pairs_and_ranks(start_server: Start, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "labels", labels=3, id2label={"0": "no", "1": "maybe", "2": "yes"})
    model = Classifier(folder, dtype="f32")
    server = start_server("--model", str(folder))

    def labels(given: Any, activation: str = "softmax") -> list[Any]:
        scores = ACTIVATIONS[activation](model.logits([given]))[0]
        order = np.argsort(-scores, kind="stable")
        return [{"label": model.labels[at], "score": pytest.approx(scores[at], abs=1e-5)} for at in order]

    with httpx.Client(base_url=server, timeout=60) as client:
        assert client.post("/", json={"inputs": "the one"}).json() == [labels("the one")]
        assert client.post("/", json={"inputs": ["the one", "it"]}).json() == [labels("the one"), labels("it")]
        pair = {"text": "the one", "text_pair": "it"}
        for inputs in (pair, [pair]):
            assert client.post("/", json={"inputs": inputs}).json() == [labels(("the one", "it"))]
        best = {"top_k": 1, "function_to_apply": "none"}
        assert client.post("/", json={"inputs": "it", "parameters": best}).json() == [labels("it", "identity")[:1]]
        info = client.get(f"/api/models/{folder}").json()
        assert (info["pipeline_tag"], info["library_name"]) == ("text-classification", "transformers")
        client_of_it = InferenceClient(model=server)
        assert [each.label for each in client_of_it.text_classification("it")] == [
            each["label"] for each in labels("it")
        ]
        close_session()
