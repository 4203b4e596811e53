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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
VENDOR = HERE.parent / "src" / "embedhub" / "server" / "web" / "static" / "vendor"

_NPM_SECONDS = 600


class VendorError(Exception):
    """The scripts cannot be had, in a line that says why."""


def _as_it_is(content: bytes) -> bytes:
    return content


def _as_module(content: bytes) -> bytes:
    """A script of the older kind, which gives its value to whatever `module` it finds."""
    before, after = (
        b"const module = { exports: {} }, exports = module.exports;\n",
        b"\nexport default module.exports;\n",
    )
    return before + content + after


def _beside(*packages: str) -> Callable[[bytes], bytes]:
    """A module that imports packages by name, which browsers look up nowhere: they lie beside it."""

    def changed(content: bytes) -> bytes:
        for package in packages:
            before, after = f"from '{package}';".encode(), f"from './{package}.js';".encode()
            if content.count(before) != 1:
                raise VendorError(f"the import of {package} is not where it was; vendor.py has to be told anew")
            content = content.replace(before, after)
        return content

    return changed


@dataclass(frozen=True)
class File:
    """One file of a package.

    Attributes:
        path: in the tarball, below `package/`.
        sha256: of the file as its makers made it.
        package: as npm calls it.
        name: what it is called here; without, as there.
        change: what has to be done so that a browser takes it.
    """

    path: str
    sha256: str
    package: str
    name: str = ""
    change: Callable[[bytes], bytes] = _as_it_is


@dataclass(frozen=True)
class Part:
    """A folder of the site: `name-version`, with the version of the package of its first file."""

    name: str
    files: tuple[File, ...]
    licences: Mapping[str, Path] = field(default_factory=dict)


PARTS = (
    Part(
        "transformers",
        (
            File(
                "dist/transformers.min.js",
                "8d6716d9086f57c30a4bf367dba61b887593573c770c454465e8019b2703e743",
                "@huggingface/transformers",
            ),
        ),
    ),
    Part(
        "onnxruntime-web",
        (
            File(
                "dist/ort-wasm-simd-threaded.mjs",
                "c57ca56328877353a575e51bbca6f18450027d6c9bf2307a2cb2c41363b4de9f",
                "onnxruntime-web",
            ),
            File(
                "dist/ort-wasm-simd-threaded.wasm",
                "06ba057753da3847e4c24f02d91ab133455b0817c69a44993a9a53a2146df9e3",
                "onnxruntime-web",
            ),
        ),
        # The tarball has none.
        {"onnxruntime-web": HERE / "licences" / "onnxruntime-web.txt"},
    ),
    Part(
        "regl-scatterplot",
        (
            File(
                "dist/regl-scatterplot.esm.js",
                "9d82f4040bda4a17413ec5d4228a1b54cf196060d441c9ab59abfb64f1b2e748",
                "regl-scatterplot",
                "regl-scatterplot.js",
                _beside("pub-sub-es", "regl"),
            ),
            File(
                "dist/index.js",
                "e20326a1c08a60c1a299a309594a3cb4b9ccf35bc9ab6c0d267864d76018b4fc",
                "pub-sub-es",
                "pub-sub-es.js",
            ),
            File(
                "dist/regl.min.js",
                "6d14aa47e560de0d0f0d37ec7b4868274245125a6de4022010e9c0fdcc5a4b62",
                "regl",
                "regl.js",
                _as_module,
            ),
        ),
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
    wanted = {f"{part.name}-{locked(part.files[0].package)[0]}": part for part in parts}
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
    for package in dict.fromkeys(file.package for file in part.files):
        with tarfile.open(_fetched(package, scratch)) as tarball:
            for file in part.files:
                if file.package == package:
                    content = _checked(tarball, file)
                    name = file.name or Path(file.path).name
                    # Without a time, so that the same files are the same bytes.
                    (whole / f"{name}.gz").write_bytes(gzip.compress(file.change(content), 9, mtime=0))
            licence = part.licences.get(package)
            text = licence.read_bytes() if licence else _member(tarball, package, "LICENSE")
        (whole / f"LICENSE-{package.rpartition('/')[2]}.txt").write_bytes(text)


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


def _checked(tarball: tarfile.TarFile, file: File) -> bytes:
    content = _member(tarball, file.package, file.path)
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise VendorError(f"{file.package}: {file.path} has the sha256 {found}, not {file.sha256}")
    return content


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
        sys.exit(f"{error}. The site works without; only embedding in the browser and the map need it.")
