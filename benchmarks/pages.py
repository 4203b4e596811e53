"""The first view of the site's pages: seconds until something is painted, until all is there, and bytes on the wire.

    python benchmarks/pages.py [--views 9]

A browser that has seen nothing opens each page of a server that is warm. Needs Chromium.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.table import Table

from embedhub.config import DEFAULT_MODEL, settings
from embedhub.models import find_model
from hub import USER, Bench
from measure import HERE, run_job, write_csv
from report import Target, write_report

CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")

ROWS = 5_000
NAME = f"{USER}/sentences"
PAGES = {
    "home": "/",
    "playground": "/playground",
    "new dataset": "/new",
    "datasets": "/datasets",
    "dataset": f"/datasets/{NAME}",
    "rows": f"/datasets/{NAME}/rows",
    "map": f"/datasets/{NAME}/map",
    "model": f"/{DEFAULT_MODEL}",
}

SECONDS = 0.5
KILOBYTES = 100

TIMES = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const [painted] = performance.getEntriesByName("first-contentful-paint");
  const parts = performance.getEntriesByType("resource").filter(({ name }) => !name.includes("/api/"));
  const bytes = [page, ...parts].reduce((sum, { transferSize }) => sum + transferSize, 0);
  return { painted: painted?.startTime / 1000, complete: page.loadEventEnd / 1000, bytes };
}"""


@dataclass(frozen=True)
class Views:
    """Of one page: medians of seconds, and bytes without what is data."""

    painted: float
    complete: float
    kilobytes: float


def view(browser: Browser, url: str) -> dict[str, float]:
    """Open a page with nothing kept from before."""
    with browser.new_context(viewport={"width": 1280, "height": 860}) as context:
        page = context.new_page()
        answer = page.goto(url, wait_until="load")
        if answer is None or not answer.ok:
            raise RuntimeError(f"{url} is no page: {answer and answer.status}")
        page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length")
        found: dict[str, float] = page.evaluate(TIMES)
        return found


def measure(browser: Browser, url: str, times: int) -> Views:
    """A page opened so often; once before that, unmeasured, as a server that runs has been asked before."""
    view(browser, url)
    found = [view(browser, url) for _ in range(times)]
    painted, complete, size = (
        statistics.median(each[name] for each in found) for name in ("painted", "complete", "bytes")
    )
    return Views(painted, complete, size / 1000)


def host(bench: Bench, folder: Path) -> None:
    """A dataset to look at."""
    model = find_model(DEFAULT_MODEL, settings=settings())
    run_job(write_csv(folder, "short", ROWS), folder / "made", "f32", model.folder)
    command = [sys.executable, "-m", "embedhub", "push", str(folder / "made"), NAME]
    known = {"HF_ENDPOINT": bench.server.url, "HF_TOKEN": bench.token, "HF_HOME": str(folder / "hf")}
    subprocess.run(command, check=True, env=os.environ | known, stdout=subprocess.DEVNULL)


def show(console: Console, found: dict[str, Views], targets: list[Target]) -> None:
    """A table of pages, and one of targets."""
    table = Table("page", "painted, ms", "complete, ms", "kB")
    for name, views in found.items():
        table.add_row(name, f"{views.painted * 1000:.0f}", f"{views.complete * 1000:.0f}", f"{views.kilobytes:.0f}")
    console.print(table)
    for target in targets:
        console.print(f"{target.name}: {target.measured:.2f}, at most {target.bound:g}: {target.verdict}", markup=False)


def main() -> None:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(description="Measure the first view of the site's pages.")
    parser.add_argument("--views", type=int, default=9, help="Views of each page.")
    words = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch))
        try:
            host(bench, Path(scratch))
            with sync_playwright() as driver, driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser:
                found = {name: measure(browser, bench.server.url + path, words.views) for name, path in PAGES.items()}
        finally:
            bench.server.close()
    targets = [
        Target("slowest page complete, s", SECONDS, False, max(views.complete for views in found.values())),
        Target("heaviest page, kB", KILOBYTES, False, max(views.kilobytes for views in found.values())),
    ]
    show(console, found, targets)
    figures: dict[str, Any] = {name: asdict(views) for name, views in found.items()}
    console.print(f"written to {write_report(HERE / 'results', 'pages', {'pages': figures})}", markup=False)


if __name__ == "__main__":
    main()
