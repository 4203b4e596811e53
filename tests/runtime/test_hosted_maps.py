"""Maps of hosted datasets: made once, kept whole, and UMAP in a process of its own."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.test_hosted import WORDS, files_of

from embedhub.config import Settings
from embedhub.datasets import read_dataset
from embedhub.errors import ColumnError, ComputationError, DatasetNotFoundError, MissingExtraError, SettingError
from embedhub.hub.derived import Derived
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository
from embedhub.runtime import hosted_maps as module
from embedhub.runtime.apart import Apart
from embedhub.runtime.hosted_maps import HostedMaps, MapFile
from embedhub.search.projection import fitted_to_square, principal_plane

Of = tuple[Repository, str]

# What stands in for umap-learn in the process: it takes the vectors' first two numbers.
WORKS = "class UMAP:\n    def __init__(self, **_): pass\n    def fit_transform(self, vectors): return vectors[:, :2]\n"
BREAKS = WORKS.replace("return vectors[:, :2]", "raise ValueError('too few neighbours')")


@pytest.fixture
def hub(offline: Settings) -> Iterator[Hub]:
    made = Hub(offline.home)
    yield made
    made.close()


@pytest.fixture
def maps(hub: Hub) -> Iterator[HostedMaps]:
    apart = Apart()
    made = HostedMaps(Derived(hub, 1 << 30), apart)
    yield made
    made.close()
    apart.close()


@pytest.fixture
def of(hub: Hub, tmp_path: Path) -> Of:
    return host(hub, files_of(tmp_path / "a", [*WORDS, *(f"word {number}" for number in range(20))]))


def host(hub: Hub, files: dict[str, bytes]) -> Of:
    made = hub.create(hub.actor("alice", "admin"), Kind.DATASET, "alice/a", files=files)
    with hub.open(made) as git:
        return made, git.resolve("main")


def points_of(shown: MapFile) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    numbers = np.fromfile(shown.path, "<f4", 2 * shown.head["points"], offset=shown.begins)
    return numbers.reshape(2, -1).T


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """A module `umap` for this process and its children."""
    folder.mkdir()
    (folder / "umap.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    source = Path(module.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{source}")


def test_every_row_has_its_place_in_the_plane(maps: HostedMaps, of: Of) -> None:
    shown = maps.pca(*of)
    vectors = maps.stored(*of).vectors().matrix
    plane = principal_plane(vectors)
    assert shown.head == {
        "method": "pca",
        "points": 25,
        "rows": 25,
        "sampled": False,
        "share": pytest.approx(plane.share, abs=1e-4),
    }
    np.testing.assert_allclose(points_of(shown), fitted_to_square(plane.points(vectors)), atol=1e-6)
    assert shown.begins % 4 == 0


def test_a_map_is_made_once_and_again_where_it_broke(maps: HostedMaps, of: Of) -> None:
    shown = maps.pca(*of)
    written = shown.path.stat().st_mtime_ns
    assert maps.pca(*of) == shown
    assert shown.path.stat().st_mtime_ns == written
    whole = shown.path.read_bytes()
    shown.path.write_bytes(b"EMAP\xff\xff\xff\xff")
    assert maps.pca(*of) == shown
    assert shown.path.read_bytes() == whole


def test_many_ask_for_one_at_once(maps: HostedMaps, of: Of) -> None:
    found: list[MapFile] = []
    threads = [threading.Thread(target=lambda: found.append(maps.pca(*of))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(each == found[0] for each in found)


def test_of_many_rows_a_sample_is_shown(maps: HostedMaps, of: Of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.MOST_POINTS, "pca", 10)
    shown = maps.pca(*of)
    assert (shown.head["points"], shown.head["rows"], shown.head["sampled"]) == (10, 25, True)
    rows = shown.rows()
    assert sorted(set(rows.tolist())) == rows.tolist()
    told = maps.texts(*of, rows.tolist())
    assert maps.column(*of, shown, "words")["codes"] is not None
    assert [each["row"] for each in told] == rows.tolist()
    vectors = maps.stored(*of).vectors().matrix[rows]
    np.testing.assert_allclose(points_of(shown), fitted_to_square(principal_plane(vectors).points(vectors)), atol=1e-6)


def test_colours_and_texts(maps: HostedMaps, of: Of) -> None:
    shown = maps.pca(*of)
    told = maps.column(*of, shown, "words")
    assert (told["kind"], len(told["codes"]), told["others"]) == ("category", 25, 25 - len(told["labels"]))
    assert maps.column(*of, shown, "words") == told
    with pytest.raises(ColumnError, match="no column 'year'"):
        maps.column(*of, shown, "year")
    assert maps.texts(*of, [2, 0]) == [{"row": 2, "text": "three"}, {"row": 0, "text": "one"}]
    with pytest.raises(SettingError, match="there is no row 25"):
        maps.texts(*of, [25])


def test_what_is_not_embedded_has_no_map(maps: HostedMaps, hub: Hub) -> None:
    of = host(hub, {"a.csv": b"words\none\n"})
    with pytest.raises(DatasetNotFoundError, match="alice/a"):
        maps.pca(*of)
    with pytest.raises(SettingError, match="one of pca, umap"):
        maps.map(*of, "tsne")


def test_umap_is_computed_behind_everybodys_back(
    maps: HostedMaps, of: Of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path / "fake", WORKS)
    shown = waited_for(maps, of)
    vectors = maps.stored(*of).vectors().matrix
    expected = fitted_to_square(vectors[:, :2].astype(np.float64))
    assert np.abs(points_of(shown) - expected).max() < 1e-6
    assert shown.head["share"] is None
    assert read_dataset(maps.stored(*of).path).row_count == 25


def test_it_is_said_why_umap_failed_and_tried_again(
    maps: HostedMaps, of: Of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path / "fake", BREAKS)
    with pytest.raises(ComputationError, match="too few neighbours"):
        waited_for(maps, of)
    (tmp_path / "fake" / "umap.py").write_text(WORKS)
    assert waited_for(maps, of).head["points"] == 25


def test_without_umap_it_is_said_how_it_comes(maps: HostedMaps, of: Of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_umap", lambda: False)
    with pytest.raises(MissingExtraError, match=r"embedhub\[map\]"):
        maps.umap(*of)


def test_the_process_ends_with_the_server(
    maps: HostedMaps, of: Of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path / "fake", "import time\ntime.sleep(60)\n")
    assert maps.umap(*of) is None
    began = time.monotonic()
    while maps._process is None:
        assert time.monotonic() - began < 30
        time.sleep(0.01)
    process = maps._process
    maps.close()
    assert process.wait(timeout=10) != 0


def waited_for(maps: HostedMaps, of: Of) -> MapFile:
    end = time.monotonic() + 60
    while (found := maps.umap(*of)) is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    return found
