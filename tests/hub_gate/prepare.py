"""Brings together what the gate runs: the libraries' own tests, what their archives lack, environments to run them in.

The tests are Apache-2.0 and are never part of this repository: they come from the source archive of the exact version,
held to its checksum, and live in a folder that git ignores. What the archives lack (conftest, constants, fixtures) was
written for this gate and lies in `laid/`. Knows the package index, through pip; starts no server and no tests.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

from tests.hub_gate.suites import HERE, ROOT, WORKSHOP, Library

LAID = {
    "current": {"fixtures.py": "conftest.py", "constants.py": "testing_constants.py"},
    "older": {"fixtures.py": "conftest.py", "constants.py": "testing_constants.py"},
    "datasets_library": {
        "fixtures.py": "conftest.py",
        "constants.py": "fixtures/hub.py",
        "requirements.py": "utils.py",
    },
}
"""For each folder of `laid/`: a file there, and its place among the tests."""

INI = "[pytest]\naddopts = --strict-markers -p gate_network -p gate_choice\nmarkers =\n"
MARKERS = [
    "api",
    "transfer",
    "inference",
    "xet",
    "no_xet",
    "production",
    "deprecated",
    "git_lfs",
    "vcr",
    "asyncio",
    "unit",
    "integration",
]


class PrepareError(Exception):
    """Something could not be fetched or does not have the checksum it should have."""


def prepare(library: Library) -> None:
    """Make a library's tests ready to run; quick where they are already.

    Raises:
        PrepareError: the archive is not to be had, or is another one; or an environment cannot be made.
    """
    if not (library.folder / "tests").is_dir():
        _unpack(_archive(library), library)
    _lay(library)
    _environment(library)


def _archive(library: Library) -> Path:
    archive = WORKSHOP / "archives" / f"{library.name}-{library.version}.tar.gz"
    if not archive.is_file():
        wanted = f"{library.name}=={library.version}"
        _pip(sys.executable, "download", "--no-deps", "--no-binary", ":all:", "--dest", str(archive.parent), wanted)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != library.sha256:
        raise PrepareError(f"{archive} has sha256 {found}, not {library.sha256}: remove it and run again")
    return archive


def _unpack(archive: Path, library: Library) -> None:
    passing = library.folder.with_suffix(".unpacking")
    shutil.rmtree(passing, ignore_errors=True)
    with tarfile.open(archive) as opened:
        opened.extractall(passing, filter="data")
    shutil.rmtree(library.folder, ignore_errors=True)
    (passing / library.folder.name).rename(library.folder)
    passing.rmdir()
    # What is tested is what the environment has, installed as a user has it.
    shutil.rmtree(library.folder / "src")


def _lay(library: Library) -> None:
    tests = library.folder / "tests"
    for source, place in LAID[library.laid].items():
        target = tests / place
        target.parent.mkdir(exist_ok=True)
        (target.parent / "__init__.py").touch()
        shutil.copyfile(HERE / "laid" / library.laid / source, target)
    (tests / "__init__.py").touch()
    (library.folder / "pytest.ini").write_text(INI + "".join(f"    {marker}\n" for marker in MARKERS))


def _environment(library: Library) -> None:
    folder = ROOT / library.environment
    stamp, wanted = folder / "installed", "\n".join(library.requirements)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    venv.create(folder, with_pip=True, clear=True)
    _pip(str(library.python), "install", *library.requirements)
    stamp.write_text(wanted)


def _pip(python: str, *words: str) -> None:
    command = [python, "-m", "pip", *words, "--quiet", "--disable-pip-version-check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise PrepareError(f"pip {' '.join(words)} failed: {result.stderr.strip()}")
