"""The codes: find what exact search finds, survive damage, and are made once."""

import errno
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from embedhub.errors import SettingError, StorageFullError
from embedhub.search import SCORES, CodedIndex, ExactIndex, RowBlock, metric_named, open_coded, top_k
from embedhub.search.coded import CODES, FIGURES, QUERIES_TOGETHER, ROWS, VECTORS, Coded, rank_bounds
from embedhub.search.exact import Block
from embedhub.search.sealed import SEAL

SMALL = np.random.default_rng(0).normal(size=(600, 16)).astype(np.float32)

BUILD = """
import sys
from pathlib import Path
import numpy as np
from embedhub.search import open_coded
vectors = np.random.default_rng(0).normal(size=(600, 16)).astype(np.float32)
index = open_coded(Path(sys.argv[1]), lambda: [(np.arange(600), vectors)], fingerprint="one")
print(index.search(vectors[:5], 1).rows[:, 0].tolist())
"""


def source_of(matrix: NDArray[np.float32]) -> Callable[[], list[RowBlock]]:
    return lambda: [(np.arange(len(matrix)), matrix)]


def open_small(folder: Path, **changes: Any) -> CodedIndex:
    arguments: dict[str, Any] = {"source": source_of(SMALL), "fingerprint": "one"}
    return open_coded(folder, **arguments | changes)


def clustered(rows: int, dimensions: int, tightness: float = 0.7) -> NDArray[np.float32]:
    """Rows around 200 centres, as texts are around topics."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(200, dimensions))
    noise = tightness * random.normal(size=(rows, dimensions))
    return (centres[random.integers(200, size=rows)] + noise).astype(np.float32)


def same_as_exact(index: CodedIndex, queries: NDArray[np.float32], corpus: NDArray[np.float32], score: str) -> None:
    exact = top_k(queries, corpus, 10, score)
    for number, query in enumerate(queries):
        found = index.search(query, 10)
        np.testing.assert_array_equal(found.rows[0], exact.rows[number])
        np.testing.assert_array_equal(found.scores[0], exact.scores[number])


@pytest.mark.parametrize("score", sorted(SCORES))
@pytest.mark.parametrize(("tightness", "unevenness"), [(0.7, 0.0), (0.7, 1.0), (0.01, 0.5), (5.0, 3.0)])
def test_hits_are_those_of_exact_search(score: str, tightness: float, unevenness: float, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    vectors = clustered(40_010, 24, tightness)
    corpus = vectors[10:] * np.exp(unevenness * random.normal(size=(40_000, 1))).astype(np.float32)
    # By a centre, between two, and far from all.
    queries = np.vstack([vectors[:10], vectors[:5] + vectors[5:10], random.normal(size=(5, 24))]).astype(np.float32)
    same_as_exact(open_coded(tmp_path / "i", source_of(corpus), fingerprint="one", score=score), queries, corpus, score)


@pytest.mark.parametrize("score", sorted(SCORES))
def test_equal_rows_come_by_number_and_lone_outliers_take_nothing_away(score: str, tmp_path: Path) -> None:
    corpus = np.tile(SMALL[:50], (20, 1))
    corpus[3], corpus[4] = 1e18, 0
    corpus[:, 0] += np.float32(1e-7) * np.arange(1000, dtype=np.float32)
    index = open_coded(tmp_path / "i", source_of(corpus), fingerprint="one", score=score)
    same_as_exact(index, np.vstack([SMALL[:8], np.zeros((1, 16), np.float32), SMALL[:2] * 1e-20]), corpus, score)


@pytest.mark.parametrize("score", sorted(SCORES))
def test_no_rank_lies_outside_its_bounds(score: str) -> None:
    random = np.random.default_rng(2)
    metric = metric_named(score)
    for size in (1e-35, 1e-12, 1.0, 1e15):
        vectors = (size * random.standard_cauchy((500, 32))).astype(np.float32)
        vectors[0], vectors[1, 5:] = 0, 0
        for query in vectors[:20]:
            lowest, highest = rank_bounds(Coded.of(query[None, :]), Coded.of(vectors), metric)
            ranks = metric.pair_ranks(query, vectors)
            assert (lowest <= ranks).all()
            assert (ranks <= highest).all()
    # And they are of use: most of them are close.
    vectors = random.normal(size=(500, 384)).astype(np.float32)
    lowest, highest = rank_bounds(Coded.of(vectors[:1]), Coded.of(vectors), metric_named("cosine"))
    assert np.median(highest - lowest) < 0.05


def test_many_queries_at_once_have_the_hits_of_each(tmp_path: Path) -> None:
    index = open_small(tmp_path / "i")
    together = index.search(SMALL[:QUERIES_TOGETHER], 7)
    for number, query in enumerate(SMALL[:QUERIES_TOGETHER]):
        alone = index.search(query, 7)
        np.testing.assert_array_equal(together.rows[number], alone.rows[0])
        np.testing.assert_array_equal(together.scores[number], alone.scores[0])


def test_one_folder_serves_every_score(tmp_path: Path) -> None:
    calls: list[str] = []

    def source() -> Iterator[RowBlock]:
        calls.append("made")
        yield np.arange(600), SMALL

    for score in sorted(SCORES):
        index = open_small(tmp_path / "i", source=source, score=score)
        same_as_exact(index, SMALL[:5], SMALL, score)
    assert calls == ["made"]


def test_it_is_built_once_and_rebuilt_for_other_data(tmp_path: Path) -> None:
    calls: list[str] = []

    def source() -> Iterator[RowBlock]:
        calls.append("built")
        yield np.arange(600), SMALL

    for fingerprint, times in (("one", 1), ("one", 1), ("two", 2)):
        open_small(tmp_path / "i", source=source, fingerprint=fingerprint)
        assert len(calls) == times


def test_null_rows_are_left_out_and_numbers_kept(tmp_path: Path) -> None:
    corpus = SMALL.copy()
    corpus[::2] = np.nan
    index = open_small(tmp_path / "i", source=source_of(corpus))
    assert len(index) == 300
    found = index.search(SMALL[1:200:2], 1)
    assert found.rows[:, 0].tolist() == list(range(1, 200, 2))


def test_more_hits_wanted_than_rows_and_nearly_all(tmp_path: Path) -> None:
    index = open_small(tmp_path / "i")
    for k in (1, 250, 599, 600, 1000):
        expected = top_k(SMALL[:2], SMALL, k)
        found = index.search(SMALL[:2], k)
        assert found.rows.shape == expected.rows.shape
        if k >= 250:
            np.testing.assert_array_equal(found.rows, expected.rows)


@pytest.mark.parametrize("corpus", [np.empty((0, 4)), np.full((3, 4), np.nan)])
def test_nothing_to_find(corpus: NDArray[np.float32], tmp_path: Path) -> None:
    blocks = [(np.arange(len(corpus)), corpus)]
    for _ in range(2):
        index = open_coded(tmp_path / "i", lambda: blocks, fingerprint="one")
        assert index.search(np.ones((2, 4)), 5).rows.shape == (2, 0)


@pytest.mark.parametrize("score", sorted(SCORES))
def test_zero_and_huge_vectors(score: str, tmp_path: Path) -> None:
    corpus = np.vstack([np.zeros((2, 16), np.float32), SMALL, SMALL[:3] * 1e9])
    index = open_small(tmp_path / "i", source=source_of(corpus), score=score)
    for query in (np.zeros(16), SMALL[0] * 1e9, SMALL[0]):
        assert np.isfinite(index.search(query, 5).scores).all()


@pytest.mark.parametrize("score", sorted(SCORES))
@pytest.mark.parametrize("factor", [1e-8, 1e5, 1e12])
def test_the_length_of_a_query_takes_nothing_away(score: str, factor: float, tmp_path: Path) -> None:
    queries = SMALL[:5] * np.float32(factor)
    found = open_small(tmp_path / "i", score=score).search(queries, 5)
    np.testing.assert_array_equal(found.rows, top_k(queries, SMALL, 5, score).rows)


@pytest.mark.parametrize("name", [CODES, FIGURES, VECTORS, ROWS, SEAL])
def test_a_damaged_index_is_built_again(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "i"
    expected = open_small(folder).search(SMALL[:5], 3)
    size = (folder / name).stat().st_size
    random = np.random.default_rng(2)
    for round_number, place in enumerate(np.unique(np.linspace(0, size - 1, 12).astype(int)).tolist()):
        # Damage within the clock tick in which the seal was made would keep the change time.
        time.sleep(0.01)
        with (folder / name).open("r+b") as stream:
            if round_number % 3 == 0:
                stream.truncate(place)
            elif round_number % 3 == 1:
                stream.seek(place)
                byte = stream.read(1)[0]
                stream.seek(place)
                stream.write(bytes([byte ^ (1 << (place % 8))]))
            else:
                stream.write(random.bytes(size))
        found = open_small(folder).search(SMALL[:5], 3)
        np.testing.assert_array_equal(found.rows, expected.rows)
        np.testing.assert_array_equal(found.scores, expected.scores)


def test_an_open_index_outlives_its_replacement(tmp_path: Path) -> None:
    index = open_small(tmp_path / "i")
    expected = index.search(SMALL[:5], 3)
    open_small(tmp_path / "i", source=source_of(SMALL[::-1]), fingerprint="two")
    np.testing.assert_array_equal(index.search(SMALL[:5], 3).rows, expected.rows)


def test_progress_counts_every_row(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    corpus = np.random.default_rng(0).normal(size=(9000, 4)).astype(np.float32)
    told = partial(open_small, tmp_path / "i", progress=lambda done, total: seen.append((done, total)))
    told(source=source_of(corpus), in_all=9000)
    assert seen == [(8192, 9000), (9000, 9000)]


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    def full() -> Iterator[RowBlock]:
        yield np.arange(10), SMALL[:10]
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageFullError, match="no space left"):
        open_small(tmp_path / "i", source=full)
    assert [file.name for file in tmp_path.iterdir()] == ["i.lock"]


def test_what_cannot_be_built_is_refused(tmp_path: Path) -> None:
    uneven = [(np.arange(1), np.ones((1, 3))), (np.arange(1), np.ones((1, 4)))]
    with pytest.raises(SettingError, match="of 3 and of 4"):
        open_coded(tmp_path / "i", lambda: uneven, fingerprint="one")
    with pytest.raises(SettingError, match="cosine"):
        open_small(tmp_path / "i", score="cos")
    with pytest.raises(SettingError, match="3 dimensions, the rows 16"):
        open_small(tmp_path / "i").search(np.ones(3))


def test_two_processes_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUILD, str(tmp_path / "i")]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [worker.communicate()[0].strip() for worker in workers] == ["[0, 1, 2, 3, 4]"] * 2
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["i", "i.lock"]


@pytest.mark.parametrize("score", sorted(SCORES))
def test_among_some_rows_the_answer_is_exact(score: str, tmp_path: Path) -> None:
    index = open_small(tmp_path / score, score=score)
    among = np.array([3, 17, 18, 200, 599, 7_000])
    found = index.search(SMALL[:4], 10, among)
    exact = ExactIndex([Block.of(among[:5], SMALL[among[:5]])], score).search(SMALL[:4], 10)
    np.testing.assert_array_equal(found.rows, exact.rows)
    np.testing.assert_array_equal(found.scores, exact.scores)
    assert index.search(SMALL[:4], 10, among[:0]).rows.shape == (4, 0)
