"""Cohere's embed API against a real server: as plain posts, and as the cohere package asks."""

import base64
from typing import Any

import cohere
import httpx
import numpy as np
import pytest

from embedhub import Model
from embedhub.config import DEFAULT_MODEL

TEXTS = ["The cat sleeps on the sofa.", "Stocks fell on Monday.", "Dogs bark at night."]


@pytest.fixture
def vectors(default_model: Model) -> np.ndarray:
    return np.asarray(default_model.encode(TEXTS))


def embed(client: httpx.Client, path: str = "/v2/embed", **more: Any) -> Any:
    answer = client.post(path, json={"texts": TEXTS, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client: httpx.Client, status: int = 400, **body: Any) -> str:
    answer = client.post("/v2/embed", json=body)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert told["message"] == told["detail"]
    return str(told["message"])


def test_vectors_are_the_models(client: httpx.Client, default_model: Model, vectors: np.ndarray) -> None:
    tokens = int(default_model.embed(TEXTS).tokens.sum())
    for version in ("1", "2"):
        answer = embed(client, f"/v{version}/embed", model=DEFAULT_MODEL, input_type="search_document")
        by_type = version == "2"
        assert answer["response_type"] == ("embeddings_by_type" if by_type else "embeddings_floats")
        found = answer["embeddings"]["float"] if by_type else answer["embeddings"]
        np.testing.assert_allclose(found, vectors, atol=1e-5)
        assert answer["texts"] == TEXTS
        assert answer["meta"] == {"api_version": {"version": version}, "billed_units": {"input_tokens": tokens}}
        assert answer["id"]


def test_every_way_of_writing_them(client: httpx.Client, vectors: np.ndarray) -> None:
    kinds = ["base64", "binary", "float", "ubinary"]
    for path in ("/v1/embed", "/v2/embed"):
        found = embed(client, path, embedding_types=kinds)["embeddings"]
        assert list(found) == kinds
        decoded = [np.frombuffer(base64.b64decode(each), "<f4") for each in found["base64"]]
        np.testing.assert_array_equal(np.asarray(decoded), np.asarray(found["float"], np.float32))
        bits = np.unpackbits(np.asarray(found["ubinary"], np.uint8), axis=1)
        np.testing.assert_array_equal(bits.astype(bool), np.asarray(found["float"]) > 0)
        assert (np.asarray(found["binary"]) == np.asarray(found["ubinary"]) - 128).all()


def test_inputs_width_and_long_texts(client: httpx.Client, vectors: np.ndarray) -> None:
    inputs = [{"content": [{"type": "text", "text": text}]} for text in TEXTS]
    answer = client.post("/v2/embed", json={"inputs": inputs, "output_dimension": 64}).json()
    found = np.asarray(answer["embeddings"]["float"])
    wanted = vectors[:, :64] / np.linalg.norm(vectors[:, :64], axis=1, keepdims=True)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    long = "cat " * 600 + "dog"
    assert "603 tokens" in refused(client, texts=[long], truncate="NONE")
    ends = [client.post("/v2/embed", json={"texts": [long], "truncate": end}) for end in ("START", "END")]
    assert [end.headers["x-truncated"] for end in ends] == ["0", "0"]
    assert ends[0].json()["embeddings"] != ends[1].json()["embeddings"]


def test_what_is_not_offered(client: httpx.Client) -> None:
    assert "there are float, base64, ubinary, binary" in refused(client, texts=["a"], embedding_types=["int8"])
    assert "images" in refused(client, images=["data:image/png;base64,AAAA"], input_type="image")
    assert "texts, or inputs" in refused(client, input_type="clustering")
    assert "part of type 'image_url'" in refused(
        client, inputs=[{"content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    )
    assert "texts" in refused(client, texts=[])
    assert "no/such" in refused(client, 404, texts=["a"], model="no/such")


def test_the_packages_clients(server: str, vectors: np.ndarray) -> None:
    with cohere.Client(api_key="none", base_url=server) as client:
        first = client.embed(texts=TEXTS, model=DEFAULT_MODEL, input_type="search_document")
    assert first.response_type == "embeddings_floats"
    np.testing.assert_allclose(first.embeddings, vectors, atol=1e-5)
    with cohere.ClientV2(api_key="none", base_url=server) as client_of_v2:
        second = client_of_v2.embed(
            texts=TEXTS, model=DEFAULT_MODEL, input_type="search_query", embedding_types=["float", "binary"]
        )
    assert second.embeddings.float_ is not None
    assert second.embeddings.binary is not None
    np.testing.assert_allclose(second.embeddings.float_, vectors, atol=1e-5)
    assert len(second.embeddings.binary[0]) == vectors.shape[1] // 8
