"""Programs written for the hosted Inference API, with nothing changed but the address."""

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from huggingface_hub import HfApi, InferenceClient, close_session
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from embedhub import Model
from embedhub.config import DEFAULT_MODEL

TEXTS = ["How do I get a replacement Medicare card?", "What is Medicare?"]


@pytest.fixture(
    params=["/", f"/models/{DEFAULT_MODEL}", f"/hf-inference/models/{DEFAULT_MODEL}/pipeline/feature-extraction"]
)
def hugging_face(server: str, request: pytest.FixtureRequest) -> InferenceClient:
    return InferenceClient(model=server + request.param, token="hf_not_a_real_token")


@pytest.fixture(autouse=True, scope="module")
def connections() -> Iterator[None]:
    """huggingface_hub keeps its connections open until it is told."""
    yield
    close_session()


def test_feature_extraction(hugging_face: InferenceClient, default_model: Model) -> None:
    one = hugging_face.feature_extraction(TEXTS[0])
    assert one.shape == (384,)
    np.testing.assert_allclose(one, default_model.encode(TEXTS[0]), atol=1e-5)
    many = hugging_face.feature_extraction(TEXTS)
    assert many.dtype == np.float32
    np.testing.assert_allclose(many, default_model.encode(TEXTS), atol=1e-5)


def test_parameters_of_feature_extraction(hugging_face: InferenceClient, default_model: Model) -> None:
    short = hugging_face.feature_extraction(
        TEXTS, normalize=True, truncate=True, truncation_direction="left", dimensions=32, encoding_format="float"
    )
    wanted = default_model.encode(TEXTS, truncate_dim=32, normalize_embeddings=True)
    np.testing.assert_allclose(short, wanted, atol=1e-5)
    with pytest.raises(HfHubHTTPError, match="no prompt 'of nobody'"):
        hugging_face.feature_extraction(TEXTS[0], prompt_name="of nobody")
    with pytest.raises(HfHubHTTPError, match="tokens"):
        hugging_face.feature_extraction("word " * 600, truncate=False)


def test_sentence_similarity(hugging_face: InferenceClient, default_model: Model) -> None:
    found = hugging_face.sentence_similarity(TEXTS[0], other_sentences=TEXTS)
    vectors = default_model.encode(TEXTS)
    np.testing.assert_allclose(found, vectors @ vectors[0], atol=1e-5)


def test_a_model_that_is_not_there(server: str) -> None:
    with pytest.raises(HfHubHTTPError) as refused:
        InferenceClient(model=f"{server}/models/nobody/nothing").feature_extraction("a")
    assert refused.value.response.status_code == 404
    assert "nobody/nothing" in str(refused.value)


def test_the_hub_client_reads_what_is_known_of_a_model(server: str) -> None:
    hub = HfApi(endpoint=server)
    info = hub.model_info(DEFAULT_MODEL, expand=["inferenceProviderMapping", "pipeline_tag", "tags"])
    assert info.pipeline_tag == "feature-extraction"
    assert "sentence-similarity" in (info.tags or [])
    mapping = info.inference_provider_mapping
    assert mapping is not None
    assert (mapping[0].provider, mapping[0].provider_id, mapping[0].status) == ("hf-inference", DEFAULT_MODEL, "live")
    with pytest.raises(RepositoryNotFoundError):
        hub.model_info("nobody/nothing")


def test_chroma_embeds_without_looking_at_the_status(server: str, default_model: Model) -> None:
    url = f"{server}/pipeline/feature-extraction/{DEFAULT_MODEL}"
    with httpx.Client(headers={"Authorization": "Bearer hf_not_a_real_token"}, timeout=60) as session:
        answer: Any = session.post(url, json={"inputs": TEXTS, "options": {"wait_for_model": True}}).json()
    vectors = [np.array(vector, dtype=np.float32) for vector in answer]
    np.testing.assert_allclose(vectors, default_model.encode(TEXTS), atol=1e-5)
