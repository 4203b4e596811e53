"""transformers and sentence-transformers load hosted models by name and push them; the blog post with its search."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.hub.test_walkthrough import HITS, QUERY, QUESTIONS
from tests.server.hub.users import Session, User, user
from tests.server.processes import running

from embedhub import Model
from embedhub.config import DEFAULT_MODEL

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory, default_model: Model) -> Iterator[User]:
    folder = tmp_path_factory.mktemp("hub")
    model = {"EMBEDHUB_MODEL_ALIASES": f"{DEFAULT_MODEL}={default_model.spec.folder}"}
    with running(folder, default_model.spec.folder, **model) as server:
        yield user(server, folder / "alice")


@pytest.fixture(scope="module")
def session(alice: User) -> Iterator[Session]:
    with alice.session() as session:
        yield session


def _hosted(folder: str, texts: list[str]) -> dict[str, Any]:
    from huggingface_hub import HfApi
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel, AutoTokenizer

    api = HfApi()
    api.create_repo("alice/model", private=True)
    api.upload_folder(repo_id="alice/model", folder_path=folder)
    loaded = SentenceTransformer("alice/model")
    tokenizer = AutoTokenizer.from_pretrained("alice/model")
    body = AutoModel.from_pretrained("alice/model")
    again = SentenceTransformer("alice/model", local_files_only=True)
    return {
        "vectors": loaded.encode(texts).tolist(),
        "again": again.encode(texts).tolist(),
        "tokens": tokenizer(texts)["input_ids"],
        "width": body.config.hidden_size,
    }


def test_a_hosted_model_by_its_name(session: Session, default_model: Model) -> None:
    found = session(_hosted, str(default_model.spec.folder), QUESTIONS[:3])
    expected = default_model.encode(QUESTIONS[:3])
    assert abs(expected - found["vectors"]).max() < 1e-5
    assert found["again"] == found["vectors"]
    assert found["tokens"][0][0] == 101
    assert found["width"] == 384


def _pushed(folder: str) -> dict[str, Any]:
    from huggingface_hub import HfApi
    from sentence_transformers import SentenceTransformer

    made = SentenceTransformer(folder)
    url = made.push_to_hub("alice/pushed_model", private=True)
    loaded = SentenceTransformer("alice/pushed_model")
    info = HfApi().model_info("alice/pushed_model")
    return {
        "url": url,
        "same": bool((loaded.encode("a text") == made.encode("a text")).all()),
        "library": info.library_name,
        "task": info.pipeline_tag,
        "files": [each.rfilename for each in info.siblings or ()],
    }


def test_a_model_is_pushed(session: Session, default_model: Model, alice: User) -> None:
    found = session(_pushed, str(default_model.spec.folder))
    assert found["url"].startswith(f"{alice.server.address}/alice/pushed_model/commit/")
    assert found["same"]
    assert (found["library"], found["task"]) == ("sentence-transformers", "sentence-similarity")
    assert {"model.safetensors", "modules.json", "1_Pooling/config.json"} <= set(found["files"])


def _as_in_the_post(address: str, query: str, texts: list[str]) -> list[tuple[int, float]]:
    import os

    import pandas as pd
    import requests
    import torch
    from huggingface_hub import HfApi
    from sentence_transformers.util import semantic_search

    from datasets import load_dataset

    def ask(inputs: list[str]) -> Any:
        headers = {"Authorization": f"Bearer {os.environ['HF_TOKEN']}"}
        response = requests.post(address, headers=headers, json={"inputs": inputs, "options": {"wait_for_model": True}})
        return response.json()

    pd.DataFrame(ask(texts)).to_csv("embeddings.csv", index=False)
    api = HfApi()
    api.create_repo("alice/faqs", repo_type="dataset")
    api.upload_file(
        path_or_fileobj="embeddings.csv", path_in_repo="embeddings.csv", repo_id="alice/faqs", repo_type="dataset"
    )
    faqs = load_dataset("alice/faqs")
    matrix = torch.from_numpy(faqs["train"].to_pandas().to_numpy()).to(torch.float)
    hits = semantic_search(torch.FloatTensor(ask([query])), matrix, top_k=5)
    return [(hit["corpus_id"], round(hit["score"], 4)) for hit in hits[0]]


def test_the_post_with_its_own_search(session: Session, alice: User) -> None:
    address = f"{alice.server.address}/pipeline/feature-extraction/{DEFAULT_MODEL}"
    assert session(_as_in_the_post, address, QUERY, QUESTIONS) == HITS


def _shown(folder: str) -> Any:
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(folder)
    config.num_hidden_layers = 1
    AutoModel.from_config(config).push_to_hub("alice/small", commit_message="one layer")
    return json.loads(AutoModel.from_pretrained("alice/small").config.to_json_string())["num_hidden_layers"]


def test_transformers_pushes_too(session: Session, default_model: Model) -> None:
    assert session(_shown, str(default_model.spec.folder)) == 1


def test_missing_models_are_told(alice: User, tmp_path: Path) -> None:
    code = """
from sentence_transformers import SentenceTransformer
try:
    SentenceTransformer("alice/never")
except Exception as error:
    print(type(error).__name__, error)
"""
    told = alice.run(str(alice.programs / "python"), "-c", code, folder=tmp_path, variables={"HF_TOKEN": alice.token})
    assert told.startswith("RepositoryNotFoundError 404")
    assert "alice/never" in told
