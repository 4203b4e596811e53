"""The library datasets against a server: what it pushes it loads again, whole, streamed, private, by configuration."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.hub.users import Session, User, served_to_alice, user


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[User]:
    with served_to_alice(tmp_path_factory.mktemp("hub"), tiny_folder) as alice:
        yield alice


@pytest.fixture(scope="module")
def session(alice: User) -> Iterator[Session]:
    with alice.session() as session:
        yield session


def _of_files() -> dict[str, Any]:
    from huggingface_hub import CommitOperationAdd, HfApi

    from datasets import Dataset, get_dataset_config_names, load_dataset

    rows = Dataset.from_dict({"text": [f"text {row}" for row in range(100)], "row": list(range(100))})
    found: dict[str, Any] = {}
    for kind, write in (("csv", rows.to_csv), ("jsonl", rows.to_json), ("parquet", rows.to_parquet)):
        id = f"alice/of_{kind}"
        write(f"rows.{kind}")
        api = HfApi()
        api.create_repo(id, repo_type="dataset")
        paths = (f"data/train.{kind}", f"data/test.{kind}")
        operations = [CommitOperationAdd(path, f"rows.{kind}") for path in paths]
        api.create_commit(id, operations, repo_type="dataset", commit_message="rows")
        whole = load_dataset(id)
        stream = load_dataset(id, split="test", streaming=True)
        found[kind] = {
            "rows": {split: len(part) for split, part in whole.items()},
            "same": whole["train"].to_dict() == rows.to_dict(),
            "streamed": [each["text"] for each in stream.skip(97)],
            "configurations": get_dataset_config_names(id),
        }
    return found


def test_repositories_of_files(session: Session) -> None:
    expected = {
        "rows": {"train": 100, "test": 100},
        "same": True,
        "streamed": ["text 97", "text 98", "text 99"],
        "configurations": ["default"],
    }
    assert session(_of_files) == {"csv": expected, "jsonl": expected, "parquet": expected}


def _pushed_again_and_again() -> dict[str, Any]:
    from huggingface_hub import DatasetCard, HfApi

    from datasets import Dataset, get_dataset_config_names, get_dataset_split_names, load_dataset

    def rows(*texts: str) -> Dataset:
        return Dataset.from_dict({"text": texts})

    id = "alice/pushed"
    rows("a", "b").push_to_hub(id, private=True, commit_description="the first")
    rows("c").push_to_hub(id, split="test")
    rows("d", "e", "f").push_to_hub(id, "german", set_default=False)
    rows("g").push_to_hub(id, split="test")
    rows("x").push_to_hub(id, revision="draft")
    branch = load_dataset(id, revision="draft", split="train")
    DatasetCard.load(id).push_to_hub(id)
    return {
        "configurations": sorted(get_dataset_config_names(id)),
        "splits": sorted(get_dataset_split_names(id, "default")),
        "rows": {split: list(part["text"]) for split, part in load_dataset(id, "default").items()},
        "german": list(load_dataset(id, "german", split="train")["text"]),
        "draft": list(branch["text"]),
        "files": sorted(path for path in HfApi().list_repo_files(id, repo_type="dataset") if path.endswith(".parquet")),
        "private": HfApi().dataset_info(id).private,
    }


def test_a_dataset_pushed_again_and_again(session: Session) -> None:
    assert session(_pushed_again_and_again) == {
        "configurations": ["default", "german"],
        "splits": ["test", "train"],
        "rows": {"train": ["a", "b"], "test": ["g"]},
        "german": ["d", "e", "f"],
        "draft": ["x"],
        "files": [
            "data/test-00000-of-00001.parquet",
            "data/train-00000-of-00001.parquet",
            "german/train-00000-of-00001.parquet",
        ],
        "private": True,
    }


def _streamed_in_part() -> list[int]:
    import numpy as np

    from datasets import Dataset, load_dataset

    vectors = np.random.default_rng(0).random((20_000, 32), dtype=np.float32)
    rows = Dataset.from_dict({"row": list(range(20_000)), "vector": list(vectors)})
    rows.push_to_hub("alice/long", max_shard_size="1MB")
    stream = load_dataset("alice/long", split="train", streaming=True)
    return [each["row"] for each in stream.take(2)]


def test_of_a_stream_only_what_is_read_is_fetched(session: Session, alice: User) -> None:
    assert session(_streamed_in_part) == [0, 1]
    fetched = re.findall(r"GET /datasets/alice/long/resolve/\S+/train-(\d+)-of-00003\.parquet 206", alice.server.told())
    # It reads a file ahead.
    assert set(fetched) <= {"00000", "00001"}
    assert "00000" in fetched


def _searched() -> dict[str, Any]:
    import numpy as np

    from datasets import Dataset, load_dataset

    vectors = np.random.default_rng(1).standard_normal((500, 32)).astype(np.float32)
    texts = [f"text {row}" for row in range(500)]
    Dataset.from_dict({"text": texts, "embeddings": list(vectors)}).push_to_hub("alice/searched")
    loaded = load_dataset("alice/searched", split="train")
    loaded.add_faiss_index(column="embeddings")
    _, nearest = loaded.get_nearest_examples("embeddings", vectors[7] + np.float32(0.01), k=3)
    distances = ((vectors - vectors[7] - np.float32(0.01)) ** 2).sum(axis=1)
    return {"found": nearest["text"], "exact": [texts[row] for row in distances.argsort()[:3]]}


def test_a_loaded_dataset_gets_an_index(session: Session) -> None:
    result = session(_searched)
    assert result["found"] == result["exact"]
    assert result["found"][0] == "text 7"


def _error_of_loading(id: str, token: str) -> str:
    from datasets import load_dataset

    with contextlib.suppress(KeyError):
        del os.environ["HF_TOKEN"]
    try:
        load_dataset(id, token=token)
    except Exception as error:  # noqa: BLE001 - its name is what is asked for
        return f"{type(error).__name__}: {error}"
    return ""


def test_nobody_else_loads_what_is_private(alice: User, session: Session, tmp_path: Path) -> None:
    session(_pushed_privately)
    bob = user(alice.server, tmp_path / "bob", "bob")
    with bob.session() as other:
        told = other(_error_of_loading, "alice/secret", bob.token)
        missing = other(_error_of_loading, "alice/never", bob.token)
    assert told.startswith("DatasetNotFoundError")
    # What there is looks like what there is not.
    assert told.replace("secret", "never") == missing


def _pushed_privately() -> None:
    from datasets import Dataset

    Dataset.from_dict({"text": ["a"]}).push_to_hub("alice/secret", private=True)
