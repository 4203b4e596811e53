"""The rerank APIs of Cohere and Jina against a real server, as plain posts."""

from typing import Any

import httpx
import numpy as np
import pytest

from embedhub import Model
from embedhub.config import DEFAULT_MODEL

QUERY = "Where does a cat sleep?"
DOCUMENTS = ["Stocks fell on Monday.", "The cat sleeps on the sofa.", "Dogs bark at night.", "Cats nap in the sun."]
PATHS = ["/v1/rerank", "/v2/rerank", "/rerank"]


@pytest.fixture
def scores(default_model: Model) -> np.ndarray:
    return np.asarray(default_model.similarity(default_model.encode([QUERY]), default_model.encode(DOCUMENTS))[0])


def rerank(client: httpx.Client, path: str = "/v1/rerank", **more: Any) -> Any:
    answer = client.post(path, json={"query": QUERY, "documents": DOCUMENTS, **more})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-method"] == "cosine"
    return answer.json()


@pytest.mark.parametrize("path", PATHS)
def test_scores_are_the_models(client: httpx.Client, scores: np.ndarray, path: str) -> None:
    answer = rerank(client, path, model=DEFAULT_MODEL)
    assert [each["index"] for each in answer["results"]] == np.argsort(-scores).tolist()
    found = [each["relevance_score"] for each in answer["results"]]
    np.testing.assert_allclose(found, np.sort(scores)[::-1], atol=1e-5)


@pytest.mark.parametrize("path", PATHS)
def test_one_answer_serves_both_kinds_of_clients(client: httpx.Client, default_model: Model, path: str) -> None:
    answer = rerank(client, path)
    tokens = int(default_model.embed([QUERY, *DOCUMENTS]).tokens.sum())
    assert answer["usage"] == {"total_tokens": tokens, "prompt_tokens": tokens}
    assert answer["model"] == DEFAULT_MODEL
    assert answer["object"] == "list"
    version = "2" if path == "/v2/rerank" else "1"
    assert answer["meta"] == {"api_version": {"version": version}, "billed_units": {"search_units": 1}}
    assert answer["id"] != rerank(client, path)["id"]


def test_the_best(client: httpx.Client) -> None:
    everything = rerank(client)["results"]
    assert rerank(client, top_n=2)["results"] == everything[:2]
    assert rerank(client, top_n=100)["results"] == everything


def test_documents_come_back(client: httpx.Client) -> None:
    for path, default in (("/v1/rerank", True), ("/v2/rerank", False)):
        for asked in (None, True, False):
            for each in rerank(client, path, return_documents=asked)["results"]:
                if default if asked is None else asked:
                    assert each["document"] == {"text": DOCUMENTS[each["index"]]}
                else:
                    assert "document" not in each


def test_documents_can_be_objects(client: httpx.Client, scores: np.ndarray) -> None:
    objects = [{"text": text, "number": 10**25, "more": [None, {"a": "é"}]} for text in DOCUMENTS]
    answer = rerank(client, documents=[*objects[:2], *DOCUMENTS[2:]])
    assert [each["index"] for each in answer["results"]] == np.argsort(-scores).tolist()
    shown = {each["index"]: each["document"] for each in answer["results"]}
    assert shown == {0: objects[0], 1: objects[1], 2: {"text": DOCUMENTS[2]}, 3: {"text": DOCUMENTS[3]}}


def test_what_was_cut_is_told_by_the_documents_number(client: httpx.Client) -> None:
    long = "sun " * 600
    for path, documents in (("/v1/rerank", "documents"), ("/rerank", "texts")):
        cut = client.post(path, json={"query": "a", documents: ["b", long]}).headers
        assert (cut["x-truncated"], cut["x-truncated-count"]) == ("1", "1")
        assert "x-truncated-query" not in cut
        cut = client.post(path, json={"query": long, documents: ["b", "c"]}).headers
        assert (cut["x-truncated-query"], cut["x-truncated-count"]) == ("true", "0")
        assert "x-truncated" not in cut


def test_fields_are_read_in_their_order(client: httpx.Client, default_model: Model) -> None:
    document = {"body": "on the sofa", "title": "The cat sleeps", "text": "unread", "pages": 3}
    answer = rerank(client, documents=[document], rank_fields=["title", "body", "pages", "none"])
    wanted = default_model.similarity(
        default_model.encode([QUERY]), default_model.encode(["The cat sleeps\non the sofa"])
    )
    assert answer["results"][0]["relevance_score"] == pytest.approx(float(wanted[0, 0]), abs=1e-5)


def test_limits_of_chunks_and_tokens_are_accepted(client: httpx.Client) -> None:
    plain = rerank(client)["results"]
    assert rerank(client, max_chunks_per_doc=10)["results"] == plain
    assert rerank(client, "/v2/rerank", max_tokens_per_doc=4096, return_documents=True)["results"] == plain


def test_many_documents(client: httpx.Client) -> None:
    answer = rerank(client, documents=[f"document {number}" for number in range(250)])
    assert len(answer["results"]) == 250
    assert answer["meta"]["billed_units"]["search_units"] == 3


def test_a_post_as_jinas_clients_send_it(client: httpx.Client) -> None:
    body = {"model": DEFAULT_MODEL, "query": QUERY, "documents": DOCUMENTS, "top_n": 2, "truncation": True}
    answer = client.post("/v1/rerank", json=body, headers={"Authorization": "Bearer none"}).json()
    assert set(answer) >= {"model", "usage", "results"}
    assert {each["document"]["text"] for each in answer["results"]} == {DOCUMENTS[1], DOCUMENTS[3]}


REFUSED: list[tuple[Any, int, str]] = [
    ({"query": "a"}, 400, "`documents`"),
    ({"documents": ["a"]}, 400, "`query`"),
    ({"query": "a", "documents": []}, 400, "$.documents"),
    ({"query": "a", "documents": [1]}, 400, "$.documents"),
    ({"query": "a", "documents": [None]}, 400, "$.documents"),
    ({"query": "a", "documents": [{"title": "a"}]}, 400, "document 0 has no text"),
    ({"query": "a", "documents": ["b", {"text": 3}]}, 400, "document 1 has no text"),
    ({"query": "a", "documents": ["b"], "top_n": 0}, 400, "$.top_n"),
    ({"query": "a", "documents": ["b"], "top_n": "2"}, 400, "$.top_n"),
    ({"query": "a", "documents": ["b"], "rank_fields": []}, 400, "$.rank_fields"),
    ({"query": "a", "documents": ["b"], "model": "no/such"}, 404, "no/such"),
    ({"query": "a", "documents": ["b"] * 20_001}, 413, "EMBEDHUB_MAX_TEXTS"),
]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
@pytest.mark.parametrize(("body", "status", "says"), REFUSED)
def test_refusals(client: httpx.Client, path: str, body: Any, status: int, says: str) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["message"]
    assert answer.json()["detail"] == answer.json()["message"]


@pytest.mark.parametrize(("body", "status", "says"), REFUSED[2:])
def test_the_shared_paths_errors_are_for_both(client: httpx.Client, body: Any, status: int, says: str) -> None:
    answer = client.post("/rerank", json=body)
    assert answer.status_code == (422 if status == 400 else status)
    assert says in answer.json()["message"]
    assert answer.json()["error"] == answer.json()["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"query": "\xff"}',
        b'{"documents": ' + b"[" * 100_000,
        b'{"query": "a", "documents": [{"text": "b", "n": ' + b"1" * 5000 + b"}]}",
    ],
)
def test_bodies_that_are_no_request(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v2/rerank", content=body)
    assert answer.status_code == 400
    assert answer.json()["message"]
