"""A model's page: of a hosted one, of one that is only served, and of what is no model."""

from pathlib import Path

import httpx
import pytest
from tests.server.hub.place import Place
from tests.server.web.conftest import Look

from embedhub.hub.names import Kind
from embedhub.models.spec import read_spec
from embedhub.server.web.model_page import Found, facts, snippets

CARD = "---\nlicense: apache-2.0\nlanguage: [en, de]\ntags: ['<b>bold</b>']\n---\n# Mine\n\n<script>alert(1)</script>\n"


@pytest.fixture(scope="module")
def hosted(place: Place, tiny_folder: Path) -> str:
    place.api("alice").create_repo("alice/page-model")
    place.api("alice").upload_folder(repo_id="alice/page-model", folder_path=tiny_folder)
    found = place.hub.repositories.find(Kind.MODEL, "alice/page-model")
    place.commit(found, {"README.md": CARD, "<img src=x>.txt": "odd"}, "a card <b>")
    return "alice/page-model"


def test_a_hosted_model_tells_what_it_is(hosted: str, look: Look) -> None:
    text = look().get(f"/{hosted}").text
    for said in ("apache-2.0", "en, de", "<dd>32</dd>", "48 tokens", "<h3>Mine</h3>", "&lt;b&gt;bold&lt;/b&gt;"):
        assert said in text, said
    assert "<script>alert" not in text
    assert "not loaded" in text


def test_a_text_is_tried(hosted: str, look: Look) -> None:
    answer = look().post(f"/{hosted}", data={"text": 'the one </textarea><script>alert("x")</script>'})
    assert answer.status_code == 200
    assert "32 numbers in " in answer.text
    assert "<script>alert" not in answer.text
    text = look().get(f"/{hosted}").text
    assert "sha256 of the weights" in text


def test_files_and_history(hosted: str, look: Look) -> None:
    client = look()
    files = client.get(f"/{hosted}/tree/main").text
    assert "model.safetensors" in files
    assert "&lt;img src=x&gt;.txt" in files
    assert "<img src=x>" not in files
    assert "a card &lt;b&gt;" in files
    history = client.get(f"/{hosted}/commits/main").text
    assert "a card &lt;b&gt;" in history
    assert client.get(f"/{hosted}/tree/nowhere").status_code == 404
    assert client.get(f"/{hosted}/tree/main/nowhere").status_code == 404


def test_a_private_model_is_its_owners(place: Place, look: Look) -> None:
    place.make("alice/page-private", {"README.md": "# secret"}, Kind.MODEL, "private")
    assert "secret" in look("alice").get("/alice/page-private").text
    for path in ("", "/tree/main", "/commits/main"):
        answer = look("bob").get(f"/alice/page-private{path}")
        assert answer.status_code == 404
        assert "secret" not in answer.text


def test_what_is_no_model_is_shown_with_its_card(place: Place, look: Look) -> None:
    place.make("alice/page-notes", {"README.md": "# only notes"}, Kind.MODEL)
    text = look().get("/alice/page-notes").text
    assert "only notes" in text
    assert "cannot be used here" in text
    assert "Try it" not in text


def test_a_moved_model_is_found_at_its_new_name(place: Place, look: Look) -> None:
    place.make("alice/page-old", kind=Kind.MODEL)
    place.api("alice").move_repo("alice/page-old", "alice/page-new")
    answer = look().get("/alice/page-old")
    assert answer.status_code == 307
    assert httpx.URL(answer.headers["location"]).path == "/alice/page-new"


def test_facts_and_snippets_of_a_model(tiny_folder: Path) -> None:
    spec = read_spec(tiny_folder, id="a/b")
    told = dict(facts(spec, None, "f32"))
    assert told["Dimensions"] == "32"
    assert told["Longest text"] == "48 tokens"
    found = Found("a/b", None, "", "", spec, "", in_browsers=True)
    code = {id: lines for id, _, lines in snippets("http://here", found, with_token=True)}
    assert set(code) == {"python", "javascript", "curl"}
    assert f'pooling: "{spec.pooling[0]}"' in code["javascript"]
    assert f"normalize: {str(spec.normalize).lower()}" in code["javascript"]
    assert 'revision: "main"' in code["javascript"]
    assert "HF_TOKEN" in code["curl"]
