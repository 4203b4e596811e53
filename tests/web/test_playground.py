"""The playground in a browser: what is shown is what the model gives, wherever it was computed."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from tests.server.hub.place import Place
from tests.server.processes import Running, running
from tests.web.conftest import OpenPage, Picture, SignIn

import embedhub
from embedhub import Model
from embedhub.config import DEFAULT_MODEL, settings
from embedhub.server.web.assets import VENDOR

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.web

TEXTS = ["How do I sign up for Medicare?", "Who pays for a stay in hospital?", "The cat sleeps on the sofa."]
# What a shell, Python, JavaScript and a page must not read as theirs.
HOSTILE = ['it\'s "$HOME" `id` \\n %s', "<script>alert(1)</script>", "two\nlines", "日本 🎉 é", "'; echo x #"]
LONG = "many words and " * 120 + "the end"

LOADING_MILLISECONDS = 60_000


def embed(page: "Page", texts: list[str], where: str = "on this server") -> None:
    """Open the playground, ask for vectors and wait for them."""
    page.goto("/playground")
    again(page, texts, where)


def again(page: "Page", texts: list[str], where: str = "on this server") -> None:
    """The same on a page that is open."""
    if any("\n" in text for text in texts):
        page.get_by_text("Blank lines between texts").click()
    page.get_by_label("Texts", exact=True).fill("\n\n".join(texts))
    page.get_by_text(where, exact=True).click()
    page.get_by_role("button", name="Embed").click()
    page.locator("#form[aria-busy]").wait_for(state="detached", timeout=LOADING_MILLISECONDS)
    assert page.locator("#problem").is_hidden(), page.locator("#problem").text_content()


def values(page: "Page", place: str = "server") -> Any:
    """The numbers of the heat map."""
    rows = page.locator(f"#alike [data-place={place}] tbody tr").all()
    return np.array([[float(cell) for cell in row.locator("td").all_text_contents()] for row in rows])


def taken(page: "Page", button: str) -> str:
    """What a button of the vectors lets one download."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return Path(download.value.path()).read_text(encoding="utf-8")


def show(page: "Page", part: str) -> None:
    """Have a part of the page in view, as a picture of it needs."""
    page.locator(part).evaluate("(part) => scrollTo(0, part.offsetTop - 80)")


def vectors(page: "Page") -> Any:
    """The vectors that a page gives away, the server's before the browser's."""
    return np.array([row["embedding"] for row in json.loads(taken(page, "Download JSON"))])


def test_the_heat_map_has_the_numbers_of_numpy(
    browser_page: "Page", default_model: Model, picture: Picture, check_accessible: Callable[["Page"], None]
) -> None:
    embed(browser_page, TEXTS)
    expected = default_model.encode(TEXTS)
    np.testing.assert_allclose(values(browser_page), expected @ expected.T, atol=6e-4)
    np.testing.assert_allclose(vectors(browser_page), expected, atol=1e-5)
    show(browser_page, "#timing")
    picture(browser_page, "playground")
    check_accessible(browser_page)
    browser_page.get_by_text("euclidean", exact=True).click()
    distances = np.linalg.norm(expected[:, None] - expected[None], axis=2)
    np.testing.assert_allclose(values(browser_page), distances, atol=6e-4)
    # The nearest are the warmest.
    warmest = browser_page.locator("#alike td.heat-10").all_text_contents()
    assert warmest == ["0.000"] * 3
    browser_page.get_by_label("Scale vectors to length one").uncheck()
    browser_page.get_by_text("dot", exact=True).click()
    browser_page.get_by_label("Dimensions").fill("16")
    browser_page.keyboard.press("Enter")
    browser_page.get_by_text("First of 16 numbers").wait_for()
    raw = vectors(browser_page)
    assert raw.shape == (3, 16)
    assert np.linalg.norm(raw, axis=1).max() > 0
    np.testing.assert_allclose(values(browser_page), raw @ raw.T, atol=6e-4)


def test_many_texts_are_a_picture_that_keys_move_in(browser_page: "Page", default_model: Model) -> None:
    texts = [f"text number {number}" for number in range(30)]
    embed(browser_page, texts)
    browser_page.locator("#alike canvas").focus()
    browser_page.keyboard.press("ArrowRight")
    browser_page.keyboard.press("ArrowDown")
    browser_page.keyboard.press("ArrowDown")
    expected = default_model.encode(texts)
    told = browser_page.locator(".heat-told").text_content() or ""
    assert told == f"{expected[2] @ expected[1]:.3f}: 3 {texts[2]} — 2 {texts[1]}"
    browser_page.get_by_text("All values, as a table").click()
    # The table is filled behind the click.
    browser_page.locator("#alike tbody tr").nth(29).wait_for()
    np.testing.assert_allclose(values(browser_page), expected @ expected.T, atol=6e-4)


def test_tokens_are_the_tokenizers(browser_page: "Page", default_model: Model) -> None:
    texts = [*TEXTS, HOSTILE[1], "embeddings 日本", LONG]
    embed(browser_page, texts)
    shown = browser_page.locator("#tokens li")
    for number, spans in enumerate(default_model.tokenizer.spans(texts, add_special_tokens=True)):
        pieces = (
            shown.nth(number)
            .locator(".token")
            .evaluate_all(
                "(all) => all.map((each) => [each.firstChild.textContent, Number(each.lastChild.textContent)])"
            )
        )
        assert pieces == [[token.text, token.id] for token in spans]
    prepared = default_model.prepare([LONG])
    cut = int(prepared.tokens[0]) - default_model.spec.max_tokens
    assert cut > 0
    assert shown.nth(5).locator(".cut").count() == cut
    assert shown.nth(5).get_by_text(f"{cut} not read").is_visible()
    # What is behind the cut is the token that ends a text, which is read.
    assert "special" in (shown.nth(5).locator(".token").last.get_attribute("class") or "")


def test_it_works_without_scripts(site: Place, open_page: OpenPage, default_model: Model) -> None:
    page = open_page(site.server.address, scripts=False)
    page.goto("/playground")
    assert page.get_by_text("in this browser", exact=True).is_hidden()
    page.get_by_label("Texts", exact=True).fill("\n".join(TEXTS))
    page.get_by_role("button", name="Embed").click()
    rows = page.get_by_role("region", name="How alike").locator("tbody tr").all()
    shown = np.array([[float(cell) for cell in row.locator("td").all_text_contents()] for row in rows])
    expected = default_model.encode(TEXTS)
    np.testing.assert_allclose(shown, expected @ expected.T, atol=6e-4)


def test_the_code_gives_the_same_vectors(site: Place, signed_in: SignIn, tmp_path: Path) -> None:
    page = signed_in("alice")
    embed(page, HOSTILE)
    expected = vectors(page)
    environment = os.environ | {"HF_TOKEN": site.tokens["alice"]}
    code = {
        name: page.locator(f"#snippet-{number} code").text_content() or ""
        for number, name in enumerate(("python", "javascript", "curl"), 1)
    }

    def output(*command: str) -> str:
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    said = "5 vectors of 384 numbers\n"
    assert output(sys.executable, "-c", code["python"]) == said
    assert output(sys.executable, "-c", f"{code['python']}\nprint(json.dumps(vectors))") != said
    printed = output(sys.executable, "-c", f"{code['python']}\nprint(json.dumps(vectors))").splitlines()[1]
    np.testing.assert_allclose(json.loads(printed), expected, atol=1e-6)
    if shutil.which("curl"):
        np.testing.assert_allclose(json.loads(output("sh", "-c", code["curl"])), expected, atol=1e-6)
    if shutil.which("node"):
        script = tmp_path / "ask.mjs"
        script.write_text(code["javascript"], encoding="utf-8")
        assert output("node", str(script)) == said


def test_texts_are_shown_as_they_are(browser_page: "Page") -> None:
    embed(browser_page, HOSTILE)
    assert "<script>alert(1)</script>" in (browser_page.locator("#vectors").text_content() or "")
    assert browser_page.locator("main script").count() == 0
    rows = list(csv.reader(io.StringIO(taken(browser_page, "Download CSV"))))
    assert [row[0] for row in rows[1:]] == HOSTILE
    np.testing.assert_allclose(np.array([row[1:] for row in rows[1:]], float), vectors(browser_page), atol=1e-9)
    browser_page.get_by_role("button", name="Copy as JSON").click()
    browser_page.get_by_text("Copied.").wait_for()
    copied = json.loads(browser_page.evaluate("() => navigator.clipboard.readText()"))
    assert [row["text"] for row in copied] == HOSTILE


@pytest.mark.parametrize(
    ("label", "typed", "told"),
    [
        ("Texts", " \n ", "There is no text"),
        ("Dimensions", "385", "gives 1 to 384"),
        ("Prompt", "query", "has no prompt “query”; it has none"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_sent(browser_page: "Page", label: str, typed: str, told: str) -> None:
    browser_page.goto("/playground")
    browser_page.get_by_label(label, exact=True).fill(typed)
    browser_page.get_by_role("button", name="Embed").click()
    assert told in (browser_page.get_by_role("alert").text_content() or "")


def test_the_first_view_is_small(site: Place, browser_page: "Page") -> None:
    asked: list[str] = []
    browser_page.on("request", lambda request: asked.append(request.url))
    browser_page.goto("/playground", wait_until="networkidle")
    with httpx.Client(headers={"accept-encoding": "gzip"}) as client:
        size = 0
        for address in asked:
            with client.stream("GET", address) as response:
                size += sum(map(len, response.iter_raw()))
    assert size < 100_000
    # What computes in the browser is loaded by those who want it to.
    assert not [address for address in asked if "vendor" in address or "worker" in address]


needs_vendor = pytest.mark.skipif(not VENDOR.is_dir(), reason="the scripts by others are not here: make web")


@needs_vendor
def test_server_and_browser_agree(site: Place, browser_page: "Page", default_model: Model, picture: Picture) -> None:
    del site
    texts = [*TEXTS, HOSTILE[0], HOSTILE[3], LONG]
    embed(browser_page, texts, "both")
    assert float(browser_page.locator("#largest").text_content() or "") < 1e-5
    assert browser_page.get_by_text("They are the same vectors").is_visible()
    np.testing.assert_allclose(values(browser_page, "browser"), values(browser_page), atol=1.1e-3)
    show(browser_page, "#difference")
    picture(browser_page, "playground-browser")

    sent: list[str] = []
    browser_page.on("request", lambda request: sent.append(request.method))
    again(browser_page, texts, "in this browser")
    # The model was loaded, and no text leaves the browser.
    assert "POST" not in sent
    np.testing.assert_allclose(vectors(browser_page), default_model.encode(texts), atol=1e-5)
    shown = browser_page.locator("#tokens li").nth(0).locator("small").all_text_contents()
    (spans,) = default_model.tokenizer.spans(TEXTS[:1], add_special_tokens=True)
    assert list(map(int, shown)) == [token.id for token in spans]

    browser_page.get_by_label("Dimensions").fill("64")
    browser_page.get_by_text("8-bit weights", exact=True).click()
    again(browser_page, texts, "in this browser")
    small = vectors(browser_page)
    cosines = (small * default_model.encode(texts, truncate_dim=64, normalize_embeddings=True)).sum(axis=1)
    assert cosines.min() > 0.97
    assert cosines.min() < 0.999999, "this was not computed in 8 bits"


@needs_vendor
def test_a_model_that_is_kept_is_not_downloaded_again(browser_page: "Page") -> None:
    asked: list[str] = []
    for _ in range(2):
        asked.clear()
        browser_page.goto("/playground")
        browser_page.context.on("request", lambda request: asked.append(request.url))
        # The smaller file.
        browser_page.get_by_text("both", exact=True).click()
        browser_page.get_by_text("8-bit weights", exact=True).click()
        again(browser_page, TEXTS, "in this browser")
    assert any("transformers.min.js" in address for address in asked)
    assert not [address for address in asked if address.endswith(".onnx")]


@needs_vendor
def test_a_download_shows_how_far_it_is_and_can_be_stopped(browser_page: "Page") -> None:
    browser_page.goto("/playground")
    browser_page.context.route("**/onnx/*.onnx", lambda route: None)
    browser_page.get_by_text("in this browser", exact=True).click()
    browser_page.get_by_role("button", name="Embed").click()
    browser_page.get_by_role("progressbar").wait_for()
    browser_page.get_by_role("button", name="Stop").click()
    browser_page.get_by_text("Stopped.").wait_for()
    assert browser_page.locator("#progress").is_hidden()
    # Another try is not in the way of what was stopped.
    again(browser_page, TEXTS)
    assert values(browser_page).shape == (3, 3)


def test_without_the_scripts_by_others_the_page_says_how_to_get_them(tmp_path: Path, open_page: OpenPage) -> None:
    package = Path(embedhub.__file__).parent
    shutil.copytree(package, tmp_path / "src" / "embedhub", ignore=shutil.ignore_patterns("vendor", "__pycache__"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "models").symlink_to(settings().home / "models")
    with running(tmp_path, Path(DEFAULT_MODEL), PYTHONPATH=str(tmp_path / "src")) as server:
        page = open_page(server.address)
        page.goto("/playground")
        assert page.get_by_text("not installed here").is_visible()
        assert "make web" in (page.locator("#where-hint").text_content() or "")
        assert page.get_by_label("in this browser", exact=True).is_disabled()
        embed(page, TEXTS)
        assert values(page).shape == (3, 3)
        assert page.get_by_role("tab", name="In the browser").is_hidden()


def test_it_is_whole_on_a_phone_in_the_dark(open_site: Running, open_page: OpenPage, picture: Picture) -> None:
    page = open_page(open_site.address, phone=True, dark=True)
    embed(page, TEXTS)
    wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    show(page, "#alike")
    picture(page, "playground-phone")
