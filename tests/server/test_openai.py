"""OpenAI's API: vectors are the model's own."""

import httpx
import numpy as np


def test_a_text_has_the_models_vector(client: httpx.Client) -> None:
    from embedhub import Model

    answer = client.post("/v1/embeddings", json={"input": ["one text", "another"], "model": ""}).json()
    found = [item["embedding"] for item in answer["data"]]
    np.testing.assert_allclose(found, Model(dtype="f32").encode(["one text", "another"]), atol=1e-5)
