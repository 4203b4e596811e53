"""A server with the real model, and Chromium looking at it.

`site` hosts for the people of `tests.server.hub.place`, `open_site` belongs to whoever sits at it. `browser_page` is a
page nobody signed in on, `signed_in("alice")` gives one of somebody's; both fail their test when the page does what a
page must not (`watching.py`). `picture(page, "name")` keeps what a page looks like in docs/pictures if
EMBEDHUB_PICTURES is 1.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from tests.server.hub.place import Place, open_place
from tests.server.processes import Running, running
from tests.web.watching import Watch, inaccessible

from embedhub.config import DEFAULT_MODEL, settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = "/usr/bin/chromium"

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # WebGL without a graphics card.
    "--enable-unsafe-swiftshader",
]

_PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
_WIDE, _PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}

OpenPage = Callable[..., "Page"]
SignIn = Callable[..., "Page"]
Picture = Callable[..., None]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, default_model: object) -> Iterator[Place]:
    """A server that hosts, where anybody may read; each test makes repositories of its own."""
    del default_model  # asked for so that it has been fetched
    folder = tmp_path_factory.mktemp("site")
    with open_place(folder, Path(DEFAULT_MODEL), settings().home / "models") as made:
        yield made


@pytest.fixture(scope="session")
def open_site(tmp_path_factory: pytest.TempPathFactory, default_model: object) -> Iterator[Running]:
    """A server without tokens, as it is after the installation."""
    del default_model
    folder = tmp_path_factory.mktemp("open")
    (folder / "home").mkdir()
    (folder / "home" / "models").symlink_to(settings().home / "models")
    with running(folder, Path(DEFAULT_MODEL)) as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        yield found
        found.close()


@pytest.fixture
def watches() -> Iterator[dict[str, Watch]]:
    """By origin what is watched in a test; problems nobody expected fail it at its end."""
    found: dict[str, Watch] = {}
    yield found
    problems = [problem for watch in found.values() for problem in watch.problems]
    assert not problems, "\n".join(problems)


@pytest.fixture
def watch(site: Place, watches: dict[str, Watch]) -> Watch:
    """Of pages of `site`; `watch.expect("status of 404")` for a test that provokes a problem."""
    return watches.setdefault(site.server.address, Watch(site.server.address))


@pytest.fixture
def open_page(browser: "Browser", watches: dict[str, Watch]) -> Iterator[OpenPage]:
    """`open_page(address, phone=…, dark=…)`: a watched page in a browser of its own, with no address opened yet."""
    with ExitStack() as stack:

        def make(address: str, *, phone: bool = False, dark: bool = False, scripts: bool = True) -> "Page":
            context = browser.new_context(
                base_url=address,
                viewport=_PHONE if phone else _WIDE,  # type: ignore[arg-type]
                color_scheme="dark" if dark else "light",
                java_script_enabled=scripts,
                has_touch=phone,
                # Colours that are on their way would be seen half way.
                reduced_motion="reduce",
            )
            stack.callback(context.close)
            context.grant_permissions(["clipboard-read", "clipboard-write"])
            page = context.new_page()
            page.set_default_timeout(15_000)
            watches.setdefault(address, Watch(address)).over(page)
            return page

        yield make


@pytest.fixture
def browser_page(site: Place, open_page: OpenPage) -> "Page":
    """A page of `site` that nobody signed in on."""
    return open_page(site.server.address)


@pytest.fixture
def signed_in(site: Place, open_page: OpenPage) -> SignIn:
    """`signed_in("alice", phone=…, dark=…)`: a page of `site` on which somebody is signed in."""

    def make(user: str = "alice", **looks: bool) -> "Page":
        page = open_page(site.server.address, **looks)
        answer = page.request.post("/login", form={"token": site.tokens[user], "next": "/"}, max_redirects=0)
        assert answer.status == 303, answer.text()
        return page

    return make


@pytest.fixture
def picture() -> Picture:
    """`picture(page, "home")`: keep what it looks like, where that is asked for."""

    def take(page: "Page", name: str) -> None:
        if os.environ.get("EMBEDHUB_PICTURES") == "1":
            _PICTURES.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=_PICTURES / f"{name}.png")

    return take


@pytest.fixture
def check_accessible() -> Callable[["Page"], None]:
    """`check_accessible(page)`: axe-core finds nothing serious, in the light and in the dark."""

    def check(page: "Page") -> None:
        schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
        for scheme in schemes:
            # Without motion: colours on their way from light to dark are neither.
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            assert not (found := inaccessible(page)), f"{scheme}:\n" + "\n".join(found)

    return check
