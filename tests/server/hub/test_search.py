"""Questions over HTTP to datasets that were pushed with the real client."""

import base64
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.engine.checkpoints import write_bert
from tests.server.hub.conftest import Embedded
from tests.server.processes import Running

from embedhub import EmbeddedDataset, Model, semantic_search
from embedhub.config import Settings
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind

WORDS = ["the", "a", "of and", "to in is", "was for on", "with as by", "at from it", "an be this", "that which or"]
LINES = ["row,words,year", *(f'{number},"{words}",{1990 + number}' for number, words in enumerate(WORDS))]

PATH = "/api/datasets/alice/words/search"

Push = Callable[[Kind, str, Path], str]


@pytest.fixture(scope="module")
def folder(embedded: Embedded, tiny: Model) -> Path:
    return embedded(tiny, LINES, shard_rows=4)


@pytest.fixture(scope="module")
def commit(push: Push, folder: Path) -> str:
    return push(Kind.DATASET, "alice/words", folder)


@pytest.fixture
def ask(as_alice: httpx.Client, commit: str) -> Callable[..., httpx.Response]:
    def post(**body: Any) -> httpx.Response:
        return as_alice.post(PATH, json=body)

    return post


Ask = Callable[..., httpx.Response]


def test_the_hits_are_those_of_the_folder(ask: Ask, commit: str, folder: Path, tiny: Model) -> None:
    found = ask(query=["of and", "this"], top_k=4)
    assert found.status_code == 200
    body = found.json()
    assert (body["dataset"], body["revision"]) == ("alice/words", commit)
    assert body["model"] == tiny.spec.id
    assert found.headers["x-repo-commit"] == commit
    local = EmbeddedDataset.load(folder, model=tiny).search(["of and", "this"], top_k=4)
    for hits, expected in zip(body["hits"], local, strict=True):
        assert [hit["row"] for hit in hits] == [hit["row"] for hit in expected]
        np.testing.assert_allclose([hit["score"] for hit in hits], [hit["score"] for hit in expected], atol=1e-5)
    # The input's own column gives way, and the vectors stay away.
    assert body["hits"][0][0] == {
        "row": 2,
        "score": pytest.approx(1, abs=1e-5),
        "row_": 2,
        "words": "of and",
        "year": 1992,
    }


def test_one_question_has_no_list_around_its_hits(ask: Ask) -> None:
    hits = ask(query="with as by", columns=["words"], top_k=1).json()["hits"]
    assert hits == [{"row": 5, "score": pytest.approx(1, abs=1e-5), "words": "with as by"}]


def test_a_vector_is_a_question(ask: Ask, tiny: Model) -> None:
    vectors = tiny.encode(["a", "at from it"])
    one = ask(vector=vectors[0].tolist(), top_k=1, columns=["words"]).json()["hits"]
    two = ask(vector=vectors.tolist(), top_k=1, columns=["words", "embedding"]).json()["hits"]
    assert one[0]["words"] == "a"
    assert [hits[0]["words"] for hits in two] == ["a", "at from it"]
    np.testing.assert_allclose(two[1][0]["embedding"], vectors[1], atol=1e-6)


def test_a_filter_is_exact(ask: Ask, tiny: Model) -> None:
    wanted = {"year": {"gte": 1993, "lt": 1997}}
    hits = ask(query="of and", top_k=9, filter=wanted, columns=[]).json()["hits"]
    alone = semantic_search(tiny.encode("of and"), tiny.encode(WORDS[3:7]), top_k=9)[0]
    assert [hit["row"] for hit in hits] == [3 + hit["corpus_id"] for hit in alone]
    assert ask(query="of and", filter={"words": "nowhere"}).json()["hits"] == []


def test_a_commit_is_asked_as_it_was(
    ask: Ask, push: Push, embedded: Embedded, tiny: Model, commit: str, as_alice: httpx.Client
) -> None:
    assert ask(query="a", revision=commit[:8]).json()["revision"] == commit
    first = push(Kind.DATASET, "alice/changing", embedded(tiny, ["words", "one", "two"]))
    second = push(Kind.DATASET, "alice/changing", embedded(tiny, ["words", "three", "four"]))
    path = "/api/datasets/alice/changing/search"
    old = as_alice.post(path, json={"query": "the", "revision": first}).json()
    new = as_alice.post(path, json={"query": "the"}).json()
    assert (old["revision"], {hit["words"] for hit in old["hits"]}) == (first, {"one", "two"})
    assert (new["revision"], {hit["words"] for hit in new["hits"]}) == (second, {"three", "four"})


def test_what_was_made_of_it_may_be_removed_while_it_is_open(ask: Ask, hub: Hub, commit: str) -> None:
    before = ask(query="of and").json()
    repository = hub.repositories.find(Kind.DATASET, "alice/words")
    derived = hub.root / "derived" / repository.uuid / commit
    assert {path.name for path in (derived / "files" / "data").iterdir()}
    derived.rename(derived.with_name("elsewhere"))
    assert ask(query="of and").json() == before


def test_files_are_links_and_not_copies(ask: Ask, hub: Hub, commit: str) -> None:
    ask(query="a")
    repository = hub.repositories.find(Kind.DATASET, "alice/words")
    shards = sorted((hub.root / "derived" / repository.uuid / commit / "files" / "data").iterdir())
    assert len(shards) == 3
    for shard in shards:
        assert shard.is_symlink()
        assert not shard.readlink().is_absolute()
        assert hub.blobs.has(shard.resolve().name)


def test_tokens_are_counted(as_alice: httpx.Client, ask: Ask) -> None:
    answer = ask(query="the one")
    assert int(answer.headers["x-compute-tokens"]) > 2
    assert "x-compute-tokens" not in ask(vector=[1.0] * 32).headers


def test_many_questions_at_once_have_one_opening(
    hosting: Running, push: Push, embedded: Embedded, tiny: Model, as_alice: httpx.Client
) -> None:
    push(Kind.DATASET, "alice/crowd", embedded(tiny, LINES))
    with ThreadPoolExecutor(8) as threads:
        asked = [
            threads.submit(as_alice.post, "/api/datasets/alice/crowd/search", json={"query": words}) for words in WORDS
        ]
        found = [each.result() for each in asked]
    assert [each.json()["hits"][0]["words"] for each in found] == WORDS


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "either query"),
        ({"query": "a", "vector": [1.0]}, "either query"),
        ({"query": []}, "empty"),
        ({"query": [""] * 2000}, "2000 questions"),
        ({"query": ["a"] * 200, "top_k": 100}, "10000"),
        ({"query": "a", "top_k": 0}, "top_k"),
        ({"query": "a", "top_k": 1001}, "top_k"),
        ({"query": "a", "top_q": 3}, "top_q"),
        ({"query": 3}, "query"),
        ({"vector": []}, "vector"),
        ({"vector": [[]]}, "vector"),
        ({"vector": [1.0, [2.0]]}, "vector"),
        ({"vector": [[1.0], [1.0, 2.0]]}, "vector"),
        ({"vector": [1.0, 2.0]}, "2 numbers"),
        ({"vector": [1e300] * 32}, "finite"),
        ({"query": "a", "columns": ["nowhere"]}, "no column 'nowhere'"),
        ({"query": "a", "filter": {"nowhere": 1}}, "no column 'nowhere'"),
        ({"query": "a", "filter": {"year": "x"}}, "cannot be compared"),
        ({"query": "a", "filter": {"year": {"like": 1}}}, "like"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_line(ask: Ask, body: dict[str, Any], told: str) -> None:
    answer = ask(**body)
    assert answer.status_code in (400, 413)
    assert told in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_what_is_not_there_is_answered_as_elsewhere_in_the_hub(ask: Ask, as_alice: httpx.Client) -> None:
    nowhere = as_alice.post("/api/datasets/alice/nowhere/search", json={"query": "a"})
    assert (nowhere.status_code, nowhere.headers["x-error-code"]) == (404, "RepoNotFound")
    revision = ask(query="a", revision="nowhere")
    assert (revision.status_code, revision.headers["x-error-code"]) == (404, "RevisionNotFound")


def unfolding(folder: Path, made: Path) -> None:
    """The dataset of a folder with many more rows, whose text is one of twenty megabytes that is written once."""
    shutil.copytree(folder, made)
    for path in made.rglob("*.parquet"):
        with pq.ParquetFile(path) as file:
            table, stated = file.read(), dict(file.metadata.metadata)
        table = pa.concat_tables([table] * (2_000 // len(table)))
        # To readers it is no dictionary: forty gigabytes of texts.
        said = table.schema.remove_metadata().serialize().to_pybytes()
        stated |= {b"ARROW:schema": base64.b64encode(said), b"embedhub.truncated": b""}
        words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(table), np.int32)), pa.array(["x" * 20_000_000]))
        table = table.set_column(table.column_names.index("words"), "words", words)
        with pq.ParquetWriter(path, table.schema, compression="zstd", store_schema=False) as writer:
            writer.write_table(table, row_group_size=len(table))
            writer.add_key_value_metadata(stated)


def test_a_dataset_whose_texts_unfold_without_end_is_refused(
    hosting: Running, push: Push, folder: Path, tmp_path: Path, as_alice: httpx.Client
) -> None:
    unfolding(folder, tmp_path / "made")
    push(Kind.DATASET, "alice/unfolding", tmp_path / "made")
    before = hosting.memory()
    for _ in range(2):
        answer = as_alice.post("/api/datasets/alice/unfolding/search", json={"query": "of and"})
        assert (answer.status_code, "unfolds to more" in answer.text) == (400, True), answer.text
    assert hosting.memory() - before < 100 << 20


def test_a_private_dataset_is_absent_to_others(
    hub: Hub, push: Push, folder: Path, as_alice: httpx.Client, as_bob: httpx.Client
) -> None:
    hub.create(hub.actor("alice", "write"), Kind.DATASET, "alice/secret", visibility="private")
    push(Kind.DATASET, "alice/secret", folder)
    path = "/api/datasets/alice/{}/search"
    assert as_alice.post(path.format("secret"), json={"query": "a"}).status_code == 200
    hidden, absent = (as_bob.post(path.format(name), json={"query": "a"}) for name in ("secret", "nothere"))
    assert hidden.status_code == absent.status_code == 404
    assert hidden.json()["error"].replace("secret", "nothere") == absent.json()["error"]


def test_a_repository_without_vectors_says_so(hub: Hub, as_alice: httpx.Client) -> None:
    hub.create(hub.actor("alice", "write"), Kind.DATASET, "alice/plain", files={"data.csv": b"a\n1\n"})
    answer = as_alice.post("/api/datasets/alice/plain/search", json={"query": "a"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("alice/plain is not an embedded dataset")


def test_a_model_that_is_not_here_is_named_with_the_way_to_it(
    push: Push, embedded: Embedded, tmp_path: Path, as_alice: httpx.Client, offline: Settings
) -> None:
    stranger = Model(write_bert(tmp_path / "stranger", seed=77), config=offline)
    push(Kind.DATASET, "alice/strange", embedded(stranger, LINES))
    answer = as_alice.post("/api/datasets/alice/strange/search", json={"query": "a"})
    assert answer.status_code == 404
    assert "stranger" in answer.json()["error"]
    assert "EMBEDHUB_MODEL" in answer.json()["error"]
    # Whoever has the model asks with its vectors.
    vector = stranger.encode("with as by").tolist()
    hits = as_alice.post("/api/datasets/alice/strange/search", json={"vector": vector, "top_k": 1}).json()["hits"]
    assert hits[0]["words"] == "with as by"
