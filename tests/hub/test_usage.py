"""What was used a day: counted once, by several, and not for ever."""

from pathlib import Path

import pytest

from embedhub.errors import HubDatabaseError
from embedhub.hub.usage import Usage


def test_what_is_added_is_there_afterwards_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    assert Usage(path).read("2026-11-30") == {}
    assert not path.exists()
    assert Usage(path).add("2026-11-30", {"token 1": 5, "address ::1": 2}) == {"token 1": 5, "address ::1": 2}
    assert Usage(path).add("2026-11-30", {"token 1": 7}) == {"token 1": 12, "address ::1": 2}
    assert Usage(path).add("2026-12-01", {"token 1": 1}) == {"token 1": 1}
    assert Usage(path).read("2026-11-30") == {"token 1": 12, "address ::1": 2}


def test_days_long_past_go(tmp_path: Path) -> None:
    usage = Usage(tmp_path / "hub.sqlite")
    usage.add("2026-01-01", {"token 1": 5})
    usage.add("2026-12-01", {"token 1": 5})
    assert usage.read("2026-01-01") == {}


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    path.write_bytes(b"nothing of the kind" * 300)
    with pytest.raises(HubDatabaseError, match="damaged"):
        Usage(path).add("2026-12-01", {"token 1": 5})
