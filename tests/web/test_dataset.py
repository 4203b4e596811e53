"""A dataset's page in a browser: its card, a question, its rows, its files; what others wrote into it does nothing."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.server.hub.place import Place
from tests.web.conftest import OpenPage, Picture, SignIn
from tests.web.embedded import embedded
from tests.web.watching import Watch

from embedhub import Model

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.web

FAQ = Path(__file__).parents[2] / "examples" / "medicare_faq.txt"
QUESTION = "How can Medicare help me?"
BEST = "How can I get help with my Medicare Part A and Part B premiums?"

# Each of them would set it, if it were read as what it looks like.
HOSTILE = "<img src=/x onerror=\"window.harmed=1\"><script>window.harmed=1</script>' onmouseover=window.harmed=1 x='"

Push = Callable[..., str]


@pytest.fixture(scope="module")
def push(site: Place) -> Push:
    """`push(id, folder, private=…)`: a folder as a dataset of alice's; gives the commit."""
    api = site.api("alice")

    def make(id: str, folder: Path, *, private: bool = False) -> str:
        api.create_repo(id, repo_type="dataset", private=private, exist_ok=True)
        done = api.upload_folder(repo_id=id, repo_type="dataset", folder_path=folder, ignore_patterns=".embedhub/*")
        return str(done.oid)

    return make


@pytest.fixture(scope="module")
def faq(push: Push, tmp_path_factory: pytest.TempPathFactory, default_model: Model) -> str:
    """The questions, embedded; the address of their page."""
    lines = ["text,year", *(f'"{line}",{1990 + place}' for place, line in enumerate(FAQ.read_text().splitlines()))]
    push("alice/faq", embedded(tmp_path_factory.mktemp("faq") / "made", lines, default_model))
    return "/datasets/alice/faq"


@pytest.fixture(scope="module")
def hostile(push: Push, tmp_path_factory: pytest.TempPathFactory, default_model: Model) -> str:
    """A dataset that means harm wherever it can; the address of its page."""
    quoted = HOSTILE.replace('"', '""')
    rows = [f'"{word} {quoted}","{quoted}"' for word in ("one", "two", "three", "four")]
    folder = embedded(tmp_path_factory.mktemp("hostile") / "made", ["text,label", *rows], default_model)
    card = folder / "README.md"
    card.write_text(f"{card.read_text()}\n# {HOSTILE}\n\n{HOSTILE}\n\n[a](javascript:window.harmed=1)\n")
    (folder / "<img src=x onerror=harmed=1>.txt").write_text(HOSTILE)
    push("alice/hostile", folder)
    return "/datasets/alice/hostile"


def test_a_question_is_answered_while_it_is_typed(
    browser_page: "Page", faq: str, picture: Picture, check_accessible: Callable[["Page"], None]
) -> None:
    browser_page.goto(faq)
    assert browser_page.get_by_role("heading", level=1).inner_text() == "alice/faq"
    facts = browser_page.locator(".facts").inner_text()
    for told in ("13", "sentence-transformers/all-MiniLM-L6-v2", "384"):
        assert told in facts
    browser_page.get_by_role("searchbox").press_sequentially(QUESTION)
    hits = browser_page.locator(".hits li")
    hits.first.filter(has_text=BEST).wait_for()
    assert hits.count() == 10
    assert float(hits.first.locator("meter").get_attribute("value") or 0) == pytest.approx(0.7565, abs=2e-3)
    assert "q=How" in browser_page.url
    check_accessible(browser_page)
    picture(browser_page, "dataset")
    hits.first.get_by_role("link").click()
    assert browser_page.locator("tr:target").inner_text().startswith("8")


def test_an_older_answer_gives_way_to_a_newer(browser_page: "Page", faq: str) -> None:
    browser_page.goto(faq)
    field = browser_page.get_by_role("searchbox")
    field.fill("payroll")
    field.press("Enter")
    field.fill(QUESTION)
    field.press("Enter")
    browser_page.locator(".hits li").first.filter(has_text=BEST).wait_for()
    field.fill("")
    browser_page.locator(".hits").wait_for(state="detached")


def test_it_works_without_scripts(open_page: OpenPage, site: Place, faq: str) -> None:
    page = open_page(site.server.address, scripts=False)
    page.goto(faq)
    page.get_by_role("searchbox").fill(QUESTION)
    page.get_by_role("button", name="Ask").click()
    assert BEST in page.locator(".hits li").first.inner_text()
    page.get_by_role("link", name="Rows").click()
    assert page.locator("tbody tr").count() == 13
    page.get_by_role("link", name="Map").click()
    assert page.get_by_text("Without scripts, the search works alone").is_visible()
    page.get_by_role("searchbox").fill(QUESTION)
    page.get_by_role("button", name="Ask").click()
    assert BEST in page.locator(".hits li").first.inner_text()


def test_rows_are_a_table_of_pages(
    browser_page: "Page", site: Place, picture: Picture, check_accessible: Callable[["Page"], None]
) -> None:
    lines = [f'"text {number}",{number},{number % 3}' for number in range(130)]
    long = "so long " * 100
    site.make("alice/table", {"data/train.csv": "\n".join(["text,number,kind", *lines, f'"{long}",7,'])})
    browser_page.goto("/datasets/alice/table/rows")
    assert browser_page.locator("thead svg rect").count() > 10
    assert browser_page.locator("thead").inner_text().count("whole number") == 2
    assert browser_page.locator("tbody tr").count() == 50
    browser_page.get_by_role("link", name="Next").click()
    assert browser_page.locator("tbody tr").first.inner_text().split() == ["50", "text", "50", "50", "2"]
    browser_page.get_by_label("Go to row").fill("130")
    browser_page.get_by_role("button", name="Go").click()
    assert browser_page.locator("tbody tr").count() == 31
    cells = browser_page.locator("#row-130 td")
    assert cells.nth(2).inner_text() == "nothing"
    assert long.strip() not in cells.first.inner_text()
    browser_page.locator("#row-130 summary").click()
    assert long.strip() in cells.first.inner_text()
    check_accessible(browser_page)
    picture(browser_page, "rows")


def test_columns_of_many_rows_are_counted_while_somebody_reads(
    browser_page: "Page", site: Place, push: Push, tmp_path: Path
) -> None:
    (tmp_path / "train.csv").write_text("number\n" + "\n".join(str(number % 9) for number in range(50_001)))
    push("alice/many", tmp_path)
    browser_page.goto("/datasets/alice/many/rows")
    browser_page.locator("thead svg rect").first.wait_for()
    assert not browser_page.locator("#counting").count()
    assert site.http().get("/datasets/alice/many/rows", headers={"accept": "text/html"}).text.count("<rect") == 9


def test_vectors_are_shortened(browser_page: "Page", faq: str) -> None:
    browser_page.goto(f"{faq}/rows")
    assert browser_page.locator("td.vector").first.inner_text().endswith("… (384 in all)")


def test_every_part_is_there_at_another_revision(browser_page: "Page", site: Place) -> None:
    made = site.make("alice/revised", {"README.md": "# First words", "a.csv": "text\nfirst\n"})
    with site.hub.open(made) as git:
        first = git.resolve("main")
    site.commit(made, {"README.md": "# Second words", "a.csv": "text\nsecond\n"})
    browser_page.goto("/datasets/alice/revised")
    assert browser_page.get_by_text("Second words").is_visible()
    browser_page.goto(f"/datasets/alice/revised?revision={first}")
    assert browser_page.get_by_text("First words").is_visible()
    browser_page.get_by_role("link", name="Rows").click()
    assert browser_page.locator("tbody").inner_text().split() == ["0", "first"]
    browser_page.get_by_role("link", name="Files").click()
    browser_page.get_by_role("link", name="a.csv", exact=True).click()
    assert browser_page.locator("pre").inner_text() == "text\nfirst\n"
    browser_page.get_by_role("link", name="History").click()
    assert browser_page.locator(".list li").count() == 1
    browser_page.get_by_role("link", name="Map").click()
    assert browser_page.get_by_text("This dataset has no vectors").is_visible()


def test_files_are_shown_and_downloaded(
    browser_page: "Page", site: Place, faq: str, picture: Picture, check_accessible: Callable[["Page"], None]
) -> None:
    browser_page.goto(faq)
    browser_page.get_by_role("link", name="Files").click()
    picture(browser_page, "files")
    check_accessible(browser_page)
    browser_page.get_by_role("link", name="README.md", exact=True).click()
    assert "pretty_name" in browser_page.locator("pre").inner_text()
    picture(browser_page, "file")
    check_accessible(browser_page)
    with browser_page.expect_download() as saved:
        browser_page.get_by_role("link", name="Download").click()
    kept = site.http().get("/datasets/alice/faq/resolve/main/README.md").content
    assert saved.value.path().read_bytes() == kept
    browser_page.go_back()
    browser_page.get_by_role("link", name="data/").click()
    browser_page.get_by_role("link", name=".parquet").first.click()
    assert browser_page.get_by_text("It is no text").is_visible()
    browser_page.goto(faq)
    browser_page.get_by_role("link", name="History").click()
    picture(browser_page, "history")
    check_accessible(browser_page)


@pytest.mark.parametrize("part", ["", "/rows", "/map", "/tree/main", "/commits/main"])
def test_what_others_wrote_does_nothing(browser_page: "Page", watch: Watch, hostile: str, part: str) -> None:
    # A card may show pictures of this server; this one is not there.
    watch.expect(r"status of 404.*/x\)")
    browser_page.goto(f"{hostile}{part}")
    if part == "":
        browser_page.get_by_role("searchbox").fill("two")
        browser_page.locator(".hits li").first.wait_for()
    if part == "/map":
        browser_page.locator("#map[data-ready]").wait_for()
        browser_page.select_option("#colour", "label")
        browser_page.locator(".legend").wait_for()
        browser_page.get_by_role("searchbox").fill("two")
        browser_page.locator(".find").first.hover()
        assert "<script>" in browser_page.locator(".find").first.inner_text()
    if part == "/tree/main":
        browser_page.get_by_role("link", name="onerror").first.click()
        assert "<script>" in browser_page.locator("pre").inner_text()
    assert browser_page.evaluate("() => window.harmed") is None


@pytest.mark.parametrize("part", ["", "?q=one", "/rows", "/map", "/tree/main", "/blob/main/README.md", "/commits/main"])
def test_a_private_dataset_is_there_for_its_own_only(
    site: Place, signed_in: SignIn, browser_page: "Page", watch: Watch, part: str
) -> None:
    if all(each.id != "alice/hidden" for each in site.hub.repositories.all()):
        site.make("alice/hidden", {"README.md": "# Secret", "a.csv": "text\nsecret\n"}, visibility="private")
    owner = signed_in("alice")
    owner.goto(f"/datasets/alice/hidden{part}")
    assert owner.get_by_role("heading", level=1).inner_text().startswith("alice/hidden")
    watch.expect("status of 404")
    other = signed_in("bob")
    answer = other.goto(f"/datasets/alice/hidden{part}")
    assert answer is not None
    assert answer.status == 404
    assert other.get_by_role("heading", level=1).inner_text() == "There is nothing here"
    # Who is nobody may sign in and be somebody.
    answer = browser_page.goto(f"/datasets/alice/hidden{part}")
    assert answer is not None
    assert answer.status == 404 or "/login" in browser_page.url
    assert "ecret" not in browser_page.content()


def test_what_cannot_be_searched_is_told(browser_page: "Page", site: Place, faq: str, watch: Watch) -> None:
    del faq
    site.make("alice/empty", {})
    browser_page.goto("/datasets/alice/empty")
    assert browser_page.get_by_text("Nobody has written a card").is_visible()
    browser_page.goto("/datasets/alice/empty/rows")
    assert browser_page.get_by_text("There are no rows to show").is_visible()
    site.make("alice/broken", {"README.md": "---\na: [\n---\n# Words", "data/train-0.parquet": "PAR1 and no more"})
    for part in ("", "/rows", "/map"):
        browser_page.goto(f"/datasets/alice/broken{part}")
        assert browser_page.get_by_role("heading", level=1).inner_text() == "alice/broken"
    watch.expect("status of 404")
    assert (answer := browser_page.goto("/datasets/alice/empty?revision=other")) is not None
    assert answer.status == 404


def test_it_fits_a_phone(open_page: OpenPage, site: Place, faq: str, picture: Picture) -> None:
    page = open_page(site.server.address, phone=True, dark=True)
    for part in ("", f"?q={QUESTION}", "/rows", "/map", "/tree/main"):
        page.goto(f"{faq}{part}")
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), part
    page.goto(f"{faq}?q={QUESTION}")
    picture(page, "dataset-phone")


def test_the_snippets_work(browser_page: "Page", site: Place, faq: str, tmp_path: Path) -> None:
    browser_page.goto(faq)
    python, own, curl = [each.inner_text() for each in browser_page.locator(".columns pre.code").all()[-3:]]
    variables = _variables(site, tmp_path)
    told = subprocess.run([sys.executable, "-c", python], env=variables, cwd=tmp_path, capture_output=True, text=True)
    assert "Medicare" in told.stdout, told.stderr
    script = own.replace("embedhub ", f"{sys.executable} -m embedhub ") + "\n" + curl
    ran = subprocess.run(["bash", "-ec", script], env=variables, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert '"hits":[' in ran.stdout


def _variables(site: Place, folder: Path) -> Mapping[str, str]:
    taken = {name: value for name, value in os.environ.items() if name not in ("HF_ENDPOINT", "HF_HUB_OFFLINE")}
    home = str(site.server.home)
    return taken | {"HF_HOME": str(folder / "hf"), "EMBEDHUB_HOME": home, "HF_TOKEN": site.tokens["alice"]}
