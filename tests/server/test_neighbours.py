"""What clients of other servers, and of other tasks, are told; models by the name of their folder."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.server.processes import refused

from embedhub import Model
from embedhub.config import DEFAULT_MODEL
from embedhub.server.unmatched import NOT_OFFERED


@pytest.mark.parametrize("path", sorted(NOT_OFFERED))
def test_what_is_not_offered_is_said(client: httpx.Client, path: str) -> None:
    answer = client.post(path, json={"model": "x", "input": "a"})
    assert (answer.status_code, answer.headers["x-error-code"]) == (501, "not_offered")
    told = answer.json()["error"]
    assert NOT_OFFERED[path] in (told["message"] if path.startswith("/v1/") else told)


def test_errors_are_counted_by_their_code(client: httpx.Client) -> None:
    client.post("/v1/chat/completions", json={})
    client.get("/no/such/path/at/all")
    numbers = client.get("/metrics").text
    for code in ("not_offered", "not_found"):
        assert re.search(rf'embedhub_errors_total{{code="{code}"}} [1-9]', numbers)


def test_parameters_of_another_task(client: httpx.Client) -> None:
    for parameters in ({"candidate_labels": ["a", "b"]}, {"max_new_tokens": 5}):
        answer = client.post(f"/models/{DEFAULT_MODEL}", json={"inputs": "a", "parameters": parameters})
        assert answer.status_code == 400
        assert next(iter(parameters)) in answer.json()["error"]


def test_one_models_health_and_facts(client: httpx.Client) -> None:
    for prefix in ("", "/hf-inference"):
        assert client.get(f"{prefix}/models/{DEFAULT_MODEL}/health").json() == {"status": "ok"}
        facts = client.get(f"{prefix}/models/{DEFAULT_MODEL}/info").json()
        assert (facts["model_id"], facts["dimensions"]) == (DEFAULT_MODEL, 384)
        for part in ("health", "info"):
            missing = client.get(f"{prefix}/models/no/such/{part}")
            assert (missing.status_code, missing.headers["x-error-code"]) == (404, "model_not_found")


def test_models_is_a_list_for_programs_and_a_page_for_people(client: httpx.Client) -> None:
    for accepted in ("application/json", "*/*"):
        answer = client.get("/models", headers={"accept": accepted})
        assert answer.json() == client.get("/v1/models").json()
    assert "<html" in client.get("/models", headers={"accept": "text/html,*/*;q=0.8"}).text
    wrong = client.post("/models", json={})
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_many_truncated_texts_are_told_in_short(client: httpx.Client) -> None:
    answer = client.post("/embed", json={"inputs": ["cat " * 300] * 150, "truncate": True})
    listed = answer.headers["x-truncated"].split(",")
    assert listed == [*map(str, range(100)), "..."]
    assert answer.headers["x-truncated-count"] == "150"


def test_a_folder_is_asked_for_by_its_name(
    start_server: Callable[..., str], default_model: Model, tmp_path: Path
) -> None:
    folders = [tmp_path / "one" / "mine", tmp_path / "two" / "mine", tmp_path / "other"]
    for folder in folders:
        shutil.copytree(default_model.spec.folder, folder)
    address = start_server("--model", str(folders[2]), "--model", str(folders[0]), "--model", str(folders[1]))
    with httpx.Client(base_url=address) as client:
        answer = client.post("/v1/embeddings", json={"input": "a", "model": "other"})
        assert answer.status_code == 200
        assert client.post("/models/other", json={"inputs": "a"}).status_code == 200
        listed = {each["id"]: each["root"] for each in client.get("/v1/models").json()["data"]}
        assert listed["other"] == "other"
        # Two are called so: which one is meant is not guessed.
        answer = client.post("/v1/embeddings", json={"input": "a", "model": "mine"})
        assert answer.status_code == 404
        assert "mine" not in listed


@pytest.mark.parametrize("origin", ["example.org", "https://example.org/", "https://example.org/app", "https://*.org"])
def test_what_is_no_origin_is_refused_at_the_start(tmp_path: Path, origin: str) -> None:
    (tmp_path / "home").mkdir()
    ended = refused(tmp_path, Path(DEFAULT_MODEL), "--cors-origins", origin)
    assert ended.returncode == 2
    assert f"{origin} is no origin" in " ".join(ended.stderr.split())
