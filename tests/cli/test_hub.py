"""`embedhub hub`: what is printed, and the exit status."""

import json
from pathlib import Path

from tests.cli.test_people import run
from tests.hub.hosted import age, filled, hub_of, send


def test_a_hub_is_checked_cleaned_and_copied(tmp_path: Path) -> None:
    assert run(tmp_path, "hub", "backup", "copy", status=8).stderr.startswith(b"error: there is nothing to copy")
    hub = hub_of(tmp_path / "home")
    repository = filled(hub)
    hub.holdings.unlink(repository.uuid, [send(hub, repository, b"nobody's")])
    result = run(tmp_path, "hub", "check", "--deep")
    assert b"clean: 1 repositories; `embedhub hub gc`" in result.stderr
    assert result.stdout == b"leftover: large files: 1 belong to no repository\n"
    age(hub.root)
    told = run(tmp_path, "hub", "gc", "--dry-run")
    assert b"large files" in told.stdout
    assert b"nothing was removed" in told.stderr
    assert json.loads(run(tmp_path, "hub", "gc", "--json").stdout)["large_file_bytes"] == 8
    assert json.loads(run(tmp_path, "hub", "backup", "copy", "--json").stdout)["repositories"] == 1
    (hub.repositories.folder(repository) / "HEAD").unlink()
    found = json.loads(run(tmp_path, "hub", "check", "--json", status=8).stdout)
    assert not found["clean"]
    assert found["findings"][0]["where"] == "dataset alice/data"
    hub.close()
