"""The page about datasets knows every format there is."""

from pathlib import Path

import pytest

from embedhub.datasets import EXPORT_FORMATS, FORMATS

_PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"


@pytest.mark.parametrize("name", [*FORMATS, *EXPORT_FORMATS])
def test_formats_are_documented(name: str) -> None:
    rows = [line.split("|")[1] for line in _PAGE.read_text().splitlines() if line.startswith("| ")]
    assert any(name in row.replace(",", " ").split() for row in rows)
