"""Jobs over HTTP: the API, and the pages as they work without scripts."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.server.hub.place import Place, open_place
from tests.server.processes import eventually, running

CSV = b"words,n\nthe one,1\nthe two,2\nthe one,3\n"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Place]:
    """A server of this module's own, with room for small files only."""
    with open_place(tmp_path_factory.mktemp("stage"), tiny_folder, EMBEDHUB_MAX_UPLOAD_MB="1") as made:
        yield made


@pytest.fixture
def alice(stage: Place) -> Iterator[httpx.Client]:
    """A client of alice's; what jobs she has are gone afterwards."""
    client = stage.http("alice")
    yield client
    for _ in range(2):
        for job in client.get("/api/jobs").json():
            client.delete(f"/api/jobs/{job['id']}")


def sent(client: httpx.Client, content: bytes = CSV, name: str = "faq.csv", **said: Any) -> str:
    """A job with its file."""
    made = client.post("/api/jobs", json=said)
    assert made.status_code == 201, made.text
    id: str = made.json()["id"]
    client.put(f"/api/jobs/{id}/input", params={"filename": name}, content=content).raise_for_status()
    return id


def ended(client: httpx.Client, id: str) -> dict[str, Any]:
    """The job at its end."""
    last: dict[str, Any] = {}
    with client.stream("GET", f"/api/jobs/{id}/events") as events:
        assert events.headers["content-type"].startswith("text/event-stream")
        for line in events.iter_lines():
            if line.startswith("data: "):
                last = json.loads(line.removeprefix("data: "))
    return last


def test_a_file_becomes_a_dataset_that_answers(stage: Place, alice: httpx.Client) -> None:
    id = sent(alice, name="Medicare FAQ.csv")
    preview = alice.get(f"/api/jobs/{id}/preview").json()
    assert (preview["rows"], preview["suggested"]) == (3, "words")
    started = alice.post(f"/api/jobs/{id}/start", json={"column": "words", "private": True}).json()
    assert (started["state"], started["dataset"]) == ("queued", "alice/Medicare-FAQ")
    last = ended(alice, id)
    assert (last["state"], last["rows"]) == ("done", 3), last
    assert last["dataset_url"] == f"{stage.server.address}/datasets/alice/Medicare-FAQ"
    assert alice.get(f"/api/jobs/{id}").json() == last
    hits = alice.post("/api/datasets/alice/Medicare-FAQ/search", json={"query": "the two", "top_k": 1}).json()["hits"]
    assert hits[0]["words"] == "the two"
    assert stage.http("").get("/api/datasets/alice/Medicare-FAQ").status_code in (401, 404)
    # The name is taken by now.
    again = alice.post(f"/api/jobs/{sent(alice)}/start", json={"name": "medicare-faq"})
    assert (again.status_code, "choose another name" in again.text) == (409, True)


def test_a_job_is_nobody_elses(stage: Place, alice: httpx.Client) -> None:
    id = sent(alice)
    bob, reader, nobody, admin = (stage.http(user) for user in ("bob", "reader", "", "admin"))
    for path in ("", "/events", "/preview"):
        assert bob.get(f"/api/jobs/{id}{path}").status_code == 404
        assert nobody.get(f"/api/jobs/{id}{path}").status_code == 404
    assert bob.delete(f"/api/jobs/{id}").status_code == 404
    assert bob.get("/api/jobs").json() == nobody.get("/api/jobs").json() == []
    assert bob.get(f"/jobs/{id}").status_code == 404
    # Alice's token that only reads sees, and does nothing.
    assert reader.get(f"/api/jobs/{id}").status_code == 200
    assert reader.delete(f"/api/jobs/{id}").status_code == 403
    assert reader.post("/api/jobs", json={}).status_code == 403
    assert [job["id"] for job in admin.get("/api/jobs").json()] == [id]


def test_what_cannot_be_is_told(alice: httpx.Client) -> None:
    id = sent(alice)
    start = f"/api/jobs/{id}/start"
    for said, status, words in [
        ({"model": "no/such-model"}, 404, "no/such-model"),
        ({"name": "bob/mine"}, 403, "bob"),
        ({"name": "a--b"}, 400, "a name has letters"),
        ({"name": "x" * 201}, 400, "200"),
        ({"on_error": "perhaps"}, 409, "fail, skip and null"),
        ({"colum": "words"}, 400, "colum"),
    ]:
        refused = alice.post(start, json=said)
        assert (refused.status_code, words in refused.json()["error"]) == (status, True), refused.text
    waiting = alice.post("/api/jobs", json={}).json()["id"]
    assert alice.post(f"/api/jobs/{waiting}/start", json={}).status_code == 409
    assert alice.get(f"/api/jobs/{waiting}/preview").status_code == 409
    put = f"/api/jobs/{waiting}/input"
    too_large = alice.put(put, params={"filename": "a.csv"}, content=bytes((1 << 20) + 1))
    assert (too_large.status_code, "EMBEDHUB_MAX_UPLOAD_MB" in too_large.text) == (413, True)
    assert alice.put(put, params={"filename": "a.csv"}, content=iter([bytes((1 << 20) + 1)])).status_code == 413
    assert alice.put(put, params={"filename": "a.exe"}, content=b"x").status_code == 400
    assert alice.put(put, content=b"x").status_code == 400
    assert alice.put(put, params={"filename": "a.csv"}, content=b"").status_code == 400


def test_a_broken_file_is_told_in_one_line(stage: Place, alice: httpx.Client) -> None:
    id = sent(alice, b"a,b\nx\n", "broken.csv")
    told = alice.get(f"/api/jobs/{id}/preview")
    assert told.status_code == 400
    assert told.json()["error"].startswith("broken.csv, line 2")
    job = alice.get(f"/api/jobs/{id}").json()
    assert (job["state"], job["error"]["code"]) == ("failed", "input_format")
    assert "broken.csv, line 2" in alice.get(f"/jobs/{id}").text
    # Over is over: the first ends it, as nothing is being done it is forgotten at once.
    assert alice.delete(f"/api/jobs/{id}").status_code == 204
    assert alice.get(f"/api/jobs/{id}").status_code == 404


class Visitor:
    """Somebody with a browser and without scripts."""

    def __init__(self, stage: Place, user: str) -> None:
        self.client = stage.stack.enter_context(httpx.Client(base_url=stage.server.address, timeout=60))
        answer = self.client.post("/login", data={"token": stage.tokens[user]})
        assert answer.status_code == 303

    def proof(self, page: httpx.Response) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert found is not None, page.text
        return found[1]


def test_it_works_without_scripts(stage: Place, alice: httpx.Client) -> None:
    visitor = Visitor(stage, "alice")
    new = visitor.client.get("/new")
    fields = {"csrf": visitor.proof(new)}
    hostile = b'words,"<script>alert(1)</script>"\n<img src=x>,1\nthe two,\n'
    going = visitor.client.post("/new", data=fields, files={"file": ('<b>"x".csv', hostile)})
    assert going.status_code == 303, going.text
    page = visitor.client.get(going.headers["location"])
    assert "&lt;img src=x&gt;" in page.text
    assert "<script>alert" not in page.text
    assert "<b>" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]

    refused = visitor.client.post(going.headers["location"], data={"column": "words", "name": "a/b/c"} | fields)
    assert refused.status_code == 400
    assert 'value="a/b/c"' in refused.text
    # Another site's form has no proof.
    assert visitor.client.post(going.headers["location"], data={"column": "words"}).status_code == 403

    form = {"column": "words", "name": "by-form", "on_error": "skip", "private": "on"} | fields
    started = visitor.client.post(going.headers["location"], data=form)
    assert (started.status_code, started.headers["location"]) == (303, going.headers["location"])
    watched = visitor.client.get(going.headers["location"]).text
    assert 'http-equiv="refresh"' in watched
    id = going.headers["location"].rpartition("/")[2]
    assert eventually(lambda: alice.get(f"/api/jobs/{id}").json()["state"] == "done", 60)
    assert "/datasets/alice/by-form" in visitor.client.get(going.headers["location"]).text
    assert alice.get("/api/datasets/alice/by-form").json()["private"] is True
    assert "alice/by-form" in visitor.client.get("/jobs").text
    off = visitor.client.post(f"/jobs/{id}/end", data=fields)
    assert (off.status_code, off.headers["location"]) == (303, "/jobs")


def test_a_form_of_another_site_sends_nothing(stage: Place, alice: httpx.Client) -> None:
    visitor = Visitor(stage, "alice")
    proof = visitor.proof(visitor.client.get("/new"))
    for fields in ({}, {"csrf": "guessed"}):
        refused = visitor.client.post("/new", data=fields, files={"file": ("a.csv", CSV)})
        assert refused.status_code == 403
    for fields, files, status, words in [
        ({"csrf": proof}, {"file": ("", b"")}, 400, "choose a file"),
        ({"csrf": proof}, {"file": ("a.exe", CSV)}, 400, "unknown kind of file"),
        ({"csrf": proof}, {"file": ("a.csv", b"")}, 400, "empty"),
        ({"csrf": proof}, {"file": ("a.csv", bytes((1 << 20) + 1))}, 413, "EMBEDHUB_MAX_UPLOAD_MB"),
        ({"csrf": "x" * 5000}, {"file": ("a.csv", CSV)}, 413, "too long"),
    ]:
        refused = visitor.client.post("/new", data=fields, files=files)
        assert (refused.status_code, words in refused.text) == (status, True), refused.text
    for body, kind in [
        (b"csrf=x", "application/x-www-form-urlencoded"),
        (b"--b\r\nbroken", "multipart/form-data; boundary=b"),
        (b"--b\r\n\r\n\r\n--b--", "multipart/form-data; boundary=b"),
    ]:
        refused = visitor.client.post("/new", content=body, headers={"content-type": kind})
        assert refused.status_code == 400
    # Nothing is left of any of them.
    assert alice.get("/api/jobs").json() == []


def test_who_watches_is_not_waited_for(tmp_path: Path, tiny_folder: Path) -> None:
    (tmp_path / "home").mkdir()
    with running(tmp_path, tiny_folder, EMBEDHUB_JOBS="0") as server, httpx.Client(base_url=server.address) as client:
        id = sent(client)
        client.post(f"/api/jobs/{id}/start", json={}).raise_for_status()
        with client.stream("GET", f"/api/jobs/{id}/events") as events:
            assert "queued" in next(line for line in events.iter_lines() if line.startswith("data"))
            began = time.monotonic()
            # Not 30 seconds of grace.
            assert (server.stop(), time.monotonic() - began < 15) == (0, True)


def test_who_may_not_make_datasets_is_told(stage: Place) -> None:
    assert stage.http("").get("/new").headers["location"].startswith("/login")
    assert stage.http("").get("/jobs").headers["location"].startswith("/login")
    assert "scope write" in Visitor(stage, "reader").client.get("/new").text
