"""What the documents say is true: commands exist, settings are listed, Python examples run, links lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from embedhub.cli.app import app
from embedhub.config import table
from embedhub.models import SOURCES

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, *languages: str) -> list[str]:
    """The code blocks of a page in those languages."""
    return [code for language, code in FENCE.findall(page.read_text(encoding="utf-8")) if language in languages]


def commands() -> list[tuple[str, str]]:
    """Every line of the documents that calls embedhub or make, with the page's name."""
    found = []
    for page in PAGES:
        for block in blocks(page, "sh", "console"):
            for line in block.splitlines():
                words = line.removeprefix("$ ").partition(" # ")[0].strip()
                for command in re.split(r"\s[|;]\s|&&", words):
                    called = re.sub(r"^(\w+=\S+ )+", "", command.strip())
                    if called.startswith(("embedhub ", "make ")):
                        found.append((page.name, called))
    return found


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 15


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_commands_are_real(page: str, command: str) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
        return
    # Reading the line goes wrong before the command runs, and --help stops it from running.
    result = CliRunner().invoke(app, [*words[1:], "--help"])
    assert result.exit_code == 0, result.output
    options = [word.partition("=")[0] for word in words if word.startswith("-") and word != "-"]
    for option in options:
        assert re.search(rf"(^|[\s│]){re.escape(option)}(\s|$)", result.stdout), f"{option} is not an option"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_setting_is_documented_as_it_is() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", text, re.MULTILINE)
    assert documented == [(setting.metadata["env"], setting.metadata["help"]) for setting in table()]


def test_every_setting_is_read() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py") if path.name != "config.py")
    for setting in table():
        # Some are read through a property that combines them.
        combined = {
            "token": "hub_token",
            "hf_home": "model_cache",
            "hf_cache": "model_cache",
            "tiktoken_cache": "vocabularies",
        }
        name = combined.get(setting.name, setting.name)
        assert re.search(rf"\.{name}\b", sources), f"nobody reads {setting.name}"


def test_nobody_else_reads_the_environment() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        # quiet_hub.py writes into it, for a library that reads it.
        if path.name not in ("config.py", "quiet_hub.py"):
            # What stands behind a quote is a snippet for somebody else's program.
            assert not re.search(r"^[^'\"\n]*os\.(environ|getenv)", path.read_text(), re.MULTILINE), path


def test_python_examples_run(tmp_path: Path, default_model: object) -> None:
    del default_model  # asked for so that it has been fetched
    embed = [sys.executable, "-m", "embedhub", "embed", str(ROOT / "examples" / "medicare_faq.txt"), "-o", "faq"]
    subprocess.run(embed, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    examples = [code for name in ("README.md", "docs/getting-started.md") for code in blocks(ROOT / name, "python")]
    assert len(examples) >= 3
    for number, code in enumerate(examples):
        script = tmp_path / f"example_{number}.py"
        script.write_text(code)
        result = subprocess.run(
            [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False
        )
        assert result.returncode == 0, f"{code}\n{result.stderr}"


def test_the_demo_prints_what_the_readme_shows(tmp_path: Path, default_model: object) -> None:
    del default_model
    demo = [sys.executable, str(ROOT / "examples" / "demo.py"), str(tmp_path / "demo")]
    printed = subprocess.run(demo, capture_output=True, text=True, timeout=90, check=True).stdout
    shown = blocks(ROOT / "README.md", "console")[0]
    hit = re.compile(r"^(0\.\d{4})  +(\d+)  (.+)$", re.MULTILINE)
    told, wanted = hit.findall(printed), hit.findall(shown)
    assert [row for _, row, _ in told] == ["8", "7", "3", "9", "10"]
    assert [text for *_, text in told] == [text for *_, text in wanted]
    for (score, *_), (expected, *_) in zip(told, wanted, strict=True):
        assert float(score) == pytest.approx(float(expected), abs=2e-3)
    steps = re.compile(r"^ +\d+\.\d\d s  (.+)$", re.MULTILINE)
    assert [step.split()[0] for step in steps.findall(printed)] == [step.split()[0] for step in steps.findall(shown)]


def test_no_placeholder_is_left() -> None:
    for page in PAGES:
        assert not re.search(r"[A-Z]+_TABLES?\b|TODO|FIXME", page.read_text(encoding="utf-8")), page.name


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_file_of_the_house_is_on_the_map() -> None:
    text = (ROOT / "docs" / "rooms.md").read_text(encoding="utf-8")
    house = ROOT / "src" / "embedhub"
    for path in house.rglob("*.py"):
        if path.name not in {"__init__.py"} and path.parent.name not in {"graphs", "backends", "readers"}:
            assert path.name in text, f"docs/rooms.md does not mention {path.relative_to(house)}"


def test_sources_are_documented_in_order() -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8").lower()
    names = {
        "local": "folder",
        "store": "embedhub_home",
        "hosted": "own hub",
        "cache": "hugging face cache",
        "hub": "hf_endpoint",
        "wheel": "package",
    }
    assert list(SOURCES) == list(names)
    places = [text.index(word) for word in names.values()]
    assert all(place >= 0 for place in places)
