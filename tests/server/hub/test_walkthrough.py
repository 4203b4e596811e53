"""The whole story with unmodified clients: embed over the API, host, load, ask, and get the published answers."""

import gzip
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from tests.server.hub.users import User, user
from tests.server.processes import Running, running

from embedhub import Model, semantic_search
from embedhub.config import DEFAULT_MODEL

ROOT = Path(__file__).parents[3]
QUESTIONS = (ROOT / "examples" / "medicare_faq.txt").read_text(encoding="utf-8").splitlines()
QUERY = "How can Medicare help me?"
HITS = [(8, 0.7565), (7, 0.7419), (3, 0.7253), (9, 0.6736), (10, 0.6505)]


def query(text: str, client: User) -> list[float]:
    """A text's vector, as a script asks for it."""
    vectors: list[list[float]] = embed([text], client)
    return vectors[0]


def embed(texts: list[str], client: User) -> Any:
    """Vectors over the API, as in Hugging Face's blog posts."""
    response = httpx.post(
        f"{client.server.address}/pipeline/feature-extraction/{DEFAULT_MODEL}",
        headers={"Authorization": f"Bearer {client.token}"},
        json={"inputs": texts, "options": {"wait_for_model": True}},
        timeout=60,
    )
    response.raise_for_status()
    return response.json()


def hits_of(client: User, matrix: np.ndarray[Any, Any]) -> list[tuple[int, float]]:
    found = semantic_search(np.array(query(QUERY, client), np.float32), matrix.astype(np.float32), top_k=5)
    return [(int(hit["corpus_id"]), round(hit["score"], 4)) for hit in found[0]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, default_model: Model) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("hub")
    model = {"EMBEDHUB_MODEL_ALIASES": f"{DEFAULT_MODEL}={default_model.spec.folder}"}
    with running(folder, default_model.spec.folder, **model) as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Running, tmp_path_factory: pytest.TempPathFactory) -> User:
    """Alice, whose token may write, logged in."""
    made = user(server, tmp_path_factory.mktemp("alice"))
    made.hf("auth", "login", "--token", made.token)
    assert "alice" in made.hf("auth", "whoami")
    return made


@pytest.fixture(scope="module")
def table(client: User) -> Path:
    """The questions' vectors as a csv without an index, as in the first post."""
    path = client.folder / "embeddings.csv"
    pd.DataFrame(embed(QUESTIONS, client)).to_csv(path, index=False)
    return path


def test_the_first_post_from_the_questions_to_the_five_hits(client: User, table: Path) -> None:
    client.hf("repos", "create", "my_embeddings", "--type", "dataset")
    client.hf("upload", "alice/my_embeddings", str(table), "embeddings.csv", "--repo-type", "dataset")
    code = """
import sys
from datasets import load_dataset
load_dataset("alice/my_embeddings")["train"].to_pandas().to_csv(sys.argv[1], index=False)
"""
    loaded = client.folder / "loaded.csv"
    client.python(code, str(loaded))
    matrix = pd.read_csv(loaded).to_numpy()
    assert matrix.shape == (13, 384)
    assert hits_of(client, matrix) == HITS


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed (apt-get install git-lfs)")
def test_the_same_by_git_and_git_lfs(client: User, table: Path) -> None:
    client.hf("repos", "create", "by_git", "--type", "dataset")
    address = client.server.address.replace("http://", f"http://alice:{client.token}@")
    work = client.folder / "by_git"
    client.run("git", "clone", f"{address}/datasets/alice/by_git", str(work))
    for words in (
        ("lfs", "install", "--local"),
        ("lfs", "track", "*.gz"),
        ("config", "user.name", "Alice"),
        ("config", "user.email", "alice@example.org"),
    ):
        client.run("git", *words, folder=work)
    (work / "embeddings.csv.gz").write_bytes(gzip.compress(table.read_bytes()))
    client.run("git", "add", ".gitattributes", "embeddings.csv.gz", folder=work)
    client.run("git", "commit", "-m", "First version of the embeddings", folder=work)
    client.run("git", "push", folder=work)
    code = """
import sys
from huggingface_hub import hf_hub_download
print(hf_hub_download("alice/by_git", "embeddings.csv.gz", repo_type="dataset"))
"""
    path = client.python(code).strip()
    assert Path(path).read_bytes() == (work / "embeddings.csv.gz").read_bytes()
    assert hits_of(client, pd.read_csv(path, compression="gzip").to_numpy()) == HITS
    again = client.folder / "again"
    client.run("git", "clone", f"{address}/datasets/alice/by_git", str(again))
    client.run("git", "lfs", "install", "--local", folder=again)
    client.run("git", "lfs", "pull", folder=again)
    assert (again / "embeddings.csv.gz").read_bytes() == (work / "embeddings.csv.gz").read_bytes()


def test_a_dataset_of_datasets_itself_and_faiss(client: User) -> None:
    code = """
import json, sys
import numpy as np
from datasets import Dataset, load_dataset
questions, vectors, query = json.load(open(sys.argv[1]))
Dataset.from_dict({"text": questions, "embeddings": vectors}).push_to_hub("alice/pushed")
loaded = load_dataset("alice/pushed", split="train")
loaded.add_faiss_index(column="embeddings")
scores, samples = loaded.get_nearest_examples("embeddings", np.array(query, np.float32), k=5)
print(json.dumps(samples["text"]))
"""
    vectors = embed(QUESTIONS, client)
    given = client.folder / "given.json"
    given.write_text(json.dumps([QUESTIONS, vectors, query(QUERY, client)]))
    nearest = json.loads(client.python(code, str(given)))
    assert nearest == [QUESTIONS[row] for row, _ in HITS]


def test_our_own_commands_from_a_file_to_the_answer(client: User, default_model: Model) -> None:
    embedhub = (sys.executable, "-m", "embedhub")
    model = {"EMBEDHUB_MODEL": str(default_model.spec.folder), "EMBEDHUB_DTYPE": "f32"}
    client.run(*embedhub, "embed", str(ROOT / "examples" / "medicare_faq.txt"), "-o", "faq", variables=model)
    # As somebody who has not opted out of what the library that moves large files tells a Hub of each transfer.
    told = client.run("env", "-u", "HF_HUB_DISABLE_TELEMETRY", *embedhub, "push", "faq", "alice/faq", "--private")
    assert "xet-write-token" in client.server.told()
    assert "telemetry" not in client.server.told()
    assert f"{client.server.address}/datasets/alice/faq" in told
    found = client.run(*embedhub, "search", "alice/faq", QUERY, "-k", "1", variables=model)
    assert found.startswith("0.7565       8")
    client.run(*embedhub, "pull", "alice/faq", "-o", "copy")
    shard = "data/train-00000-of-00001.parquet"
    assert (client.folder / "copy" / shard).read_bytes() == (client.folder / "faq" / shard).read_bytes()
    # Nobody else knows of it.
    assert httpx.get(f"{client.server.address}/api/datasets/alice/faq").status_code in (401, 404)


def test_texts_of_a_hosted_dataset_are_embedded(client: User, default_model: Model) -> None:
    embedhub = (sys.executable, "-m", "embedhub")
    client.hf("repos", "create", "texts", "--type", "dataset")
    source = client.folder / "texts.csv"
    pd.DataFrame({"question": QUESTIONS}).to_csv(source, index=False)
    client.hf("upload", "alice/texts", str(source), "data/train.csv", "--repo-type", "dataset")
    model = {"EMBEDHUB_MODEL": str(default_model.spec.folder), "EMBEDHUB_DTYPE": "f32"}
    client.run(*embedhub, "embed", "alice/texts", "-o", "embedded", variables=model)
    found = client.run(*embedhub, "search", "embedded", QUERY, "-k", "1", variables=model)
    assert found.startswith("0.7565       8")
