"""What the other tests of pages stand on: a page that does what it must not is noticed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from tests.server.hub.place import Place
from tests.web.conftest import SignIn
from tests.web.watching import Watch

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.web


def test_a_page_is_whole(browser_page: "Page", check_accessible: Callable[["Page"], None]) -> None:
    browser_page.goto("/")
    assert browser_page.title() == "embedhub"
    check_accessible(browser_page)


def test_somebody_is_signed_in(signed_in: SignIn) -> None:
    page = signed_in("bob")
    page.goto("/")
    assert page.get_by_role("link", name="bob").is_visible()


@pytest.mark.parametrize(
    ("deed", "noticed"),
    [
        ("document.body.append(Object.assign(new Image(), { src: 'http://127.0.0.1:9/x.png' }))", "policy: img-src"),
        ("const it = document.createElement('script'); it.text = '1'; document.body.append(it)", "policy: script-src"),
        ("document.body.setAttribute('style', 'color: red')", "policy: style-src"),
        ("setTimeout(() => { throw new Error('broken') })", "exception: broken"),
        ("console.error('wrong')", "console: wrong"),
        ("fetch('/not/there/at/all')", "status of 404"),
    ],
)
def test_misdeeds_are_noticed(site: Place, browser_page: "Page", watch: Watch, deed: str, noticed: str) -> None:
    del site
    browser_page.goto("/")
    assert watch.problems == []
    browser_page.evaluate(f"() => {{ {deed} }}")
    browser_page.wait_for_timeout(100)
    assert any(noticed in problem for problem in watch.problems), watch.problems
    watch.problems.clear()


def test_a_request_elsewhere_is_noticed(browser_page: "Page", watch: Watch) -> None:
    browser_page.goto("/")
    # A link leads where a page may not reach.
    browser_page.evaluate("() => { window.open('http://127.0.0.1:9/') }")
    browser_page.wait_for_timeout(200)
    assert any("another origin" in problem for problem in watch.problems), watch.problems
    watch.problems.clear()
