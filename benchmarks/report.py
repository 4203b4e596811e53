"""What a run leaves behind: targets with their verdicts, the machine it ran on, and a JSON file of it all."""

import json
import platform
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("embedhub", "openvino", "sentence-transformers", "torch", "fastembed", "onnxruntime")


@dataclass(frozen=True)
class Target:
    """What must hold; `measured` is None where this machine cannot tell."""

    name: str
    bound: float
    at_least: bool
    measured: float | None

    @property
    def verdict(self) -> str:
        """Holds, fails, or not measured."""
        if self.measured is None:
            return "not measured"
        held = self.measured >= self.bound if self.at_least else self.measured <= self.bound
        return "holds" if held else "FAILS"


def cpu_name() -> str:
    """The CPU's model name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def versions() -> dict[str, str]:
    """Versions of what was compared."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def write_report(folder: Path, kind: str, figures: dict[str, Any]) -> Path:
    """Write the figures with the machine's facts; returns the file.

    Args:
        folder: where results are kept.
        kind: stands in the file's name after the date; may be empty.
        figures: anything that JSON holds.
    """
    now, cpu = datetime.now(UTC), cpu_name()
    facts = {
        "date": now.isoformat(timespec="seconds"),
        "cpu": cpu,
        "python": platform.python_version(),
        "versions": versions(),
    }
    short_name = re.sub(r"[^a-z0-9]+", "-", cpu.lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "-".join(part for part in (f"{now:%Y-%m-%d}", kind, f"{short_name}.json") if part)
    file.write_text(json.dumps(facts | figures, indent=1) + "\n")
    return file
