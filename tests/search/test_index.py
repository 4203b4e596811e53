"""The choice of an index: in memory below the threshold, coded above, read again where no codes can be kept."""

import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from embedhub.errors import SettingError
from embedhub.search import EXACT_ROWS, CodedIndex, ExactIndex, RowBlock, open_index, top_k

CORPUS = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)


def source() -> Iterator[RowBlock]:
    for start in range(0, 500, 100):
        yield np.arange(start, start + 100), CORPUS[start : start + 100]


@pytest.mark.parametrize(("threshold", "kind"), [(EXACT_ROWS, ExactIndex), (500, ExactIndex), (499, CodedIndex)])
def test_the_number_of_rows_decides(threshold: int, kind: type, tmp_path: Path) -> None:
    index = open_index(source, rows=500, folder=tmp_path / "kept", fingerprint="one", threshold=threshold)
    assert isinstance(index, kind)
    found, expected = index.search(CORPUS[:9], 4), top_k(CORPUS[:9], CORPUS, 4)
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_an_exact_index_writes_nothing(tmp_path: Path) -> None:
    open_index(source, rows=500, folder=tmp_path / "kept", fingerprint="one")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_where_no_codes_can_be_kept_every_row_is_read(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr("embedhub.search.sealed.Path.mkdir", refuse)
    index = open_index(source, rows=500, folder=tmp_path / "kept", fingerprint="one", threshold=10)
    assert isinstance(index, ExactIndex)
    assert "without an index" in caplog.text
    for _ in range(2):
        assert index.search(CORPUS[:9], 1).rows[:, 0].tolist() == list(range(9))


def test_a_miss_lists_what_exists(tmp_path: Path) -> None:
    for threshold in (10, 1000):
        with pytest.raises(SettingError, match="cosine, dot, euclidean"):
            open_index(
                source,
                rows=500,
                folder=tmp_path,
                fingerprint="one",
                score="cos",
                threshold=threshold,
            )
