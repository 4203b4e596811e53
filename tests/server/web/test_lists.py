"""Lists and the front page: who sees what, a page at a time, and nothing that others wrote as HTML."""

import httpx
import pytest
from tests.server.hub.place import Place
from tests.server.web.conftest import HTML, Look

from embedhub.hub.names import Kind
from embedhub.server.web.home import commands

CARD = "---\npretty_name: '<script>alert(1)</script>'\ntags: [greeting]\n{more}---\n# Hello\n"


def test_a_private_dataset_is_its_owners(place: Place, look: Look) -> None:
    place.make("alice/hidden-away", visibility="private")
    link = '<a href="/datasets/alice/hidden-away">'
    for path in ("/datasets", "/"):
        text = look("alice").get(path, params={"q": "hidden-away"}).text
        assert link in text
        assert "private</span>" in text
        for other in ("bob", "", "erin"):
            assert link not in look(other).get(path, params={"q": "hidden-away"}).text


def test_a_list_is_found_by_name_title_and_tag(place: Place, look: Look) -> None:
    place.make("alice/listed-one", {"README.md": CARD.format(more="")})
    client = look()
    for words in ("listed-one", "ALICE one", "greeting", "script alert"):
        assert "/datasets/alice/listed-one" in client.get("/datasets", params={"q": words}).text, words
    assert "/datasets/alice/listed-one" not in client.get("/datasets", params={"q": "listed-one nowhere"}).text


def test_what_others_wrote_is_text(place: Place, look: Look) -> None:
    place.make("alice/listed-two", {"README.md": CARD.format(more="")})
    text = look().get("/datasets", params={"q": "listed-two"}).text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    echoed = look().get("/datasets", params={"q": '"><script>alert(2)</script>'}).text
    assert "<script>alert" not in echoed


def test_an_embedded_dataset_tells_its_rows_and_model(place: Place, look: Look) -> None:
    made = "embedhub: {model: example/tiny, rows: 1234, dimensions: 8}\n"
    place.make("alice/listed-three", {"README.md": CARD.format(more=made)})
    text = look().get("/datasets", params={"q": "listed-three"}).text
    assert "1,234 rows" in text
    assert "example/tiny" in text


@pytest.mark.parametrize("head", ["embedhub: 5\n", "embedhub: {rows: -1, model: [1]}\n", "embedhub: {rows: true}\n"])
def test_an_odd_card_keeps_nobody_from_the_list(place: Place, look: Look, head: str) -> None:
    name = f"listed-odd-{len(head)}"
    place.make(f"alice/{name}", {"README.md": CARD.format(more=head)})
    assert f"/datasets/alice/{name}" in look().get("/datasets", params={"q": name}).text


def test_lists_come_in_pages(place: Place, look: Look) -> None:
    for number in range(32):
        place.make(f"bob/many-{number:02}", kind=Kind.MODEL)
    client = look()
    first = client.get("/models", params={"q": "many-"})
    assert first.text.count('href="/bob/many-') == 30
    assert 'href="/models?q=many-&amp;page=2"' in first.text
    second = client.get("/models", params={"q": "many-", "page": "2"})
    assert second.text.count('href="/bob/many-') == 2
    assert client.get("/models", params={"q": "many-", "page": "99"}).status_code == 200
    assert client.get("/models", params={"page": "-1"}).status_code == 400


def test_a_page_is_for_who_takes_html(place: Place) -> None:
    with httpx.Client(base_url=place.server.address) as client:
        assert client.get("/", headers={"accept": "application/json"}).json()["docs"] == "/docs"
        assert client.get("/datasets", headers={"accept": "application/json"}).status_code == 404
        assert client.get("/datasets").headers["content-type"].startswith("text/html")
        refused = place.http("alice").get("/nobody/nothing")
        assert refused.status_code == 404
        assert "not found" in refused.json()["error"]
        assert "<h1>There is nothing here</h1>" in client.get("/nobody/nothing", headers=HTML).text


def test_addresses_of_the_api_are_no_models(place: Place) -> None:
    with httpx.Client(base_url=place.server.address, headers=HTML) as client:
        assert client.get("/v1/models").json()["object"] == "list"
        refused = client.get("/V1/nothing", headers={"accept": "*/*"})
        assert "there is no such path" in refused.json()["error"]


def test_commands_name_a_token_only_where_one_is_needed() -> None:
    told = [command for _, command in commands("http://here", "alice", with_token=True)]
    assert sum("Bearer $HF_TOKEN" in command for command in told) == 2
    assert not any("HF_TOKEN" in command for _, command in commands("http://here", "local", with_token=False))
    assert "alice/faq" in told[1]


@pytest.mark.parametrize("path", ["/nothing", "/nobody/nothing", "/nobody/nothing/tree/main", "/x/y/z/<b>"])
def test_what_is_not_there_is_told_to_people(place: Place, path: str) -> None:
    answer = httpx.get(place.server.address + path, headers=HTML)
    assert answer.status_code == 404
    assert "<h1>There is nothing here</h1>" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<b>" not in answer.text
