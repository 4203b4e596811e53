"""UMAP on the map's page: computed while PCA is shown, and what is said where umap-learn is missing."""

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.server.hub.place import Place, open_place
from tests.web.conftest import OpenPage
from tests.web.embedded import TOPICS, clustered

from embedhub import Model
from embedhub.config import DEFAULT_MODEL, settings
from embedhub.search.projection import has_umap

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.web

ROWS = 600
ADDRESS = "/datasets/alice/few/map"
API = "/api/datasets/alice/few"


def upload(site: Place, folder: Path, model: Model) -> None:
    api = site.api("alice")
    made = clustered(folder / "made", ROWS, model)
    api.create_repo("alice/few", repo_type="dataset")
    api.upload_folder(repo_id="alice/few", repo_type="dataset", folder_path=made, ignore_patterns=".embedhub/*")


def opened(page: "Page") -> "Page":
    page.goto(ADDRESS)
    page.locator("#map[data-ready]").wait_for()
    return page


def agreement(places: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> float:
    """The share of points whose nearest one is of the same topic."""
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    topics = np.arange(ROWS) * 7 % len(TOPICS)
    return float((topics[apart.argmin(axis=1)] == topics).mean())


@pytest.mark.skipif(not has_umap(), reason="umap-learn is missing: pip install 'embedhub[map]'")
def test_umap_is_computed_while_pca_is_shown(
    site: Place, browser_page: "Page", default_model: Model, tmp_path: Path
) -> None:
    upload(site, tmp_path, default_model)
    page = opened(browser_page)
    state = page.locator("#state")
    assert "hold" in state.inner_text()
    page.select_option("#colour", "topic")
    page.get_by_label("UMAP").check()
    state.filter(has_text="being computed").wait_for()
    # umap-learn is compiled when it first runs.
    state.filter(has_text="Texts that mean alike lie together").wait_for(timeout=180_000)
    body = site.http().get(f"{API}/map", params={"method": "umap"}).content
    length = struct.unpack_from("<I", body, 4)[0]
    assert json.loads(body[8 : 8 + length])["method"] == "umap"
    places = np.frombuffer(body, "<f4", 2 * ROWS, 8 + length).reshape(2, -1).T
    assert agreement(places) > 0.95
    # Who comes back finds it made.
    again = opened(page)
    again.get_by_label("UMAP").check()
    again.locator("#state").filter(has_text="Texts that mean alike lie together").wait_for()


def test_without_umap_it_says_so(tmp_path: Path, open_page: OpenPage, default_model: Model) -> None:
    # Whatever is installed here, that server does not find it.
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text("import sys\nsys.modules['umap'] = None\n")
    (tmp_path / "place").mkdir()
    store = settings().home / "models"
    with open_place(tmp_path / "place", Path(DEFAULT_MODEL), store, PYTHONPATH=str(tmp_path / "hidden")) as place:
        upload(place, tmp_path, default_model)
        page = opened(open_page(place.server.address))
        assert page.get_by_text("UMAP is not installed on this server").is_visible()
        assert page.get_by_label("UMAP").is_disabled()
        answer = place.http().get(f"{API}/map", params={"method": "umap"})
        assert (answer.status_code, answer.headers["x-error-code"]) == (501, "missing_extra")
