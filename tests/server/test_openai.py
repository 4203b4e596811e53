"""OpenAI's API over plain HTTP: the model's own vectors, and OpenAI's own errors for whatever is sent instead."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.server.conftest import Start

from embedhub import Model
from embedhub.config import DEFAULT_MODEL
from embedhub.server.dialects.openai import wire
from embedhub.server.errors import Failure

TEXTS = ["The cat sits on the mat.", "Wie spät ist es? 🦉", "x"]


def vectors(answer: dict[str, Any]) -> NDArray[np.float32]:
    found = [item["embedding"] for item in answer["data"]]
    if isinstance(found[0], str):
        return np.stack([np.frombuffer(base64.b64decode(each), "<f4") for each in found])
    return np.array(found, np.float32)


def expected(model: Model, texts: list[str], **options: Any) -> NDArray[np.float32]:
    return np.asarray(model.encode(texts, normalize_embeddings=True, **options))


def refused(client: httpx.Client, status: int = 400, **request: Any) -> dict[str, Any]:
    """The error of a request that is not answered; the next one is."""
    answer = client.post("/v1/embeddings", **request)
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert "\n" not in error["message"]
    assert client.post("/v1/embeddings", json={"input": "still here"}).status_code == 200
    return error


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
@pytest.mark.parametrize("encoding", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
def test_vectors_are_the_models(
    client: httpx.Client, default_model: Model, path: str, encoding: dict[str, str]
) -> None:
    answer = client.post(path, json={"input": TEXTS, "model": DEFAULT_MODEL} | encoding).json()
    msgspec.convert(answer, wire.EmbeddingResponse, strict=True)
    assert set(answer) == {"object", "data", "model", "usage"}
    assert [item["index"] for item in answer["data"]] == [0, 1, 2]
    np.testing.assert_allclose(vectors(answer), expected(default_model, TEXTS), atol=1e-5)
    tokens = int(default_model.embed(TEXTS).tokens.sum())
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert answer["model"] == DEFAULT_MODEL


def test_one_text_is_a_list_of_one(client: httpx.Client, default_model: Model) -> None:
    answer = client.post("/v1/embeddings", json={"input": "hello"}).json()
    assert len(answer["data"]) == 1
    # Without a name it is the default model, and the answer says which that is.
    assert answer["model"] == DEFAULT_MODEL
    np.testing.assert_allclose(vectors(answer), expected(default_model, ["hello"]), atol=1e-5)


@pytest.mark.parametrize("dimensions", [1, 100, 384])
def test_fewer_dimensions_are_of_length_one_again(client: httpx.Client, default_model: Model, dimensions: int) -> None:
    body: dict[str, Any] = {"input": TEXTS, "dimensions": dimensions, "encoding_format": "base64"}
    found = vectors(client.post("/v1/embeddings", json=body).json())
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found, expected(default_model, TEXTS, truncate_dim=dimensions), atol=1e-5)


def test_more_texts_than_openai_takes_are_split_by_the_server(client: httpx.Client, default_model: Model) -> None:
    texts = [f"{number % 50} bottles" for number in range(2100)]
    body = {"input": texts, "encoding_format": "base64"}
    found = vectors(client.post("/v1/embeddings", json=body).json())
    assert found.shape == (2100, 384)
    some = [0, 1047, 2099]
    np.testing.assert_allclose(found[some], expected(default_model, [texts[row] for row in some]), atol=1e-5)


def test_null_is_as_if_it_were_not_there_and_unknown_fields_are_ignored(client: httpx.Client) -> None:
    body: dict[str, Any] = {
        "input": "a",
        "model": None,
        "encoding_format": None,
        "dimensions": None,
        "user": None,
        "future": [{}],
    }
    answer = client.post("/v1/embeddings", json=body)
    assert answer.status_code == 200
    assert isinstance(answer.json()["data"][0]["embedding"], list)


WRONG: list[tuple[str, dict[str, Any], str | None]] = [
    ("no input", {}, "input"),
    ("null", {"input": None}, "input"),
    ("a number", {"input": 7}, "input"),
    ("an object", {"input": {"text": "a"}}, "input"),
    ("an empty string", {"input": ""}, "input"),
    ("an empty string among others", {"input": ["a", ""]}, "input"),
    ("an empty list", {"input": []}, "input"),
    ("an empty list of ids", {"input": [[]]}, "input"),
    ("a null among texts", {"input": ["a", None]}, "input"),
    ("a fraction", {"input": [1.5]}, "input"),
    ("a truth", {"input": [True]}, "input"),
    ("texts and ids", {"input": ["a", 1]}, "input"),
    ("texts and lists", {"input": ["a", [1]]}, "input"),
    ("ids and lists", {"input": [1, [1]]}, "input"),
    ("a negative id", {"input": [[1, -1]]}, "input"),
    ("a huge id", {"input": [10**30]}, "input"),
    ("token ids", {"input": [1, 2]}, "input"),
    ("lists in lists in lists", {"input": [[[1]]]}, "input"),
    ("no dimensions", {"input": "a", "dimensions": 0}, "dimensions"),
    ("negative dimensions", {"input": "a", "dimensions": -1}, "dimensions"),
    ("too many dimensions", {"input": "a", "dimensions": 385}, "dimensions"),
    ("far too many dimensions", {"input": "a", "dimensions": 10**30}, "dimensions"),
    ("half a dimension", {"input": "a", "dimensions": 1.5}, "dimensions"),
    ("dimensions in words", {"input": "a", "dimensions": "ten"}, "dimensions"),
    ("another encoding", {"input": "a", "encoding_format": "int8"}, "encoding_format"),
    ("encoding as a number", {"input": "a", "encoding_format": 1}, "encoding_format"),
    ("a model as a number", {"input": "a", "model": 3}, "model"),
    ("a user as a list", {"input": "a", "user": []}, "user"),
]


@pytest.mark.parametrize(("body", "param"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_is_wrong_is_named(client: httpx.Client, body: dict[str, Any], param: str | None) -> None:
    error = refused(client, json=body)
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"


MALFORMED = {
    "nothing": b"",
    "a list": b'["a"]',
    "a form": b"input=a&model=b",
    "half a body": b'{"input": ["a"',
    "two bodies": b'{"input": "a"} {"input": "a"}',
    "not a number": b'{"input": "a", "dimensions": NaN}',
    "infinity": b'{"input": "a", "dimensions": Infinity}',
    "an endless number": b'{"input": [' + b"9" * 10_000 + b"]}",
    "out of range": b'{"input": "a", "dimensions": 1e999}',
    "no UTF-8": b'{"input": "\xff\xfe"}',
    "UTF-16": '{"input": "a"}'.encode("utf-16"),
    "half a character": rb'{"input": "\ud800"}',
    "half a character in a text": rb'{"input": ["a", "an \ud83d owl"]}',
    "the other half": rb'{"input": "\udc00 and more"}',
    "a control character": b'{"input": "a\x00b"}',
    "a deep list": b'{"input": ' + b"[" * 1000 + b"1" + b"]" * 1000 + b"}",
    "depth nobody reads": b'{"input": "a", "x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_malformed_bodies_are_refused(client: httpx.Client, content: bytes) -> None:
    assert refused(client, content=content)["type"] == "invalid_request_error"


@pytest.mark.parametrize("name", ["half a character", "half a character in a text", "the other half"])
def test_half_a_character_is_explained(client: httpx.Client, name: str) -> None:
    assert "surrogate" in refused(client, content=MALFORMED[name])["message"]
    # A body that breaks off is not blamed on the owls in it.
    assert "surrogate" not in refused(client, content=rb'{"input": "\ud83e\udd89')["message"]


def test_of_a_field_that_comes_twice_the_last_counts(client: httpx.Client, default_model: Model) -> None:
    answer = client.post("/v1/embeddings", content=b'{"input": "first", "input": "second"}').json()
    np.testing.assert_allclose(vectors(answer), expected(default_model, ["second"]), atol=1e-5)


def test_whole_surrogate_pairs_are_characters(client: httpx.Client, default_model: Model) -> None:
    answer = client.post("/v1/embeddings", content=rb'{"input": "an \ud83e\udd89"}').json()
    np.testing.assert_allclose(vectors(answer), expected(default_model, ["an 🦉"]), atol=1e-5)


def test_a_limit_names_its_setting(client: httpx.Client) -> None:
    error = refused(client, 413, json={"input": ["a"] * 20_001})
    assert "EMBEDHUB_MAX_TEXTS" in error["message"]


@pytest.mark.parametrize("name", ["text-embedding-ada-002", "who/ever", "../etc/passwd", "ä b", "x" * 500, "/"])
def test_an_unknown_model_is_told_what_there_is(client: httpx.Client, name: str) -> None:
    error = refused(client, 404, json={"input": "a", "model": name})
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert DEFAULT_MODEL in error["message"]
    assert "EMBEDHUB_MODEL_ALIASES" in error["message"]
    assert str(Path.home()) not in error["message"]


@pytest.mark.parametrize(
    ("code", "status", "kind", "shown"),
    [
        ("unauthorized", 401, "invalid_request_error", "invalid_api_key"),
        ("rate_limited", 429, "requests", "rate_limit_exceeded"),
        ("overloaded", 429, "requests", "rate_limit_exceeded"),
        ("model_not_found", 404, "invalid_request_error", "model_not_found"),
        ("request_too_large", 413, "invalid_request_error", "request_too_large"),
        ("model_loading", 503, "server_error", "model_loading"),
        ("error", 500, "server_error", "error"),
    ],
)
def test_errors_have_openais_names(code: str, status: int, kind: str, shown: str) -> None:
    error = json.loads(wire.failed(Failure(code, "what happened", status)).body)["error"]
    assert (error["type"], error["code"], error["message"]) == (kind, shown, "what happened")


def test_models_are_listed(client: httpx.Client) -> None:
    answer = client.get("/v1/models").json()
    msgspec.convert(answer, wire.ModelList, strict=True)
    found = {item["id"]: item for item in answer["data"]}
    assert found[DEFAULT_MODEL]["owned_by"] == "sentence-transformers"
    assert found[DEFAULT_MODEL]["created"] > 1_600_000_000
    assert client.get(f"/v1/models/{DEFAULT_MODEL}").json() == found[DEFAULT_MODEL]
    for unknown in ("who/ever", "a" * 300, "%20", "x/../y"):
        answer = client.get(f"/v1/models/{unknown}")
        assert answer.status_code == 404, answer.text
        assert answer.json()["error"]["code"] == "model_not_found"


def test_token_ids_of_the_models_own_vocabulary(client: httpx.Client, default_model: Model) -> None:
    tokenized = default_model.tokenize(TEXTS)
    ids = [
        row[mask > 0].tolist() for row, mask in zip(tokenized["input_ids"], tokenized["attention_mask"], strict=True)
    ]
    own = {"x-token-ids": "model"}
    many = client.post("/v1/embeddings", json={"input": ids}, headers=own).json()
    np.testing.assert_allclose(vectors(many), expected(default_model, TEXTS), atol=1e-5)
    # Special tokens may be left out, as tokenizers of clients do.
    one = client.post("/v1/embeddings", json={"input": ids[0][1:-1]}, headers=own).json()
    np.testing.assert_allclose(vectors(one), expected(default_model, TEXTS[:1]), atol=1e-5)
    assert one["usage"]["prompt_tokens"] == len(ids[0])
    error = refused(client, json={"input": [[101, 102], [101, 100_000]]}, headers=own)
    assert "input 1" in error["message"]
    assert error["param"] == "input"


def test_token_ids_are_refused_with_the_ways_out(client: httpx.Client) -> None:
    for headers in ({}, {"x-token-ids": "refuse"}):
        error = refused(client, json={"input": [[1, 2], [3]]}, headers=headers)
        for way in ("x-token-ids", "EMBEDHUB_TOKEN_IDS", "check_embedding_ctx_length"):
            assert way in error["message"]
    error = refused(client, json={"input": [1]}, headers={"x-token-ids": "o200k"})
    assert "cl100k" in error["message"]


def test_a_vocabulary_that_is_not_there_is_asked_for_in_one_line(start_server: Start, tmp_path: Path) -> None:
    address = start_server(TIKTOKEN_CACHE_DIR=str(tmp_path))
    with httpx.Client(base_url=address, timeout=60) as client:
        headers = {"x-token-ids": "cl100k"}
        error = refused(client, 501, json={"input": [1]}, headers=headers)
        assert "embedhub[openai-tokens]" in error["message"]
        assert "TIKTOKEN_CACHE_DIR" in error["message"]
        # OpenAI's clients would otherwise try again.
        answer = client.post("/v1/embeddings", json={"input": [1]}, headers=headers)
        assert answer.headers["x-should-retry"] == "false"


def test_a_server_that_is_told_to_read_them_does_not_start_without(start_server: Start, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"embedhub\[openai-tokens\]"):
        start_server("--token-ids", "cl100k", TIKTOKEN_CACHE_DIR=str(tmp_path))


def test_an_alias_is_echoed_and_listed(openai_server: str, default_model: Model) -> None:
    with httpx.Client(base_url=openai_server, timeout=60) as client:
        answer = client.post("/v1/embeddings", json={"input": "hello", "model": "text-embedding-ada-002"}).json()
        assert answer["model"] == "text-embedding-ada-002"
        np.testing.assert_allclose(vectors(answer), expected(default_model, ["hello"]), atol=1e-5)
        assert client.get("/v1/models/text-embedding-ada-002").json()["root"] == DEFAULT_MODEL
        # The header of a request wins over the server's setting.
        error = refused(client, json={"input": [1, 2]}, headers={"x-token-ids": "refuse"})
        assert error["param"] == "input"


def test_cl100k_ids_are_the_texts_they_were_made_of(
    openai_server: str, default_model: Model, cl100k_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cl100k_folder))
    import tiktoken

    encoding = tiktoken.get_encoding("cl100k_base")
    with httpx.Client(base_url=openai_server, timeout=60) as client:
        answer = client.post("/v1/embeddings", json={"input": [encoding.encode(text) for text in TEXTS]}).json()
        np.testing.assert_allclose(vectors(answer), expected(default_model, TEXTS), atol=1e-5)
        # Tokens are those of the model that read them, not those that were sent.
        assert answer["usage"]["prompt_tokens"] == int(default_model.embed(TEXTS).tokens.sum())
        one = client.post("/v1/embeddings", json={"input": encoding.encode(TEXTS[1])}).json()
        np.testing.assert_allclose(vectors(one), expected(default_model, TEXTS[1:2]), atol=1e-5)
        error = refused(client, content=json.dumps({"input": [[1], [100_256]]}).encode())
        assert "input 1" in error["message"]
