"""The store: a model is there whole or not at all, whatever happens while it is installed."""

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from embedhub.config import Settings
from embedhub.errors import ModelError, ModelIntegrityError, ModelNotFoundError, StorageFullError
from embedhub.models import ModelStore, find_model, installed_models, remove_model

ID = "acme/tiny"


def install(settings: Settings, folder: Path, revision: str = "1.0") -> Path:
    """Put a model into the store; returns its folder."""

    def fill(place: Path) -> None:
        shutil.copytree(folder, place, dirs_exist_ok=True)

    return ModelStore(settings.home).install(ID, revision, fill).folder


def visible(settings: Settings) -> list[str]:
    """What lies in the store, its lock apart."""
    return sorted(path.name for path in (settings.home / "models").iterdir() if path.name != ".lock")


def test_an_installed_model_is_found(offline: Settings, tiny_folder: Path) -> None:
    folder = install(offline, tiny_folder)

    spec = find_model(ID, settings=offline)

    assert (spec.source, spec.revision, spec.folder) == ("store", "1.0", folder)
    assert spec.weights_sha256 == spec.expected_sha256
    assert visible(offline) == ["acme--tiny"]
    assert find_model(f"{ID}@1.0", settings=offline) == spec
    with pytest.raises(ModelNotFoundError, match="store"):
        find_model(f"{ID}@2.0", settings=offline)


def test_the_newest_revision_is_found_and_each_can_be_named(offline: Settings, tiny_folder: Path) -> None:
    os.utime(install(offline, tiny_folder, "2.0"), (1, 1))
    install(offline, tiny_folder, "1.0")

    assert find_model(ID, settings=offline).revision == "1.0"
    assert find_model(f"{ID}@2.0", settings=offline).revision == "2.0"
    assert remove_model(f"{ID}@1.0", settings=offline) == 1
    assert [spec.revision for spec in installed_models(offline)] == ["2.0"]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "1_Pooling/config.json"])
def test_a_file_that_was_changed_names_the_fix(offline: Settings, tiny_folder: Path, name: str) -> None:
    path = install(offline, tiny_folder) / name
    content = path.read_bytes()
    # As long as before, and JSON that was JSON stays valid.
    is_json = name.endswith(".json")
    path.write_bytes(content.replace(b" ", b"\t", 1) if is_json else content[:-1] + bytes([content[-1] ^ 1]))

    with pytest.raises(ModelIntegrityError, match=r"remove acme/tiny` and `embedhub models pull acme/tiny`"):
        _ = find_model(ID, settings=offline).weights_sha256
    assert remove_model(ID, settings=offline) == 1
    assert visible(offline) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "[" * 100_000, '{"revision": "1.0", "weights_sha256": 3}'])
def test_a_damaged_manifest_is_told_left_out_of_the_list_and_removable(
    offline: Settings, tiny_folder: Path, content: str
) -> None:
    (install(offline, tiny_folder) / "embedhub.json").write_text(content)

    with pytest.raises(ModelIntegrityError, match=r"embedhub.json is damaged; run `embedhub models remove acme/tiny`"):
        find_model(ID, settings=offline)
    assert installed_models(offline) == []
    assert remove_model(ID, settings=offline) == 1
    assert visible(offline) == []


def test_a_model_without_a_manifest_is_none(offline: Settings, tiny_folder: Path) -> None:
    (install(offline, tiny_folder) / "embedhub.json").unlink()

    assert installed_models(offline) == []
    with pytest.raises(ModelNotFoundError, match="store"):
        find_model(ID, settings=offline)
    assert install(offline, tiny_folder).is_dir()
    assert find_model(ID, settings=offline).source == "store"


def test_a_full_disk_leaves_nothing(offline: Settings, tiny_folder: Path) -> None:
    def fill(place: Path) -> None:
        shutil.copytree(tiny_folder, place, dirs_exist_ok=True)
        (place / "more").symlink_to("/dev/full")
        (place / "more").write_bytes(b"a byte that has no place")

    with pytest.raises(StorageFullError, match=r"no space left under .*; free some and pull again"):
        ModelStore(offline.home).install(ID, "1.0", fill)

    assert visible(offline) == []


def test_a_failure_leaves_nothing(offline: Settings, tiny_folder: Path) -> None:
    def fill(place: Path) -> None:
        shutil.copy(tiny_folder / "config.json", place)

    with pytest.raises(ModelIntegrityError, match="no weights"):
        ModelStore(offline.home).install(ID, "1.0", fill)

    assert visible(offline) == []


def test_what_a_dead_process_left_is_cleaned_up(offline: Settings, tiny_folder: Path) -> None:
    leftover = offline.home / "models" / ".incoming-dead"
    shutil.copytree(tiny_folder, leftover)
    assert installed_models(offline) == []

    install(offline, tiny_folder)

    assert visible(offline) == ["acme--tiny"]


def test_of_two_at_once_one_fills_and_the_other_waits(offline: Settings, tiny_folder: Path) -> None:
    filled: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def fill(place: Path) -> None:
        filled.append(threading.current_thread().name)
        begun.set()
        assert go_on.wait(10)
        shutil.copytree(tiny_folder, place, dirs_exist_ok=True)

    found: list[Path] = []

    def run() -> None:
        found.append(ModelStore(offline.home).install(ID, "1.0", fill).folder)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    assert found == []
    go_on.set()
    for thread in threads:
        thread.join(10)

    assert len(filled) == 1
    assert found == [offline.home / "models" / "acme--tiny" / "1.0"] * 2


def test_a_home_that_cannot_be_written_is_one_line(offline: Settings, tiny_folder: Path) -> None:
    offline.home.write_text("a file where the folder should be")

    with pytest.raises(ModelError, match=r"Not a directory|File exists"):
        install(offline, tiny_folder)


def test_remove_does_not_follow_a_link_out_of_the_store(offline: Settings, tiny_folder: Path, tmp_path: Path) -> None:
    stored = install(offline, tiny_folder).parent
    elsewhere = stored.rename(tmp_path / "elsewhere")
    stored.symlink_to(elsewhere)
    assert find_model(ID, settings=offline).source == "store"

    assert remove_model(ID, settings=offline) == 1

    assert visible(offline) == []
    assert (elsewhere / "1.0" / "model.safetensors").is_file()


def test_a_store_of_an_older_version_is_read(offline: Settings, tiny_folder: Path) -> None:
    """Its manifests list no files."""
    manifest = install(offline, tiny_folder) / "embedhub.json"
    content = json.loads(manifest.read_text())
    del content["files"]
    manifest.write_text(json.dumps(content))

    assert find_model(ID, settings=offline).weights_sha256 == content["weights_sha256"]
