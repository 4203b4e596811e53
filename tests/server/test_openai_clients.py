"""Programs that people have: the openai package and LangChain, with their defaults, against a real server."""

import asyncio
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr

from embedhub import Model
from embedhub.config import DEFAULT_MODEL

Make = Callable[..., OpenAIEmbeddings]

TEXTS = ["The cat sits on the mat.", "Wie spät ist es? 🦉", "x"]


@pytest.fixture
def sdk(server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as sdk:
        yield sdk


@pytest.fixture
def langchain() -> Iterator[Make]:
    """LangChain's embeddings, whose connections are closed in the end, which LangChain leaves to chance."""
    made: list[OpenAIEmbeddings] = []

    def make(**options: Any) -> OpenAIEmbeddings:
        made.append(OpenAIEmbeddings(**options))
        return made[-1]

    yield make
    for embeddings in made:
        embeddings.client._client.close()


def test_the_sdk_gets_the_models_vectors(sdk: openai.OpenAI, default_model: Model) -> None:
    answer = sdk.embeddings.create(input=TEXTS, model=DEFAULT_MODEL)
    wanted = default_model.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose([item.embedding for item in answer.data], wanted, atol=1e-5)
    assert [item.index for item in answer.data] == [0, 1, 2]
    assert answer.model == DEFAULT_MODEL
    assert answer.usage.total_tokens == int(default_model.embed(TEXTS).tokens.sum())
    numbers = sdk.embeddings.create(input=TEXTS[0], model=DEFAULT_MODEL, encoding_format="float", dimensions=100)
    short = default_model.encode(TEXTS[:1], normalize_embeddings=True, truncate_dim=100)
    np.testing.assert_allclose([item.embedding for item in numbers.data], short, atol=1e-5)


def test_the_sdk_lists_models(sdk: openai.OpenAI) -> None:
    assert DEFAULT_MODEL in [model.id for model in sdk.models.list()]
    assert sdk.models.retrieve(DEFAULT_MODEL).id == DEFAULT_MODEL
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("gpt-4")


def test_the_sdk_raises_its_own_errors(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="EMBEDHUB_MODEL_ALIASES") as unknown:
        sdk.embeddings.create(input="a", model="text-embedding-ada-002")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as empty:
        sdk.embeddings.create(input="", model=DEFAULT_MODEL)
    assert empty.value.param == "input"
    with pytest.raises(openai.BadRequestError) as wide:
        sdk.embeddings.create(input="a", model=DEFAULT_MODEL, dimensions=1000)
    assert wide.value.param == "dimensions"
    with pytest.raises(openai.BadRequestError, match="x-token-ids"):
        sdk.embeddings.create(input=[[1, 2]], model=DEFAULT_MODEL)
    assert len(sdk.embeddings.create(input="a", model=DEFAULT_MODEL).data) == 1


def test_the_asynchronous_sdk(server: str, default_model: Model) -> None:
    async def ask() -> list[list[float]]:
        async with openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="none") as sdk:
            answers = await asyncio.gather(*(sdk.embeddings.create(input=text, model=DEFAULT_MODEL) for text in TEXTS))
            return [answer.data[0].embedding for answer in answers]

    found = asyncio.run(ask())
    np.testing.assert_allclose(found, default_model.encode(TEXTS, normalize_embeddings=True), atol=1e-5)


def test_langchain_with_its_defaults(
    openai_server: str, default_model: Model, langchain: Make, cl100k_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # LangChain counts tokens itself, with the same file.
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cl100k_folder))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("OPENAI_API_BASE", f"{openai_server}/v1")
    embeddings = langchain()
    assert embeddings.model == "text-embedding-ada-002"
    wanted = default_model.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(embeddings.embed_documents(TEXTS), wanted, atol=1e-5)
    np.testing.assert_allclose(embeddings.embed_query(TEXTS[1]), wanted[1], atol=1e-5)

    async def ask() -> list[list[float]]:
        found = await embeddings.aembed_documents(TEXTS)
        await embeddings.async_client._client.close()
        return found

    np.testing.assert_allclose(asyncio.run(ask()), wanted, atol=1e-5)


def test_langchain_averages_long_texts(
    openai_server: str, default_model: Model, langchain: Make, cl100k_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cl100k_folder))
    import tiktoken

    # Owls take three ids each, so that most cuts go through one.
    text = "An owl 🦉 met a 猫 at noon. 🦉🦉🦉 " * 5
    embeddings = langchain(base_url=f"{openai_server}/v1", api_key=SecretStr("none"), embedding_ctx_length=20)
    found = np.array(embeddings.embed_documents([text, TEXTS[0]]))
    encoding = tiktoken.get_encoding("cl100k_base")
    ids = encoding.encode(text)
    pieces = [ids[at : at + 20] for at in range(0, len(ids), 20)]
    texts = [encoding.decode(piece, errors="ignore") for piece in pieces]
    assert any("\ufffd" in encoding.decode(piece) for piece in pieces)
    assert len(texts) > 3
    vectors = default_model.encode(texts, normalize_embeddings=True)
    mean = np.average(vectors, axis=0, weights=[len(piece) for piece in pieces])
    np.testing.assert_allclose(found[0], mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_allclose(found[1], default_model.encode(TEXTS[0], normalize_embeddings=True), atol=1e-5)


def test_langchain_that_sends_texts_needs_no_setting(server: str, default_model: Model, langchain: Make) -> None:
    embeddings = langchain(
        model=DEFAULT_MODEL, base_url=f"{server}/v1", api_key=SecretStr("none"), check_embedding_ctx_length=False
    )
    wanted = default_model.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(embeddings.embed_documents(TEXTS), wanted, atol=1e-5)


@pytest.mark.clients
def test_the_javascript_of_the_documents_runs(server: str, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "serving" / "openai.md").read_text(encoding="utf-8")
    scripts = re.findall(r"^```javascript\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(scripts) == 1
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "openai@6.49.0"], cwd=tmp_path, check=True)
    (tmp_path / "run.mjs").write_text(scripts[0].replace("http://localhost:8080", server))
    result = subprocess.run(["node", "run.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "2 384\n"), result.stderr
