"""Whether the memory of a csv job grows with the rows: `embedhub embed` through the real model, in fresh processes.

    python benchmarks/memory.py [--rows 100000 1000000] [--dtype f32] [--model FOLDER]

The rows are very short texts, no two alike, so that a million of them take minutes and not hours: what a job keeps a
row (keys of texts, flags, counts) does not depend on how long the texts are. Refuses to judge speed: `bench.py` does.
"""

import argparse
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from embedhub.config import DEFAULT_MODEL, DTYPES, settings
from embedhub.models import find_model
from measure import HERE, run_job, write_csv
from report import Target, write_report

# What counts as not growing: the same job differs by some megabytes from run to run.
GROWTH = 1.1


@dataclass(frozen=True)
class Job:
    """One job: rows, seconds in all, peak resident bytes."""

    rows: int
    seconds: float
    peak_bytes: int


def measure(rows: int, dtype: str, model: Path) -> Job:
    """Embed a csv file of so many rows."""
    with tempfile.TemporaryDirectory() as folder:
        file = write_csv(Path(folder), "numbers", rows)
        return Job(rows, *run_job(file, Path(folder) / "dataset", dtype, model))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--dtype", choices=DTYPES, default="f32")
    parser.add_argument("--model", type=Path, help="folder of a model; else the default model")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the JSON file")
    return parser.parse_args()


def main() -> None:
    """Print a line a job, and whether the largest needs more than the smallest."""
    options = arguments()
    model = options.model or find_model(DEFAULT_MODEL, settings=settings()).folder
    jobs = []
    for rows in sorted(options.rows):
        job = measure(rows, options.dtype, model)
        jobs.append(job)
        speed, peak = rows / job.seconds, job.peak_bytes / 2**20
        print(f"{rows:>9,} rows {job.seconds:8.1f} s {speed:8,.0f} rows/s  peak {peak:6,.0f} MiB", flush=True)
    growth = jobs[-1].peak_bytes / jobs[0].peak_bytes if len(jobs) > 1 else None
    target = Target("peak memory, most rows over fewest", GROWTH, False, growth)
    print(f"{target.name}: {'-' if growth is None else f'{growth:.2f}'} (at most {GROWTH}): {target.verdict}")
    figures = {
        "dtype": options.dtype,
        "jobs": [asdict(job) for job in jobs],
        "targets": [asdict(target) | {"verdict": target.verdict}],
    }
    print(f"written to {write_report(options.results, 'memory', figures)}")


if __name__ == "__main__":
    main()
