"""What is noticed of requests: ids, logs that nobody else can write, numbers that add up, health that is computed."""

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.server.conftest import Start
from tests.server.processes import eventually

from embedhub.runtime.answers import Answer, Timings
from embedhub.server.metrics import Observation, RequestMetrics

SECRET_TEXT = "this text is nobodys business"


@pytest.fixture
def fresh(start_server: Start, tiny_folder: Path) -> Iterator[httpx.Client]:
    """A client of a server of its own, with the tiny model; its log is `log0`."""
    with httpx.Client(base_url=start_server(EMBEDHUB_MODEL=str(tiny_folder)), timeout=60) as client:
        yield client


def numbers(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """Samples of /metrics by name and the values of their labels."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def lines_of(log: Path, count: int) -> list[str]:
    """The log's lines once there are that many: a line is written after its answer."""
    deadline = time.monotonic() + 30
    while len(lines := log.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, lines
        time.sleep(0.005)
    return lines


def total(found: dict[tuple[str, ...], float], *name: str) -> float:
    """The sum of samples whose name and labels hold all of that."""
    return sum(value for key, value in found.items() if key[0] == name[0] and set(name) <= set(key))


@pytest.mark.parametrize("id", ["abc-1", "0af7651916cd43dd8448eb211c80319c", "a" * 128])
def test_a_sane_id_comes_back(client: httpx.Client, id: str) -> None:
    for path in ("/health", "/nothing-here"):
        assert client.get(path, headers={"x-request-id": id}).headers.get_list("x-request-id") == [id]


@pytest.mark.parametrize("id", ["", "a b", "a" * 129, "é", "a\tb", '{"a":1}', "x\x1b[31m"])
def test_any_other_id_is_replaced(client: httpx.Client, id: str) -> None:
    for content in ('{"input": 3}', '{"input": "the"}'):
        sent = {b"x-request-id": id.encode("latin-1")}
        answer = client.post("/v1/embeddings", content=content, headers=sent)
        if answer.status_code == 400 and "x-request-id" not in answer.headers:
            continue  # refused by the parser before it was a request
        assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])


def test_a_request_is_a_line(fresh: httpx.Client, tmp_path: Path) -> None:
    fresh.post("/v1/embeddings", json={"input": [SECRET_TEXT, "the"]}, headers={"x-request-id": "first"})
    fresh.post(
        "/v1/embeddings?secret=query",
        json={"input": 3},
        headers={"authorization": "Bearer hf_secret", "x-request-id": "second"},
    )
    fresh.get("/health")
    fresh.get("/last")
    log = "\n".join(lines_of(tmp_path / "log0", 7))
    assert re.search(r"INFO POST /v1/embeddings 200 [\d.]+ms texts=2 tokens=\d+ \[first\]$", log, re.MULTILINE)
    assert re.search(r"INFO POST /v1/embeddings 400 [\d.]+ms error=request \[second\]$", log, re.MULTILINE)
    assert "/health" not in log
    for secret in (SECRET_TEXT, "secret", "nobodys"):
        assert secret not in log


def test_a_log_for_machines(start_server: Start, tiny_folder: Path, tmp_path: Path) -> None:
    address = start_server(EMBEDHUB_MODEL=str(tiny_folder), EMBEDHUB_LOG_FORMAT="json", EMBEDHUB_LOG_LEVEL="debug")
    with httpx.Client(base_url=address, timeout=60) as client:
        client.post("/v1/embeddings", json={"input": SECRET_TEXT}, headers={"x-request-id": "mine"})
        client.get("/health")
        client.get('/"quoted"')
    # How many lines come between depends on how long a model takes to be made ready.
    assert eventually(lambda: "quoted" in (tmp_path / "log0").read_text())
    lines = [json.loads(line) for line in lines_of(tmp_path / "log0", 7)]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    asked = [line for line in lines if line["logger"] == "embedhub.access"]
    assert [(line["method"], line["path"], line["status"]) for line in asked] == [
        ("POST", "/v1/embeddings", 200),
        ("GET", "/health", 200),
        ("GET", '/"quoted"', 404),
    ]
    assert asked[0]["request_id"] == "mine"
    assert asked[0]["texts"] == 1
    assert asked[0]["tokens"] > 1
    assert asked[0]["ms"] > 0
    assert SECRET_TEXT not in str(lines)


HOSTILE = [
    b"/a%0aFAKE%20LINE",
    b"/a%0d%0aFAKE",
    b"/a%1b[31mFAKE",
    b"/%e2%80%aeFAKE",
    b"/%ff%feFAKE",
    b"/F" + b"x" * 5000,
]


def test_nobody_writes_the_log_but_the_server(fresh: httpx.Client, tmp_path: Path) -> None:
    for path in HOSTILE:
        send_hostile(fresh, tmp_path / "log0", path)


def send_hostile(client: httpx.Client, log: Path, path: bytes) -> None:
    before = len(log.read_text().splitlines())
    with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as raw:
        raw.sendall(b"GET " + path + b" HTTP/1.1\r\nhost: x\r\nx-request-id: FAKE ID\r\nconnection: close\r\n\r\n")
        while raw.recv(1 << 16):
            pass
    lines = lines_of(log, before + 1)
    assert len(lines) == before + 1
    assert lines[-1].isprintable()
    assert len(lines[-1]) < 1000
    assert re.match(r"\S+ \S+ INFO GET /\S* 404 ", lines[-1])


def test_numbers_add_up(fresh: httpx.Client) -> None:
    fresh.post("/v1/embeddings", json={"input": "the"})
    fresh.post("/v1/embeddings", json={"input": ["the", "this", "of " * 100]})
    fresh.post("/v1/embeddings", json={"input": 3})
    for number in range(5):
        fresh.get(f"/v1/unknown/{number}")
    found = numbers(fresh)
    assert total(found, "embedhub_requests_total", "/v1/embeddings", "openai", "200") == 2
    assert total(found, "embedhub_requests_total", "/v1/embeddings", "400") == 1
    assert total(found, "embedhub_requests_total", "unmatched", "404") == 5
    assert not any("unknown/" in label for key in found for label in key)
    assert total(found, "embedhub_request_seconds_count", "/v1/embeddings") == 3
    assert total(found, "embedhub_errors_total", "request") == 1
    assert total(found, "embedhub_texts_total") == 4
    assert total(found, "embedhub_truncated_texts_total") == 1
    assert total(found, "embedhub_cache_hits_total") == 1
    assert total(found, "embedhub_cache_misses_total") == 3
    assert total(found, "embedhub_cache_bytes") > 0
    assert total(found, "embedhub_model_loaded") == 1
    assert total(found, "embedhub_requests_in_flight") == 1
    assert total(found, "embedhub_pack_texts_sum") == 3
    assert 0 < total(found, "embedhub_pack_fill") <= 1
    assert total(found, "embedhub_queue_texts") == 0


def test_models_that_are_gone_are_forgotten() -> None:
    def count(name: str) -> None:
        loaded: Any = SimpleNamespace(name=name, model=None)
        answer = Answer(None, loaded, np.ones(2, np.int64), 2, [1], 9, 0, 2, "", False, Timings())
        requests.count(Observation("POST", "/embed", "tei", 200, 0.1, "", answer, 2, 2))

    requests = RequestMetrics()
    for name in ("kept", "gone"):
        count(name)
    requests.forget_all_but({"kept"})
    labels = [sample.labels for family in requests.families() for sample in family.samples]
    assert {found["model"] for found in labels if "model" in found} == {"kept"}
    assert sum("model" in found for found in labels) == 3


def test_the_same_numbers_under_the_names_of_text_embeddings_inference(fresh: httpx.Client) -> None:
    for _ in range(3):
        fresh.post("/v1/embeddings", json={"input": "the"})
    fresh.post("/v1/embeddings", json={"input": ["the", "this"]})
    fresh.post("/v1/embeddings", json={"input": {}})
    found = numbers(fresh)
    assert total(found, "te_request_count") == 5
    assert total(found, "te_request_success", "single") == 3
    assert total(found, "te_request_success", "batch") == 1
    assert total(found, "te_request_failure", "validation") == 1
    assert total(found, "te_embed_count") == total(found, "te_embed_success") == 5
    assert total(found, "te_predict_count") == 0
    assert total(found, "te_queue_size") == 0
    for name in ("duration", "tokenization_duration", "queue_duration", "inference_duration"):
        assert total(found, f"te_request_{name}_count") == 4
        assert total(found, f"te_embed_{name}_bucket", "+Inf") == 4
    assert total(found, "te_request_input_length_count") == 5
    assert total(found, "te_request_input_length_sum") == total(found, "embedhub_tokens_total")
    assert total(found, "te_batch_next_size_sum") == 2
    assert total(found, "te_batch_next_tokens_count") == total(found, "embedhub_packs_total")


@pytest.mark.parametrize("path", ["/health", "/healthz", "/ping"])
def test_health(client: httpx.Client, path: str) -> None:
    assert client.get(path).json() == {"status": "ok"}
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")


def test_only_what_is_there_is_answered(client: httpx.Client) -> None:
    missing = client.get("/nothing")
    assert missing.status_code == 404
    assert list(missing.json()) == ["error"]
    wrong = client.get("/v1/embeddings")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "OPTIONS, POST"
    assert "use POST" in wrong.json()["error"]["message"]
    assert client.request("OPTIONS", "/health").headers["allow"] == "GET, HEAD, OPTIONS"
    assert client.request("OPTIONS", "/nothing").status_code == 404
    assert client.head("/docs").status_code == 200
