"""Settings: what somebody owns is theirs to change, and nobody else's."""

import re
from html import unescape

import httpx
import pytest
from tests.server.hub.place import Place
from tests.server.web.conftest import Look, proof

from embedhub.hub.names import Kind


def post(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """A form of the page."""
    return client.post(path, data=fields | {"csrf": proof(client)})


def made_token(answer: httpx.Response) -> str:
    found = re.search(r"<code>(hf_\w+)</code>", answer.text)
    assert found is not None, answer.text
    return found[1]


def test_a_token_is_made_shown_once_and_revoked(place: Place, look: Look) -> None:
    client = look("alice")
    answer = post(client, "/settings/tokens", name="<b>laptop</b>", scope="read", days="3")
    assert answer.headers["cache-control"] == "no-store"
    token = made_token(answer)
    assert place.http(token).get("/api/whoami-v2").json()["auth"]["accessToken"]["role"] == "read"
    page = client.get("/settings").text
    assert token not in page
    assert "&lt;b&gt;laptop&lt;/b&gt;" in page
    number = re.search(r'name="id" value="(\d+)"><button class="danger" aria-label="Revoke &lt;b&gt;laptop', page)
    assert number is not None
    assert post(look("bob"), "/settings/tokens/revoke", id=number[1]).status_code == 400
    assert post(client, "/settings/tokens/revoke", id=number[1]).status_code == 303
    assert "&lt;b&gt;laptop" not in client.get("/settings").text


@pytest.mark.parametrize(
    ("fields", "status", "told"),
    [
        ({"scope": "admin"}, 403, "a token for admin is more than that"),
        ({"scope": "root"}, 400, "one of read, write, admin"),
        ({"days": "0"}, 400, "no number of days"),
        ({"days": "x"}, 400, "no number of days"),
        ({"days": "99999999999"}, 400, "no number of days"),
        ({"name": "web  session"}, 400, "choose another name"),
    ],
)
def test_tokens_that_are_not_made(look: Look, fields: dict[str, str], status: int, told: str) -> None:
    answer = post(look("alice"), "/settings/tokens", **({"name": "x", "scope": "read"} | fields))
    assert answer.status_code == status
    assert told in unescape(answer.text)
    assert "hf_" not in answer.text


def test_a_session_that_may_only_read_changes_nothing(look: Look) -> None:
    client = look("reader")
    page = client.get("/settings").text
    assert "may only read" in page
    assert "Make it" not in page
    assert post(client, "/settings/tokens", name="x", scope="read").status_code == 403


def test_a_token_with_limits_makes_none_without(place: Place) -> None:
    accounts = place.server.accounts()
    token, _ = accounts.create_token("dan", "write", rate=1000)
    accounts.close()
    client = place.http("")
    client.headers["accept"] = "text/html"
    assert client.post("/login", data={"token": token}).status_code == 303
    answer = post(client, "/settings/tokens", name="x", scope="read")
    assert answer.status_code == 403
    assert "limits of its own" in answer.text


def test_a_repository_is_hidden_shown_and_deleted(place: Place, look: Look) -> None:
    place.make("alice/own-one")
    client = look("alice")
    one = {"kind": "dataset", "id": "alice/own-one"}
    assert "alice/own-one" in client.get("/settings").text
    assert post(client, "/settings/repositories", change="private", **one).status_code == 303
    assert place.hub.repositories.find(Kind.DATASET, "alice/own-one").private
    assert post(look("bob"), "/settings/repositories", change="public", **one).status_code == 404
    assert post(client, "/settings/repositories", change="secret", **one).status_code == 400
    wrong = post(client, "/settings/repositories", change="delete", confirm="own-one", **one)
    assert wrong.status_code == 400
    assert "type alice/own-one" in wrong.text
    assert post(client, "/settings/repositories", change="delete", confirm="alice/own-one", **one).status_code == 303
    assert "alice/own-one" not in client.get("/settings").text


def test_a_name_of_the_past_deletes_nothing(place: Place, look: Look) -> None:
    place.make("alice/own-old")
    place.api("alice").move_repo("alice/own-old", "alice/own-new", repo_type="dataset")
    answer = post(
        look("alice"),
        "/settings/repositories",
        kind="dataset",
        id="alice/own-old",
        change="delete",
        confirm="alice/own-old",
    )
    assert answer.status_code == 400
    assert place.hub.repositories.find(Kind.DATASET, "alice/own-new")


def test_repositories_of_an_organisation_are_its_admins(place: Place, look: Look) -> None:
    place.make("acme/own-shared")
    assert "acme/own-shared" in look("alice").get("/settings").text
    assert "acme/own-shared" not in look("carol").get("/settings").text


def test_members_are_changed_by_admins(place: Place, look: Look) -> None:
    client = look("alice")
    fields = {"organisation": "acme", "user": "bob"}
    assert post(look("carol"), "/settings/members", role="admin", **fields).status_code == 403
    assert post(client, "/settings/members", role="read", **fields).status_code == 303
    assert place.hub.organisations.members("acme")["bob"] == "read"
    assert post(client, "/settings/members", role="king", **fields).status_code == 400
    assert post(client, "/settings/members", **fields).status_code == 303
    assert "bob" not in place.hub.organisations.members("acme")
    alone = post(client, "/settings/members", organisation="acme", user="ALICE", role="read")
    assert alone.status_code == 400
    assert "would have no admin" in alone.text


def test_a_program_is_let_in_by_a_person(place: Place, look: Look) -> None:
    began = place.http("").post("/oauth/device", data={"client_id": "x"}).json()
    client = look("alice")
    page = client.get("/device", params={"user_code": began["user_code"]})
    assert began["user_code"] in page.text
    assert "127.0.0.1" in page.text
    code = {"user_code": began["user_code"].lower()}
    assert post(client, "/device", answer="approve", scope="admin", **code).status_code == 403
    assert client.post("/device", data=code | {"answer": "approve", "scope": "read"}).status_code == 403
    assert "Approved" in post(client, "/device", answer="approve", scope="read", days="1", **code).text
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": began["device_code"]}
    token = place.http("").post("/oauth/token", data=form).json()
    assert token["scope"] == "read"
    assert place.http(token["access_token"]).get("/api/whoami-v2").json()["name"] == "alice"
    assert post(client, "/device", answer="approve", scope="read", **code).status_code == 400


def test_a_program_is_turned_away(place: Place, look: Look) -> None:
    began = place.http("").post("/oauth/device", data={"client_id": "x"}).json()
    assert "Denied" in post(look("alice"), "/device", answer="deny", user_code=began["user_code"]).text
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": began["device_code"]}
    assert place.http("").post("/oauth/token", data=form).json()["error"] == "access_denied"


@pytest.mark.parametrize("code", ["<script>alert(1)</script>", "BCDF-GHJK; rm -rf ~", "\r\n", "BCDF-GHJ", ""])
def test_only_codes_are_shown(look: Look, code: str) -> None:
    page = look("alice").get("/device", params={"user_code": code})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "rm -rf" not in page.text


def test_who_is_not_signed_in_is_led_there_and_back(look: Look) -> None:
    answer = look().get("/device", params={"user_code": "BCDF-GHJK"})
    assert answer.headers["location"] == "/login?next=%2Fdevice%3Fuser_code%3DBCDF-GHJK"
