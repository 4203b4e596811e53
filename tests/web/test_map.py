"""The map of a dataset in a browser: 20,000 points hovered, surrounded, coloured, searched and reached by keys."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.server.hub.place import Place
from tests.web.conftest import OpenPage, Picture
from tests.web.embedded import TOPICS, clustered

from embedhub import Model

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.web

ROWS = 20_000
ADDRESS = "/datasets/alice/clusters/map"
API = "/api/datasets/alice/clusters"

# Of the shorter side of the picture, that the points take when all are shown.
FILLED = 0.92


@dataclass
class Shown:
    """The points as the API gives them, and where they are on a page."""

    places: "np.ndarray[tuple[int, int], np.dtype[np.float32]]"

    def on(self, marks: "Locator") -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
        """Each point in pixels of the window, when all are shown."""
        marks.scroll_into_view_if_needed()
        box = marks.bounding_box()
        assert box is not None
        pixels = FILLED * min(box["width"], box["height"]) / 2
        middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
        return middle + self.places * [pixels, -pixels]


def topic_of(row: int) -> str:
    return TOPICS[row * 7 % len(TOPICS)]


@pytest.fixture(scope="module")
def shown(site: Place, tmp_path_factory: pytest.TempPathFactory, default_model: Model) -> Shown:
    api = site.api("alice")
    folder = clustered(tmp_path_factory.mktemp("clusters") / "made", ROWS, default_model)
    api.create_repo("alice/clusters", repo_type="dataset")
    api.upload_folder(repo_id="alice/clusters", repo_type="dataset", folder_path=folder, ignore_patterns=".embedhub/*")
    body = site.http().get(f"{API}/map").content
    length = struct.unpack_from("<I", body, 4)[0]
    head = json.loads(body[8 : 8 + length])
    assert (body[:4], head["points"], head["sampled"]) == (b"EMAP", ROWS, False)
    return Shown(np.frombuffer(body, "<f4", 2 * ROWS, 8 + length).reshape(2, -1).T)


@pytest.fixture
def page(browser_page: "Page", shown: Shown) -> "Page":
    """The page with the map drawn."""
    del shown
    browser_page.goto(ADDRESS)
    browser_page.locator("#map[data-ready]").wait_for()
    return browser_page


def lonely(places: "np.ndarray[tuple[int, int], np.dtype[np.float64]]", low: float = -230, high: float = 230) -> int:
    """A point that no other is near to, so many pixels to the right of the middle and below it."""
    away = places - (places.min(axis=0) + places.max(axis=0)) / 2
    inner = np.flatnonzero(((away > low) & (away < high)).all(axis=1))
    nearest = [np.sort(np.hypot(*(places - places[row]).T))[1] for row in inner[:2000]]
    return int(inner[int(np.argmax(nearest))])


def surround(page: "Page", left: float, top: float, right: float, bottom: float) -> None:
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(x, y, steps=5)
    page.mouse.up()


def bright_pixels(page: "Page") -> int:
    """Pixels of the canvas on which something is drawn."""
    return int(
        page.evaluate(
            """async () => {
              const found = document.querySelector("#points");
              const copy = new OffscreenCanvas(found.width, found.height).getContext("2d");
              await new Promise((resolve) => requestAnimationFrame(() => {
                // A drawing is gone after its frame: it is read in the one in which it is made, behind it.
                document.querySelector("#reset").click();
                requestAnimationFrame(() => { copy.drawImage(found, 0, 0); resolve(); });
              }));
              const { data } = copy.getImageData(0, 0, found.width, found.height);
              let count = 0;
              for (let at = 3; at < data.length; at += 4) count += data[at] > 20;
              return count;
            }"""
        )
    )


def test_a_point_tells_its_text(page: "Page", shown: Shown) -> None:
    assert "20,000 rows" in page.locator("#state").inner_text()
    places = shown.on(page.locator("#marks"))
    row = lonely(places)
    page.mouse.move(*places[row])
    tip = page.locator("#tip")
    tip.filter(has_text=f"row {row}").wait_for()
    assert f"{topic_of(row)} number {row}" in tip.inner_text()
    page.mouse.click(*places[row])
    page.locator(".find").first.wait_for()
    assert page.locator(".find").all_inner_texts() == [f"{topic_of(row)} number {row}"]
    page.mouse.move(5, 5)
    tip.wait_for(state="hidden")


def test_a_line_around_points_lists_them(page: "Page", shown: Shown, picture: Picture) -> None:
    page.select_option("#colour", "topic")
    page.locator(".legend button").first.wait_for()
    page.locator("label", has_text="Lasso").click()
    places = shown.on(page.locator("#marks"))
    middle = np.median(places[[row for row in range(ROWS) if topic_of(row) == "planet"]], axis=0)
    left, top = middle - 40
    right, bottom = middle + 40
    surround(page, left, top, right, bottom)
    told = page.locator("#told")
    told.filter(has_text="rows are selected").wait_for()
    inside = np.flatnonzero(((places > [left, top]) & (places < [right, bottom])).all(axis=1))
    count = int(told.inner_text().split()[0].replace(",", ""))
    # The line is as fine as the pixels of a mouse.
    assert abs(count - len(inside)) <= max(4, 0.03 * len(inside))
    page.locator(".find").first.wait_for()
    assert page.locator(".find").first.inner_text() == f"{topic_of(inside[0])} number {inside[0]}"
    assert page.locator(".find").count() == 50
    page.mouse.move(5, 5)
    page.set_viewport_size({"width": 1100, "height": 720})
    picture(page, "map")
    page.get_by_role("button", name="Show more").click()
    page.locator(".find").nth(99).wait_for()
    page.get_by_role("button", name="End the selection").click()
    assert page.locator(".find").count() == 0


def test_colours_have_a_legend(page: "Page", check_accessible: Callable[["Page"], None]) -> None:
    page.select_option("#colour", "topic")
    labels = page.locator(".legend button")
    labels.first.wait_for()
    assert labels.all_inner_texts() == [*sorted(TOPICS, key=lambda each: (-_count(each), each))[:8], "4 others"]
    labels.first.click()
    assert page.locator(".legend [aria-pressed=true]").inner_text() == labels.first.inner_text()
    check_accessible(page)
    page.locator(".legend [aria-pressed=true]").click()
    assert not page.locator(".legend [aria-pressed=true]").count()
    page.select_option("#colour", "year")
    page.locator(".scale").wait_for()
    assert page.locator(".scale").inner_text().split() == ["1950", "2019"]


def test_a_search_lights_up_its_hits(page: "Page", shown: Shown, site: Place) -> None:
    page.get_by_role("searchbox").press_sequentially("planet number")
    page.locator(".hits li").nth(49).wait_for()
    found = site.http().post(f"{API}/search", json={"query": "planet number", "top_k": 50}).json()["hits"]
    assert page.locator(".find").first.inner_text() == found[0]["text"]
    # By keys, from the search to the best hit, which is then ringed where it lies.
    before = marks_at(page, shown, found[0]["row"])
    page.locator(".find").first.focus()
    assert marks_at(page, shown, found[0]["row"]) > 0
    assert before > 0
    page.get_by_role("searchbox").fill("")
    page.locator(".find").first.wait_for(state="detached")
    page.wait_for_timeout(100)
    assert marks_at(page, shown, found[0]["row"]) == 0


def marks_at(page: "Page", shown: Shown, row: int) -> int:
    """Pixels around a point on which a ring is drawn."""
    marks = page.locator("#marks")
    box = marks.bounding_box()
    assert box is not None
    x, y = shown.on(marks)[row] - [box["x"], box["y"]]
    page.wait_for_timeout(80)
    return int(
        page.evaluate(
            """([x, y]) => {
              const { data } = document.querySelector("#marks").getContext("2d").getImageData(x - 14, y - 14, 28, 28);
              return data.filter((byte, at) => at % 4 === 3 && byte > 60).length;
            }""",
            [float(x), float(y)],
        )
    )


def test_keys_and_the_wheel_move_it(page: "Page", shown: Shown) -> None:
    places = shown.on(page.locator("#marks"))
    row = lonely(places, -20, 170)
    marks = page.locator("#marks")
    marks.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    page.mouse.move(*(places[row] - [120, 60]))
    page.locator("#tip").filter(has_text=f"row {row}").wait_for()
    page.keyboard.press("0")
    # What lies under the mouse stays there.
    page.mouse.move(*places[row])
    page.mouse.wheel(0, -300)
    page.mouse.move(*(places[row] + [1, 0]))
    page.locator("#tip").filter(has_text=f"row {row}").wait_for()
    page.keyboard.press("0")
    page.mouse.move(*places[row])
    page.mouse.down()
    page.mouse.move(*(places[row] + [50, 30]), steps=4)
    page.mouse.up()
    page.mouse.move(5, 5)
    page.mouse.move(*(places[row] + [50, 30]))
    page.locator("#tip").filter(has_text=f"row {row}").wait_for()


def test_two_fingers_zoom_and_one_chooses(open_page: OpenPage, site: Place, shown: Shown) -> None:
    phone = open_page(site.server.address, phone=True)
    phone.goto(ADDRESS)
    phone.locator("#map[data-ready]").wait_for()
    marks = phone.locator("#marks")
    places = shown.on(marks)
    box = marks.bounding_box()
    assert box is not None
    middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    fingers = phone.context.new_cdp_session(phone)

    def touch(kind: str, *at: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> None:
        points = [{"x": float(x), "y": float(y), "id": number} for number, (x, y) in enumerate(at)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    apart = np.array([20.0, 0.0])
    touch("touchStart", middle - apart, middle + apart)
    for step in range(1, 7):
        touch("touchMove", middle - apart * (1 + step / 2), middle + apart * (1 + step / 2))
    touch("touchEnd")
    # Four times as far apart as at first, about what was between them: so is what is seen.
    seen = middle + 4 * (places - middle)
    row = lonely(seen, -120, 120)
    phone.touchscreen.tap(*seen[row])
    phone.locator(".find").first.wait_for()
    assert phone.locator(".find").all_inner_texts() == [f"{topic_of(row)} number {row}"]
    # The page itself was neither zoomed nor scrolled by them.
    assert phone.evaluate("() => window.visualViewport.scale") == 1


def test_points_are_drawn_with_webgl_and_without(page: "Page", open_page: OpenPage, site: Place, shown: Shown) -> None:
    assert page.evaluate("() => document.querySelector('#points').getContext('2d') === null")
    drawn = bright_pixels(page)
    assert drawn > 20_000
    plain = open_page(site.server.address)
    plain.add_init_script(
        """const own = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
          return kind.startsWith("webgl") ? null : own.call(this, kind, ...more);
        };"""
    )
    plain.goto(ADDRESS)
    plain.locator("#map[data-ready]").wait_for()
    assert bright_pixels(plain) == pytest.approx(drawn, rel=0.5)
    places = shown.on(plain.locator("#marks"))
    row = lonely(places)
    plain.mouse.move(*places[row])
    plain.locator("#tip").filter(has_text=f"{topic_of(row)} number {row}").wait_for()


def test_the_map_is_accessible_and_quick(page: "Page", check_accessible: Callable[["Page"], None]) -> None:
    check_accessible(page)
    sent = page.evaluate(
        "() => performance.getEntriesByType('resource').filter((each) => !each.name.includes('/api/'))"
        ".reduce((sum, each) => sum + each.transferSize, 0)"
    )
    assert 0 < sent < 100_000


def _count(topic: str) -> int:
    return sum(topic_of(row) == topic for row in range(ROWS))
