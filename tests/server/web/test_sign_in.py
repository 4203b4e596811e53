"""Signing in and out: sessions, their proof, passwords, and addresses one is led to."""

import httpx
import pytest
from tests.server.hub.place import Place
from tests.server.web.conftest import Look, proof

from embedhub.hub.passwords import Passwords

PASSWORD = {"name": "erin", "password": "correct horse"}


@pytest.fixture(scope="module", autouse=True)
def password(place: Place) -> None:
    Passwords(place.hub.connections).set("erin", PASSWORD["password"])


def tokens(place: Place, user: str) -> list[tuple[str, bool]]:
    """Names of a user's tokens, and whether they work."""
    accounts = place.server.accounts()
    found = [(each.name, each.revoked_at is None) for each in accounts.list_tokens() if each.user == user]
    accounts.close()
    return found


def test_a_session_reads_and_changes_with_its_proof_only(place: Place, look: Look) -> None:
    client = look("alice")
    wanted = {"name": "session-made", "type": "dataset"}
    assert client.post("/api/repos/create", json=wanted).status_code == 403
    assert client.post("/api/repos/create", json=wanted, headers={"x-csrf-token": "x"}).status_code == 403
    bobs = proof(look("bob"))
    assert client.post("/api/repos/create", json=wanted, headers={"x-csrf-token": bobs}).status_code == 403
    made = client.post("/api/repos/create", json=wanted, headers={"x-csrf-token": proof(client)})
    assert made.status_code == 200
    assert client.post("/settings/tokens", data={"name": "x", "scope": "read"}).status_code == 403


def test_the_cookie_is_the_browsers_alone(place: Place) -> None:
    answer = place.http("").post("/login", data={"token": place.tokens["alice"]})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert place.tokens["alice"] not in cookie


@pytest.mark.parametrize("cookie", ["", "x", "a.b", "é", "x" * 5000])
def test_what_is_no_session_is_nobody(place: Place, cookie: str) -> None:
    headers = [("accept", "text/html"), ("cookie", f"embedhub_session={cookie}".encode())]
    answer = httpx.get(place.server.address + "/settings", headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fsettings"


@pytest.mark.parametrize(
    ("following", "led"),
    [
        ("/datasets?q=a", "/datasets?q=a"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_one_is_led_inside_only(place: Place, following: str, led: str) -> None:
    answer = place.http("").post("/login", data={"token": place.tokens["alice"], "next": following})
    assert answer.headers["location"] == led


def test_a_token_that_does_not_work_is_told_on_the_page(place: Place, look: Look) -> None:
    answer = look().post("/login", data={"token": "<b>x</b>", "next": '/"><script>alert(1)</script>'})
    assert answer.status_code == 401
    assert "Invalid credentials" in answer.text
    assert "<script>alert" not in answer.text


def test_a_password_gives_a_session_of_its_own(place: Place, look: Look) -> None:
    client = look()
    answer = client.post("/login", data=PASSWORD | {"next": "/settings"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
    text = client.get("/settings").text
    assert "<h1>erin</h1>" in text
    assert "web session" in text
    assert ("web session", True) in tokens(place, "erin")
    client.post("/logout", data={"csrf": proof(client)})
    assert ("web session", True) not in tokens(place, "erin")
    assert client.get("/settings").status_code == 303


def test_signing_out_takes_a_proof_to_end_the_token(place: Place, look: Look) -> None:
    client = look()
    client.post("/login", data=PASSWORD)
    cookie = client.cookies["embedhub_session"]
    place.http("").post("/logout", headers={"cookie": f"embedhub_session={cookie}"})
    assert ("web session", True) in tokens(place, "erin")


def test_signing_out_leaves_ones_own_token(place: Place, look: Look) -> None:
    client = look("alice")
    client.post("/logout", data={"csrf": proof(client)})
    assert client.get("/settings").status_code == 303
    assert place.http("alice").get("/api/whoami-v2").status_code == 200


def test_passwords_are_not_tried_for_ever(place: Place, look: Look) -> None:
    client = look()
    told = [client.post("/login", data={"name": "erin", "password": "wrong"}) for _ in range(11)]
    assert {each.status_code for each in told[:8]} == {401}
    assert "name and password do not belong together" in told[0].text
    assert told[-1].status_code == 429
    assert "too many passwords" in told[-1].text
    # Also the right one; a token works all the same.
    assert client.post("/login", data=PASSWORD).status_code == 429
    assert client.post("/login", data={"token": place.tokens["erin"]}).status_code == 303
