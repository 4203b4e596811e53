"""Fetches the scripts by others that the site runs, and lays them into the package: `make web`.

python web/vendor.py

Knows which files of which npm packages are needed, and their checksums. Refuses to install or run anything of them:
of each package the tarball alone is fetched, in the version of package.json and with the integrity of the lock file.
"""

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
VENDOR = HERE.parent / "src" / "embedhub" / "server" / "web" / "static" / "vendor"

_NPM_SECONDS = 600


class VendorError(Exception):
    """The scripts cannot be had, in a line that says why."""


@dataclass(frozen=True)
class Part:
    """What the site takes of a package, which lies in the folder `name-version`.

    Attributes:
        name: of the folder.
        package: as npm calls it.
        files: sha256 by path in the tarball, below `package/`.
        licence: its text, where the tarball has none.
    """

    name: str
    package: str
    files: Mapping[str, str]
    licence: Path | None = None


PARTS = (
    Part(
        "transformers",
        "@huggingface/transformers",
        {"dist/transformers.min.js": "8d6716d9086f57c30a4bf367dba61b887593573c770c454465e8019b2703e743"},
    ),
    Part(
        "onnxruntime-web",
        "onnxruntime-web",
        {
            "dist/ort-wasm-simd-threaded.mjs": "c57ca56328877353a575e51bbca6f18450027d6c9bf2307a2cb2c41363b4de9f",
            "dist/ort-wasm-simd-threaded.wasm": "06ba057753da3847e4c24f02d91ab133455b0817c69a44993a9a53a2146df9e3",
        },
        HERE / "licences" / "onnxruntime-web.txt",
    ),
)


def locked(package: str, lock: Path = HERE / "package-lock.json") -> tuple[str, str]:
    """Version and integrity of a package, as the lock file has them."""
    found = json.loads(lock.read_text(encoding="utf-8"))["packages"][f"node_modules/{package}"]
    return found["version"], found["integrity"]


def lay(folder: Path = VENDOR, parts: tuple[Part, ...] = PARTS) -> list[Path]:
    """Have every part in the folder and nothing else; what is there already is not fetched again.

    Returns:
        The folders that are new.

    Raises:
        VendorError: npm is missing or fails, or what it brought is not what the lock file or this file says.
    """
    wanted = {f"{part.name}-{locked(part.package)[0]}": part for part in parts}
    folder.mkdir(parents=True, exist_ok=True)
    for each in folder.iterdir():
        if each.name not in wanted:
            shutil.rmtree(each)
    made = []
    for name, part in wanted.items():
        place = folder / name
        if not place.is_dir():
            with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder) as scratch:
                _fill(part, Path(scratch))
                (Path(scratch) / "whole").rename(place)
            made.append(place)
    return made


def _fill(part: Part, scratch: Path) -> None:
    """Write a part's files into the folder `whole`, compressed as they are sent."""
    whole = scratch / "whole"
    whole.mkdir()
    with tarfile.open(_fetched(part.package, scratch)) as tarball:
        for path, sha256 in part.files.items():
            content = _member(tarball, part.package, path)
            found = hashlib.sha256(content).hexdigest()
            if found != sha256:
                raise VendorError(f"{part.package}: {path} has the sha256 {found}, not {sha256}")
            # Without a time, so that the same files are the same bytes.
            (whole / f"{Path(path).name}.gz").write_bytes(gzip.compress(content, 9, mtime=0))
        text = part.licence.read_bytes() if part.licence else _member(tarball, part.package, "LICENSE")
    (whole / "LICENSE.txt").write_bytes(text)


def _fetched(package: str, folder: Path) -> Path:
    """The tarball of a package, with the integrity that the lock file states."""
    version, integrity = locked(package)
    command = ["npm", "pack", f"{package}@{version}", "--pack-destination", str(folder), "--ignore-scripts", "--silent"]
    try:
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=_NPM_SECONDS, check=True)
    except FileNotFoundError as error:
        raise VendorError("npm is missing; for example: apt-get install npm") from error
    except subprocess.TimeoutExpired as error:
        raise VendorError(f"npm did not bring {package} within {_NPM_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        reason = next(iter(error.stderr.strip().splitlines()), f"exit status {error.returncode}")
        raise VendorError(f"npm could not bring {package}@{version}: {reason}") from error
    tarball = folder / done.stdout.split()[-1]
    kind, _, expected = integrity.partition("-")
    with tarball.open("rb") as file:
        found = base64.b64encode(hashlib.file_digest(file, kind).digest()).decode()
    if found != expected:
        raise VendorError(f"{package}@{version} is not what the lock file says: {kind} is {found}, not {expected}")
    return tarball


def _member(tarball: tarfile.TarFile, package: str, path: str) -> bytes:
    try:
        member = tarball.extractfile(f"package/{path}")
    except KeyError:
        member = None
    if member is None:
        raise VendorError(f"{package} has no file {path}")
    return member.read()


if __name__ == "__main__":
    try:
        for place in lay():
            size = sum(path.stat().st_size for path in place.iterdir())
            print(f"{size / 1e6:6.2f} MB  {place.name}")
    except VendorError as error:
        sys.exit(f"{error}. The site works without; only embedding in the browser needs it.")
