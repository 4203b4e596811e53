"""From a file to a dataset in a browser, with the page and the server interrupted in between."""

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.server.processes import Running, running
from tests.web.conftest import OpenPage, Picture, SignIn
from tests.web.watching import Watch

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.web

CSV = """id,question,answer
1,How can I get help with my premiums?,"There are programs of your state; call its office."
2,What is Medicare and who can get it?,"Health insurance for people of 65 and more."
3,How do I sign up?,"Most people are signed up by themselves."
"""

_DROP = """([name, text]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([text], name));
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
}"""


def chosen(page: "Page", name: str, content: str) -> None:
    """Choose a file, as somebody with a keyboard does."""
    page.goto("/new")
    page.get_by_label("Choose a file").set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": content.encode()}
    )
    page.get_by_role("button", name="Send it").click()


def test_from_a_file_to_an_answer(
    signed_in: SignIn, picture: Picture, check_accessible: Callable[["Page"], None]
) -> None:
    page = signed_in("alice")
    page.goto("/new")
    picture(page, "new-dataset")
    check_accessible(page)
    page.evaluate(_DROP, ["medicare.csv", CSV])
    page.wait_for_url("**/jobs/*")
    assert page.get_by_label("Column with the texts").input_value() == "answer"
    assert page.get_by_role("cell", name="How do I sign up?").is_visible()
    page.emulate_media(color_scheme="light")
    picture(page, "choose-texts")
    check_accessible(page)
    page.get_by_label("Column with the texts").select_option("question")
    page.get_by_label("Name of the dataset").fill("by-browser")
    page.get_by_role("button", name="Embed 3 rows").click()
    page.wait_for_url("**/datasets/alice/by-browser", timeout=60_000)
    page.get_by_label("Ask this dataset").fill("Who pays my premium?")
    assert page.locator("#hits li").first.inner_text().find("help with my premiums") >= 0
    page.goto("/jobs")
    picture(page, "jobs")
    page.get_by_role("link", name="alice/by-browser").click()
    assert page.get_by_text("3 rows are embedded and hosted.").is_visible()
    check_accessible(page)


def test_a_broken_file_is_told_where_it_was_chosen(signed_in: SignIn, watch: Watch) -> None:
    watch.expect("status of 400")
    page = signed_in("bob")
    chosen(page, "broken.csv", "a,b\nx\n")
    page.get_by_text("broken.csv, line 2").wait_for()
    # Another can be chosen at once, and nothing is left of the first.
    assert page.get_by_role("button", name="Send it").is_visible()
    page.goto("/jobs")
    assert page.get_by_text("There are none.").is_visible()


def test_a_phone_without_scripts(signed_in: SignIn) -> None:
    page = signed_in("carol", phone=True, scripts=False)
    chosen(page, "plain.csv", CSV)
    page.get_by_role("button", name="Embed 3 rows").click()
    page.get_by_role("button", name="Cancel").wait_for()
    page.wait_for_url("**/datasets/carol/plain", timeout=60_000)


def test_a_reload_and_a_killed_server_in_the_middle(
    tmp_path: Path,
    tiny_folder: Path,
    open_page: OpenPage,
    watches: dict[str, Watch],
    picture: Picture,
    check_accessible: Callable[["Page"], None],
) -> None:
    (tmp_path / "home").mkdir()
    with ExitStack() as stack:
        server: Running = stack.enter_context(running(tmp_path, tiny_folder))
        watch = watches.setdefault(server.address, Watch(server.address))
        page = open_page(server.address)
        chosen(page, "long.csv", "text\n" + "".join(f"the one and number {number}\n" for number in range(40_000)))
        page.get_by_role("button", name="Embed 40,000 rows").click()
        rows = page.locator("#rows")
        page.locator("#rows", has_text="of 40,000").wait_for(timeout=60_000)
        picture(page, "watch-a-job")
        check_accessible(page)
        page.reload()
        page.locator("#rows", has_text="of 40,000").wait_for()

        # A connection that is refused, and an answer that breaks off.
        watch.expect("ERR_")
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        assert rows.is_visible()
        stack.enter_context(running(tmp_path, tiny_folder, "--port", str(server.port)))
        page.wait_for_url("**/datasets/local/long", timeout=90_000)


def test_a_cancelled_job(tmp_path: Path, tiny_folder: Path, open_page: OpenPage, watches: dict[str, Watch]) -> None:
    (tmp_path / "home").mkdir()
    with running(tmp_path, tiny_folder) as server:
        page = open_page(server.address)
        chosen(page, "long.csv", "text\n" + "".join(f"the one and number {number}\n" for number in range(100_000)))
        page.get_by_role("button", name="Embed 100,000 rows").click()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("Nothing of it was kept.").wait_for(timeout=60_000)
        assert page.request.get("/api/datasets?author=local").json() == []
