"""What the pages about serving show is run: Python and curl against a server, JavaScript where Node is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.server.test_javascript import PROGRAMS
from tests.test_docs import ROOT, blocks

SERVING = sorted((ROOT / "docs" / "serving").glob("*.md"))
ADDRESS = "http://localhost:8080"


def snippets(language: str) -> list[object]:
    """Every block of that language on the pages about serving that asks a server."""
    return [
        pytest.param(code, id=f"{page.stem}-{number}")
        for page in SERVING
        for number, code in enumerate(blocks(page, language), 1)
        if ADDRESS in code
    ]


def run(command: list[str], folder: Path, **environment: str) -> str:
    """What it prints; it must end well."""
    result = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def check_comments(code: str, printed: str) -> None:
    """A comment behind a line that prints shows what it prints."""
    for shown in re.findall(r"^(?:print|console\.log)\(.*\);?\s+(?:#|//) (.+)$", code, re.MULTILINE):
        assert shown in printed.splitlines(), f"{shown!r} is not what is printed:\n{printed}"


def test_every_page_of_an_api_shows_how_in_each_language() -> None:
    for page in SERVING:
        if page.name in {"README.md", "observing.md"}:
            continue
        for language in ("python", "sh"):
            assert any(ADDRESS in code for code in blocks(page, language)), f"{page.name} has no {language}"


@pytest.mark.parametrize("code", snippets("python"))
def test_python(code: str, server: str, tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    script.write_text(code.replace(ADDRESS, server))
    check_comments(code, run([sys.executable, str(script)], tmp_path))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("code", snippets("sh"))
def test_curl(code: str, server: str, tmp_path: Path) -> None:
    # By itself curl takes an error's status for a success.
    (tmp_path / ".curlrc").write_text("fail\nsilent\nshow-error\n")
    printed = run(["bash", "-euc", code.replace(ADDRESS, server)], tmp_path, CURL_HOME=str(tmp_path))
    assert printed


@pytest.mark.clients
@pytest.mark.parametrize("code", snippets("javascript"))
def test_javascript(code: str, server: str, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(PROGRAMS / "node_modules")
    script = tmp_path / "snippet.mjs"
    script.write_text(code.replace(ADDRESS, server))
    check_comments(code, run(["node", str(script)], tmp_path, HF_TOKEN="hf_not_a_real_token"))
