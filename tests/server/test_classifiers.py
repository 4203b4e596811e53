"""Classifiers and cross-encoders behind every dialect that has a word for them."""

from pathlib import Path

import httpx
import pytest
from tests.engine.checkpoints import write_classifier
from tests.server.conftest import Start

from embedhub import Classifier
from embedhub.config import read_settings

DOCUMENTS = ["a b c", "which is not", "the one", "it"]


def opened(folder: Path) -> Classifier:
    settings = read_settings({"EMBEDHUB_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"})
    return Classifier(folder, dtype="f32", config=settings)


def test_labels(tmp_path: Path, start_server: Start) -> None:
    names = {"0": "bad", "1": "so-so", "2": "good"}
    folder = write_classifier(tmp_path / "moods", labels=3, id2label=names)
    model = opened(folder)
    with httpx.Client(base_url=start_server("--model", str(folder)), timeout=60) as client:
        assert client.get("/health").status_code == 200
        one = client.post("/predict", json={"inputs": "the one", "raw_scores": True}).json()
        logits = dict(zip(model.labels, model.logits(["the one"])[0].tolist(), strict=True))
        assert [each["label"] for each in one] == sorted(logits, key=lambda label: -logits[label])
        assert {each["label"]: each["score"] for each in one} == pytest.approx(logits, abs=1e-5)
        many = client.post("/predict", json={"inputs": [["the one"], ["which is", "not"]]}).json()
        assert [sum(each["score"] for each in row) for row in many] == pytest.approx([1, 1], abs=1e-5)
        assert client.get("/info").json()["model_type"] == {
            "classifier": {"id2label": names, "label2id": {"bad": 0, "so-so": 1, "good": 2}}
        }
        mixed, halves = "the " * 100 + "one " * 100, {"Right": "the " * 100, "Left": "one " * 100}
        for side, half in halves.items():
            wanted = client.post("/predict", json={"inputs": half}).json()
            cut = client.post("/predict", json={"inputs": mixed, "truncation_direction": side})
            assert {each["label"]: each["score"] for each in cut.json()} == pytest.approx(
                {each["label"]: each["score"] for each in wanted}, abs=1e-5
            )
            assert cut.headers["x-truncated"] == "0"
            body = {"inputs": mixed, "parameters": {"truncation_direction": side.lower()}}
            hugging_face = client.post(f"/models/{folder}", json=body).json()[0]
            assert [each["label"] for each in hugging_face] == [each["label"] for each in wanted]
        refused = client.post("/embed", json={"inputs": "a"})
        assert refused.status_code == 424
        assert "classifier" in refused.json()["error"]
        ranked = client.post("/rerank", json={"query": "a", "texts": ["b"]})
        assert "3 labels" in ranked.json()["error"]


def test_reranking(tmp_path: Path, start_server: Start) -> None:
    folder = write_classifier(tmp_path / "ranker")
    wanted = opened(folder).rank("the one", DOCUMENTS)
    with httpx.Client(base_url=start_server("--model", str(folder)), timeout=60) as client:
        tei = client.post("/rerank", json={"query": "the one", "texts": DOCUMENTS})
        assert tei.headers["x-method"] == "cross-encoder"
        # By number: two of these scores are nearer to each other than batches to one text.
        scores = {hit["corpus_id"]: hit["score"] for hit in wanted}
        assert {each["index"]: each["score"] for each in tei.json()} == pytest.approx(scores, abs=1e-5)
        cohere = client.post("/v2/rerank", json={"query": "the one", "documents": DOCUMENTS, "top_n": 2}).json()
        assert len(cohere["results"]) == 2
        for each in cohere["results"]:
            assert each["relevance_score"] == pytest.approx(scores[each["index"]], abs=1e-5)
