"""What the other tests of pages stand on: a page that does what it must not is noticed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
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
def test_misdeeds_are_noticed(browser_page: "Page", watch: Watch, deed: str, noticed: str) -> None:
    browser_page.goto("/")
    assert watch.problems == []
    # The browser may say the same in words of its own.
    watch.expect(".")
    browser_page.evaluate(f"() => {{ {deed} }}")
    seen(browser_page, watch, noticed)


def test_a_request_elsewhere_is_noticed(browser_page: "Page", watch: Watch) -> None:
    browser_page.goto("/")
    watch.expect("another origin")
    # A link leads where a page may not reach.
    browser_page.evaluate("() => { window.open('http://127.0.0.1:9/') }")
    seen(browser_page, watch, "another origin: http://127.0.0.1:9/")


def seen(page: "Page", watch: Watch, problem: str) -> None:
    """Wait until it was."""
    for _ in range(100):
        if any(problem in each for each in watch.met):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{problem} was not noticed: {watch.met}")
