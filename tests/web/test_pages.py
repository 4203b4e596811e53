"""The main path of each page, in a browser."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.server.hub.place import Place
from tests.server.processes import Running, surroundings
from tests.web.conftest import OpenPage, Picture, SignIn
from tests.web.watching import Watch

from embedhub.config import DEFAULT_MODEL
from embedhub.hub.names import Kind
from embedhub.hub.passwords import Passwords

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.web

Check = Callable[["Page"], None]

CARD = """---
license: apache-2.0
pretty_name: Questions about Medicare
embedhub: {model: sentence-transformers/all-MiniLM-L6-v2, dimensions: 384, rows: 13}
---
# Notes

<script>document.title = "broken in"</script><img src=x alt="" onerror="document.title = 'broken in'">

| a | b |
|---|---|
| 1 | 2 |
"""


@pytest.fixture(scope="module", autouse=True)
def hosted(site: Place) -> None:
    """Something to look at."""
    site.make("alice/medicare", {"README.md": CARD})
    site.make("acme/tickets", visibility="private")
    site.make("alice/notes", {"README.md": CARD, "<img src=x onerror=alert(1)>.txt": "x"}, Kind.MODEL)
    Passwords(site.hub.connections).set("erin", "correct horse")


def test_the_front_page(signed_in: SignIn, check_accessible: Check, picture: Picture) -> None:
    page = signed_in("alice")
    page.goto("/")
    page.locator("#load").wait_for()
    check_accessible(page)
    page.emulate_media(color_scheme="light")
    picture(page, "home")
    page.get_by_role("button", name="Copy: curl").first.click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl http://127.0.0.1:")
    page.get_by_role("searchbox").fill("medicare")
    page.keyboard.press("Enter")
    found = page.get_by_role("link", name="alice/medicare")
    assert found.get_attribute("href") == "/datasets/alice/medicare"


def test_the_front_page_of_a_new_server(open_site: Running, open_page: OpenPage, check_accessible: Check) -> None:
    page = open_page(open_site.address)
    page.goto("/")
    page.locator("#load").wait_for()
    assert page.get_by_role("link", name="Make one of a table.").count() == 1
    check_accessible(page)
    page.get_by_role("link", name="Settings").click()
    assert page.get_by_text("This server has no tokens").is_visible()
    check_accessible(page)


def test_the_commands_of_the_front_page_work(open_site: Running, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(open_site.address)
    page.goto("/")
    commands = page.locator(".code").all_text_contents()
    assert len(commands) == 3
    embedhub = tmp_path / "bin" / "embedhub"
    embedhub.parent.mkdir()
    embedhub.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m embedhub "$@"\n')
    embedhub.chmod(0o755)
    variables = surroundings(open_site.home, Path(DEFAULT_MODEL))
    variables |= {"PATH": f"{embedhub.parent}:{variables['PATH']}", "HF_HUB_OFFLINE": "0"}
    told = [
        subprocess.run(command, shell=True, capture_output=True, text=True, env=variables, cwd=tmp_path, check=True)
        for command in commands
    ]
    assert '"embedding":[' in told[0].stdout
    assert "What does it cost?" in told[2].stdout


@pytest.mark.parametrize("path", ["/datasets", "/models", "/?q=medicare", "/datasets?q=nothing-at-all"])
def test_lists(signed_in: SignIn, check_accessible: Check, picture: Picture, path: str) -> None:
    page = signed_in("alice", phone=path == "/models")
    page.goto(path)
    check_accessible(page)
    page.emulate_media(color_scheme="light")
    if path == "/datasets":
        assert page.get_by_role("listitem").filter(has_text="acme/tickets").get_by_text("private").is_visible()
        assert page.get_by_text("Questions about Medicare · 13 rows").is_visible()
        picture(page, "datasets")
    # Nothing is wider than the screen.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_private_dataset_is_not_seen_by_others(signed_in: SignIn) -> None:
    page = signed_in("bob")
    page.goto("/datasets")
    assert page.get_by_text("alice/medicare").count() == 1
    assert page.get_by_text("acme/tickets").count() == 0


@pytest.mark.parametrize("looks", [{}, {"phone": True}, {"scripts": False}], ids=["wide", "phone", "no scripts"])
def test_a_model_is_tried(
    site: Place, open_page: OpenPage, check_accessible: Check, picture: Picture, looks: dict[str, bool]
) -> None:
    page = open_page(site.server.address, **looks)
    page.goto("/models")
    if looks == {}:
        picture(page, "models")
    page.get_by_role("link", name=DEFAULT_MODEL).click()
    page.get_by_label("Text", exact=True).fill("How can Medicare help me?")
    page.get_by_role("button", name="Embed", exact=True).click()
    assert page.get_by_text("384 numbers in").is_visible()
    assert page.get_by_text("cosine 1.0000").is_visible() or page.get_by_text("cosine 0.9999").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if looks == {}:
        check_accessible(page)
        page.emulate_media(color_scheme="light")
        page.goto(f"/{DEFAULT_MODEL}")
        picture(page, "model")


def test_a_card_does_nothing(browser_page: "Page", watch: Watch, check_accessible: Check) -> None:
    # The picture beside the card is not there.
    watch.expect("status of 404.*resolve/[0-9a-f]{40}/x")
    browser_page.goto("/alice/notes")
    assert browser_page.get_by_role("heading", name="Notes", exact=True).is_visible()
    check_accessible(browser_page)
    browser_page.get_by_role("link", name="Files").click()
    assert browser_page.get_by_text("<img src=x onerror=alert(1)>.txt").is_visible()
    check_accessible(browser_page)
    browser_page.get_by_role("link", name="History").click()
    check_accessible(browser_page)
    assert "broken in" not in browser_page.title()


def test_a_token_is_made_and_revoked(signed_in: SignIn, check_accessible: Check, picture: Picture) -> None:
    page = signed_in("alice")
    page.goto("/")
    page.get_by_role("link", name="alice", exact=True).click()
    page.get_by_label("What it is for").fill("my laptop")
    page.get_by_label("What it may do").select_option("read")
    check_accessible(page)
    page.emulate_media(color_scheme="light")
    picture(page, "settings")
    page.get_by_role("button", name="Make it").click()
    assert page.get_by_label("The new token").text_content().startswith("hf_")  # type: ignore[union-attr]
    check_accessible(page)
    page.get_by_role("button", name="Revoke my laptop").click()
    assert page.get_by_text("The token is revoked.").is_visible()
    assert page.get_by_text("my laptop").count() == 0


def test_a_repository_is_hidden_and_deleted(site: Place, signed_in: SignIn) -> None:
    site.make("alice/passing")
    page = signed_in("alice")
    page.goto("/settings")
    item = page.locator("#repositories li").filter(has_text="alice/passing")
    item.locator("summary").click()
    item.get_by_role("button", name="Let only its owners see it").click()
    item = page.locator("#repositories li").filter(has_text="alice/passing")
    assert item.get_by_text("private", exact=True).is_visible()
    item.locator("summary").click()
    item.get_by_label("To delete it for ever").fill("alice/passing")
    item.get_by_role("button", name="Delete alice/passing").click()
    assert page.get_by_text("The repository is gone.").is_visible()
    assert item.count() == 0


def test_signing_in_with_a_password(browser_page: "Page", check_accessible: Check, picture: Picture) -> None:
    browser_page.goto("/settings")
    check_accessible(browser_page)
    browser_page.emulate_media(color_scheme="light")
    picture(browser_page, "login")
    browser_page.get_by_label("Name").fill("erin")
    browser_page.get_by_label("Password").fill("correct horse")
    browser_page.get_by_role("button", name="Sign in with the password").click()
    assert browser_page.get_by_role("heading", name="erin").is_visible()
    browser_page.get_by_role("button", name="Sign out").click()
    assert browser_page.get_by_role("link", name="Sign in").is_visible()


def test_a_program_is_approved(site: Place, signed_in: SignIn, check_accessible: Check, picture: Picture) -> None:
    began = site.http("").post("/oauth/device", data={"client_id": "x"}).json()
    page = signed_in("alice")
    page.goto("/device")
    page.get_by_label("Code that the program shows").fill(began["user_code"])
    page.get_by_role("button", name="Go on").click()
    check_accessible(page)
    page.emulate_media(color_scheme="light")
    picture(page, "device")
    page.get_by_role("button", name="Approve").click()
    assert page.get_by_text("Approved.").is_visible()


def test_what_is_not_there(browser_page: "Page", watch: Watch, check_accessible: Check, picture: Picture) -> None:
    watch.expect("status of 404")
    browser_page.goto("/nobody/nothing")
    assert browser_page.get_by_role("heading", name="There is nothing here").is_visible()
    picture(browser_page, "nothing-here")
    check_accessible(browser_page)


@pytest.mark.parametrize("path", ["/", "/datasets", f"/{DEFAULT_MODEL}"])
def test_a_first_view_is_light(browser_page: "Page", path: str) -> None:
    sizes: list[int] = []
    browser_page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    browser_page.goto(path)
    browser_page.wait_for_load_state("networkidle")
    assert 0 < sum(sizes) < 100_000, sizes
