"""The API of text-embeddings-inference against a real server: numbers are the model's own, errors are in its words."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import httpx
import msgspec
import numpy as np
import pytest
from huggingface_hub import InferenceClient
from tests.server.conftest import Start

from embedhub import EncodeOptions, Model, errors
from embedhub.config import DEFAULT_MODEL
from embedhub.server.dialects.tei import wire
from embedhub.server.errors import failure_of

TEXTS = ["The cat sits on the mat.", "Wie spät ist es? 🦉", "x"]
LONG = "word " * 400


def post(client: httpx.Client, path: str, body: Any) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def own_ids(client: httpx.Client, text: str) -> list[int]:
    return [token["id"] for token in post(client, "/tokenize", {"inputs": text})[0]]


@pytest.mark.parametrize("path", ["/embed", "/invocations"])
def test_vectors_are_the_models(client: httpx.Client, default_model: Model, path: str) -> None:
    np.testing.assert_allclose(post(client, path, {"inputs": TEXTS}), default_model.encode(TEXTS), atol=1e-5)
    lone = post(client, path, {"inputs": TEXTS[1], "model": DEFAULT_MODEL})
    np.testing.assert_allclose(lone, default_model.encode(TEXTS[1:2]), atol=1e-5)


def test_large_batches_are_answered(client: httpx.Client, default_model: Model) -> None:
    texts = [f"text {number}" for number in range(300)]
    np.testing.assert_allclose(post(client, "/embed", {"inputs": texts}), default_model.encode(texts), atol=1e-5)


def test_dimensions_and_nulls(client: httpx.Client, default_model: Model) -> None:
    nulls = dict.fromkeys(("truncate", "truncation_direction", "prompt_name", "normalize", "model"))
    found = post(client, "/embed", {"inputs": TEXTS, "dimensions": 64, **nulls})
    np.testing.assert_allclose(found, default_model.encode(TEXTS, truncate_dim=64), atol=1e-5)


def test_lengths_can_be_left_as_they_are(client: httpx.Client, default_model: Model) -> None:
    found = post(client, "/embed", {"inputs": TEXTS, "normalize": False})
    wanted = default_model.embed(TEXTS, EncodeOptions(normalize=False)).vectors
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("direction", ["Right", "right", "Left", "left"])
def test_long_texts_are_cut_where_asked(client: httpx.Client, default_model: Model, direction: str) -> None:
    text = f"start {LONG} end"
    answer = client.post("/embed", json={"inputs": ["x", text], "truncation_direction": direction})
    keep = "end" if direction.lower() == "left" else "start"
    wanted = default_model.embed(["x", text], EncodeOptions(long_texts_keep=keep)).vectors
    np.testing.assert_allclose(answer.json(), wanted, atol=1e-5)
    assert answer.headers["x-truncated"] == "1"


def test_long_texts_can_be_refused(client: httpx.Client) -> None:
    answer = client.post("/embed", json={"inputs": ["x", LONG], "truncate": False})
    assert answer.status_code == 422
    assert answer.json()["error_type"] == "Validation"
    assert "text 1 has 402 tokens" in answer.json()["error"]


def test_own_token_ids_are_texts(client: httpx.Client, default_model: Model) -> None:
    ids = [own_ids(client, text) for text in TEXTS]
    np.testing.assert_allclose(post(client, "/embed", {"inputs": ids}), default_model.encode(TEXTS), atol=1e-5)
    flat = post(client, "/embed", {"inputs": ids[0]})
    np.testing.assert_allclose(flat, default_model.encode(TEXTS[:1]), atol=1e-5)


def test_token_vectors(client: httpx.Client, default_model: Model) -> None:
    found = post(client, "/embed_all", {"inputs": TEXTS})
    wanted = default_model.token_embeddings(TEXTS)
    assert [len(each) for each in found] == [len(each) for each in wanted]
    for own, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(own, theirs, atol=1e-4)


def test_similarity(client: httpx.Client, default_model: Model) -> None:
    inputs = {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}
    wanted = default_model.similarity(default_model.encode(TEXTS[:1]), default_model.encode(TEXTS[1:]))[0]
    for parameters in ({}, {"truncate": True, "truncation_direction": "left"}, None):
        found = post(client, "/similarity", {"inputs": inputs, "parameters": parameters})
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_rerank(client: httpx.Client, default_model: Model) -> None:
    scores = default_model.similarity(default_model.encode(["a pet"]), default_model.encode(TEXTS))[0]
    body = {"query": "a pet", "texts": TEXTS, "raw_scores": False}
    answer = client.post("/rerank", json=body)
    assert answer.headers["x-method"] == "cosine"
    assert [each["index"] for each in answer.json()] == np.argsort(-scores).tolist()
    np.testing.assert_allclose([each["score"] for each in answer.json()], np.sort(scores)[::-1], atol=1e-5)
    assert all(set(each) == {"index", "score"} for each in answer.json())
    for each in post(client, "/rerank", body | {"return_text": True}):
        assert each["text"] == TEXTS[each["index"]]


def test_tokens_have_places_in_characters(client: httpx.Client, default_model: Model) -> None:
    (tokens,) = post(client, "/tokenize", {"inputs": "Crème 東 🙂x"})
    assert tokens[0] == {"id": 101, "text": "[CLS]", "special": True, "start": None, "stop": None}
    assert [(each["text"], each["start"], each["stop"]) for each in tokens[1:-1]] == [
        ("Cr", 0, 2),
        ("ème", 2, 5),
        ("東", 6, 7),
        ("🙂x", 8, 10),
    ]
    assert [each["id"] for each in tokens] == default_model.tokenize(["Crème 東 🙂x"])["input_ids"][0].tolist()
    (bare,) = post(client, "/tokenize", {"inputs": "hi", "add_special_tokens": False})
    assert [each["text"] for each in bare] == ["hi"]


def test_nothing_of_a_long_text_is_left_out(client: httpx.Client) -> None:
    (tokens,) = post(client, "/tokenize", {"inputs": "word " * 6000})
    assert len(tokens) == 6002


def test_decoding(client: httpx.Client) -> None:
    ids = own_ids(client, "Hello there!")
    assert post(client, "/decode", {"ids": ids}) == ["hello there!"]
    assert post(client, "/decode", {"ids": [ids, [7632]], "skip_special_tokens": False}) == [
        "[CLS] hello there! [SEP]",
        "hi",
    ]


def test_info(client: httpx.Client, default_model: Model) -> None:
    info = client.get("/info").json()
    assert info["model_id"] == info["served_model_name"] == DEFAULT_MODEL
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert (info["model_dtype"], info["max_input_length"], info["dimensions"]) == ("float32", 256, 384)
    assert info["weights_sha256"] == default_model.spec.weights_sha256
    assert info["auto_truncate"] is True
    assert {"max_concurrent_requests", "max_batch_tokens", "max_client_batch_size", "tokenization_workers"} <= set(info)
    assert DEFAULT_MODEL in [each["model_id"] for each in info["models"]]
    assert info["parity"]["texts"] == 8
    assert info["parity"]["min_cosine"] > 0.99999
    assert info["parity"]["max_difference"] < 1e-5


# Programs that people have.


def test_the_hubs_client(server: str, default_model: Model) -> None:
    client = InferenceClient(model=f"{server}/embed")
    found = client.feature_extraction(TEXTS[0], normalize=True, truncate=True, truncation_direction="right")
    np.testing.assert_allclose(found, default_model.encode(TEXTS[:1]), atol=1e-5)


def test_a_post_as_llama_index_sends_it(client: httpx.Client, default_model: Model) -> None:
    found = post(client, "/embed", {"inputs": TEXTS, "truncate": True})
    np.testing.assert_allclose(found, default_model.encode(TEXTS), atol=1e-5)


def test_a_post_as_langchain_sends_it(client: httpx.Client, default_model: Model) -> None:
    # Line breaks become spaces there, and the answer's body is read as JSON without a look at its type.
    raw = client.post("/embed", content=json.dumps({"inputs": ["a b", "c"]}).encode())
    np.testing.assert_allclose(json.loads(raw.content), default_model.encode(["a b", "c"]), atol=1e-5)


# What goes wrong.

REFUSED: list[tuple[str, Any, int, str, str]] = [
    ("/embed", {"inputs": []}, 400, "Empty", "inputs is empty"),
    ("/embed", {"inputs": ""}, 400, "Empty", "input 0 is empty"),
    ("/embed", {"inputs": ["a", ""]}, 400, "Empty", "input 1 is empty"),
    ("/embed", {"inputs": [[1], []]}, 400, "Empty", "input 1 is empty"),
    ("/embed", {}, 422, "Validation", "`inputs`"),
    ("/embed", {"inputs": None}, 422, "Validation", "$.inputs"),
    ("/embed", {"inputs": ["a", 1]}, 422, "Validation", "one kind"),
    ("/embed", {"inputs": [1, [1]]}, 422, "Validation", "one kind"),
    ("/embed", {"inputs": ["a", [1]]}, 422, "Validation", "one kind"),
    ("/embed", {"inputs": [True]}, 422, "Validation", "$.inputs"),
    ("/embed", {"inputs": [-1]}, 422, "Validation", "$.inputs"),
    ("/embed", {"inputs": [1.5]}, 422, "Validation", "$.inputs"),
    ("/embed", {"inputs": [10**30]}, 422, "Validation", "$.inputs"),
    ("/embed", {"inputs": [30522]}, 422, "Tokenizer", "30522"),
    ("/embed", {"inputs": [[101], [2**32 - 1]]}, 422, "Tokenizer", "input 1"),
    ("/embed", {"inputs": "a", "prompt_name": "title"}, 422, "Validation", "no prompt 'title'"),
    ("/embed", {"inputs": "a", "dimensions": 0}, 422, "Validation", "$.dimensions"),
    ("/embed", {"inputs": "a", "dimensions": 385}, 422, "Validation", "1 to 384"),
    ("/embed", {"inputs": "a", "truncation_direction": "LEFT"}, 422, "Validation", "LEFT"),
    ("/embed", {"inputs": "a", "model": "no/such"}, 404, "Validation", "no/such"),
    ("/embed", {"inputs": "a", "model": "../etc"}, 404, "Validation", "../etc"),
    ("/embed", {"inputs": "a" * 1_000_001}, 413, "Validation", "EMBEDHUB_MAX_TEXT_CHARACTERS"),
    ("/embed", {"inputs": ["a"] * 20_001}, 413, "Validation", "EMBEDHUB_MAX_TEXTS"),
    ("/embed_all", {"inputs": []}, 400, "Empty", "inputs is empty"),
    ("/embed_sparse", {"inputs": "a"}, 424, "Backend", "sparse"),
    ("/predict", {"inputs": "a"}, 424, "Backend", "embedding model"),
    ("/predict", {"inputs": [["a"], ["b", "c"]]}, 424, "Backend", "embedding model"),
    ("/predict", {"inputs": ["a", "b", "c"]}, 422, "Validation", "two texts"),
    ("/predict", {"inputs": ["a", ["b"]]}, 422, "Validation", "list of its own"),
    ("/predict", {"inputs": [["a", "b", "c"]]}, 422, "Validation", "$.inputs"),
    ("/predict", {"inputs": []}, 422, "Validation", "$.inputs"),
    ("/rerank", {"query": "a", "texts": []}, 400, "Empty", "texts is empty"),
    ("/rerank", {"query": "a"}, 422, "Validation", "`texts`"),
    ("/rerank", {"query": "a", "documents": []}, 422, "Validation", "$.documents"),
    ("/similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, 400, "Empty", "sentences is empty"),
    ("/similarity", {"inputs": ["a"]}, 422, "Validation", "$.inputs"),
    ("/tokenize", {"inputs": []}, 400, "Empty", "inputs is empty"),
    ("/decode", {"ids": []}, 400, "Empty", "ids is empty"),
    ("/decode", {"ids": [1, [2]]}, 422, "Validation", "one kind"),
    ("/decode", {"ids": [30522]}, 422, "Tokenizer", "30522"),
]


@pytest.mark.parametrize(("path", "body", "status", "kind", "says"), REFUSED)
def test_refusals(client: httpx.Client, path: str, body: Any, status: int, kind: str, says: str) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert told["error_type"] == kind
    assert says in told["error"]
    assert "\n" not in told["error"]


@pytest.mark.parametrize("path", ["/embed", "/rerank", "/tokenize"])
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b'{"inputs": "\xff"}', b'{"inputs": "\\ud800"}', b'{"inputs": NaN}', b"[" * 100_000],
)
def test_bodies_that_are_no_request(client: httpx.Client, path: str, body: bytes) -> None:
    answer = client.post(path, content=body)
    assert answer.status_code == 422
    assert answer.json()["error_type"] == "Validation"
    assert post(client, "/embed", {"inputs": "still there"})


def test_a_bomb(client: httpx.Client) -> None:
    bomb = gzip.compress(b'{"inputs": "' + b"a" * (80 << 20) + b'"}')
    answer = client.post("/embed", content=bomb, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413
    assert answer.json()["error_type"] == "Validation"


def test_too_much_at_once(start_server: Start) -> None:
    address = start_server("--queue-texts", "1", "--max-body-mb", "1")
    texts = [f"{number} " + "many words " * 40 for number in range(60)]
    with httpx.Client(base_url=address, timeout=60) as client, ThreadPoolExecutor(1) as others:
        bulk = others.submit(httpx.post, f"{address}/embed", json={"inputs": texts}, timeout=60)
        answers = [client.post("/embed", json={"inputs": "first"})]
        while answers[-1].status_code == 200 and not bulk.done():
            answers.append(client.post("/embed", json={"inputs": f"text {len(answers)}"}))
        # Whichever came second had to wait, and more may not wait.
        refused = [answer for answer in (*answers, bulk.result()) if answer.status_code != 200]
        assert len(refused) == 1
        assert refused[0].status_code == 429
        assert refused[0].json()["error_type"] == "Overloaded"
        assert int(refused[0].headers["retry-after"]) >= 1

        answer = client.post("/embed", json={"inputs": "a" * (2 << 20)})
        assert answer.status_code == 413
        assert answer.json()["error_type"] == "Validation"
        assert "EMBEDHUB_MAX_BODY_MB" in answer.json()["error"]
        assert post(client, "/embed", {"inputs": "still there"})


def every(kind: type[errors.EmbedhubError]) -> list[type[errors.EmbedhubError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in every(child))]


@pytest.mark.parametrize("kind", every(errors.EmbedhubError), ids=lambda kind: kind.__name__)
def test_every_error_has_one_of_six_types(kind: type[errors.EmbedhubError]) -> None:
    failure = failure_of(kind("what is wrong"))
    told = json.loads(wire.failed(failure).body)
    assert told["error"] == "what is wrong"
    assert told["error_type"] in get_args(wire.ErrorType)
    by_status = {400: "Empty", 422: {"Validation", "Tokenizer"}, 424: "Backend", 429: "Overloaded", 503: "Unhealthy"}
    if failure.status in by_status and told["error_type"] != "Validation":
        assert told["error_type"] in by_status[failure.status]


def test_statuses_of_that_server() -> None:
    found = {}
    for kind in (
        errors.EmptyInputError,
        errors.InputError,
        errors.RequestError,
        errors.TextTooLongError,
        errors.OverloadedError,
        errors.ModelLoadingError,
        errors.ShuttingDownError,
        errors.ComputationError,
    ):
        failure = failure_of(kind("x"))
        found[kind.__name__] = (json.loads(wire.failed(failure).body)["error_type"], failure.status)
    assert found == {
        "EmptyInputError": ("Empty", 400),
        "InputError": ("Tokenizer", 422),
        "RequestError": ("Validation", 422),
        "TextTooLongError": ("Validation", 422),
        "OverloadedError": ("Overloaded", 429),
        "ModelLoadingError": ("Unhealthy", 503),
        "ShuttingDownError": ("Unhealthy", 503),
        "ComputationError": ("Backend", 424),
    }


def test_predict_bodies() -> None:
    def read(inputs: Any) -> Any:
        return wire.pairs_of(msgspec.convert({"inputs": inputs}, wire.PredictRequest))

    assert read("a") == (["a"], True)
    assert read(["a"]) == (["a"], True)
    assert read(["a", "b"]) == ([("a", "b")], True)
    assert read([["a"], ["b", "c"]]) == (["a", ("b", "c")], False)
