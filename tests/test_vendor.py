"""Scripts by others: the tarballs alone are fetched, and whatever is not what was agreed on is refused."""

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from web.vendor import Part, VendorError, lay

from web import vendor

SCRIPT = b"export default 1;\n"
OTHER = b"export default 2;\n"

Prepare = Callable[..., tuple[Part, ...]]


def tarball(path: Path, files: dict[str, bytes]) -> str:
    """Write a package as npm packs it; gives its integrity."""
    with tarfile.open(path, "w:gz") as made:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    return "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """An npm that has the packages `@us/first` and `other`, and the parts that are made of them."""

    def made(*, script: bytes = SCRIPT, integrity: str = "", licence: bool = True) -> tuple[Part, ...]:
        packed = tmp_path / "packed"
        packed.mkdir()
        licences = {"LICENSE": b"ours\n"} if licence else {}
        integrities = {
            "@us/first": integrity or tarball(packed / "us-first-1.0.0.tgz", {"dist/a.js": script} | licences),
            "other": tarball(packed / "other-1.0.0.tgz", {"b.js": OTHER} | licences),
        }
        monkeypatch.setattr(vendor, "locked", lambda package: ("1.0.0", integrities[package]))
        npm = tmp_path / "bin" / "npm"
        npm.parent.mkdir()
        npm.write_text(
            '#!/bin/sh\nname=$(echo "$2" | sed "s/^@//; s/[@/]/-/g").tgz\n'
            f'echo "$2" >> {tmp_path}/asked\ncp "{packed}/$name" "$4/" && echo "$name"\n'
        )
        npm.chmod(0o755)
        monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}{os.environ['PATH']}")
        return (
            Part("first", "@us/first", {"dist/a.js": hashlib.sha256(SCRIPT).hexdigest()}),
            Part("other", "other", {"b.js": hashlib.sha256(OTHER).hexdigest()}, tmp_path / "ours.txt"),
        )

    return made


def test_a_part_is_laid_compressed_with_its_licences(prepare: Prepare, tmp_path: Path) -> None:
    parts = prepare()
    (tmp_path / "ours.txt").write_text("MIT\n")
    (tmp_path / "vendor" / "first-0.9.0").mkdir(parents=True)
    places = [tmp_path / "vendor" / "first-1.0.0", tmp_path / "vendor" / "other-1.0.0"]
    assert lay(tmp_path / "vendor", parts) == places
    found = [{path.name: path.read_bytes() for path in place.iterdir()} for place in places]
    assert found[0] == {"a.js.gz": gzip.compress(SCRIPT, 9, mtime=0), "LICENSE.txt": b"ours\n"}
    assert found[1] == {"b.js.gz": gzip.compress(OTHER, 9, mtime=0), "LICENSE.txt": b"MIT\n"}
    # An older version is gone, and what is there is not fetched again.
    assert sorted((tmp_path / "vendor").iterdir()) == places
    assert lay(tmp_path / "vendor", parts) == []
    assert (tmp_path / "asked").read_text().split() == ["@us/first@1.0.0", "other@1.0.0"]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ({"script": b"steal();\n"}, "has the sha256"),
        ({"integrity": "sha512-AAAA"}, "npm could not bring"),
        ({"licence": False}, "has no file LICENSE"),
    ],
)
def test_what_was_not_agreed_on_is_refused(
    prepare: Prepare, tmp_path: Path, what: dict[str, object], told: str
) -> None:
    parts = prepare(**what)
    with pytest.raises(VendorError, match=told):
        lay(tmp_path / "vendor", parts)
    assert list((tmp_path / "vendor").iterdir()) == []


def test_another_tarball_than_the_locked_one_is_refused(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = prepare()
    monkeypatch.setattr(vendor, "locked", lambda package: ("1.0.0", "sha512-AAAA"))
    with pytest.raises(VendorError, match="not what the lock file says"):
        lay(tmp_path / "vendor", parts)


def test_a_missing_npm_is_told(prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = prepare()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VendorError, match="npm is missing"):
        lay(tmp_path / "vendor", parts)


def test_the_lock_file_has_the_pinned_versions_and_no_addresses() -> None:
    lock = (vendor.HERE / "package-lock.json").read_text()
    assert "://" not in lock
    pinned = json.loads((vendor.HERE / "package.json").read_text())["dependencies"]
    taken = {part.package for part in vendor.PARTS}
    assert taken == set(pinned)
    for package, version in pinned.items():
        assert vendor.locked(package)[0] == version
        assert vendor.locked(package)[1].startswith("sha512-")
