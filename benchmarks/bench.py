"""One run on one machine: embedhub beside others, as tables on the terminal and as a JSON file.

Knows what is compared, the targets, and how to show both. Refuses to know how a figure is taken.

    python benchmarks/bench.py [--model FOLDER] [--full] [--memory 10000 100000 1000000]
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ceiling import dtypes_of_cpu, flops_per_token
from embedhub.choices import OnnxForm
from embedhub.config import DEFAULT_MODEL, settings
from embedhub.engine.export.repository import write_repository
from embedhub.errors import EmbedhubError
from embedhub.models import find_model
from measure import (
    HERE,
    Results,
    System,
    count_tokens,
    measure_ceiling,
    measure_job,
    measure_starts,
    measure_systems,
    texts_in,
)
from report import Target, write_report
from systems import SYSTEMS

BASE = "sentence-transformers"


def ratio(ours: list[float] | None, theirs: list[float] | None) -> float | None:
    """The median of our figure over theirs, each of the same repetition; None where one is missing."""
    if not ours or not theirs:
        return None
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def targets(results: Results, flops: int) -> list[Target]:
    """Every target against sentence-transformers, the ceiling and `encode`."""
    dtype = "bf16" if "embedhub bf16" in results.starts else "f32"
    ours = f"embedhub {dtype}"
    short = results.throughput.get("short", {})
    # Both took the same texts, so speeds compare as seconds do, the other way round.
    faster = {name: ratio(short.get(BASE), seconds) for name, seconds in short.items()}
    latency = _quotient(_median(results.latency.get(ours)), _median(results.latency.get(BASE)))
    memory = _quotient(results.memory.get(ours), results.memory.get(BASE))
    job = next((job for job in results.jobs if "encode_seconds" in job), None)
    return [
        Target("bf16: times the texts/s (short)", 6, True, faster.get("embedhub bf16")),
        Target("int8: times the texts/s (short)", 9, True, faster.get("embedhub int8")),
        Target(f"{dtype}: share of the time of one text", 1 / 4, False, latency),
        Target(
            f"{dtype}: share of the time to the first vector",
            1 / 5,
            False,
            ratio(results.starts.get(ours), results.starts.get(BASE)),
        ),
        Target(f"{dtype}: share of the peak memory", 1 / 2, False, memory),
        Target("bf16: share of the ceiling (short)", 0.7, True, share_of_ceiling(results, "bf16", flops)),
        Target(
            "csv job: share of the speed of encode",
            0.9,
            True,
            job["encode_seconds"] / job["seconds"] if job else None,
        ),
    ]


def share_of_ceiling(results: Results, dtype: str, flops: int, set_name: str = "short") -> float | None:
    """Tokens/s reached over the tokens/s that the machine's matrix products would allow."""
    seconds = _median(results.throughput.get(set_name, {}).get(f"embedhub {dtype}"))
    if seconds is None or dtype not in results.ceiling:
        return None
    return results.tokens[set_name] / seconds / (results.ceiling[dtype] / flops)


def _median(values: list[float] | None) -> float | None:
    return statistics.median(values) if values else None


def _quotient(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours and theirs else None


def _number(value: float | None, pattern: str = "{:,.2f}") -> str:
    return "-" if value is None else pattern.format(value)


def show_systems(console: Console, results: Results, scale: float) -> None:
    """A table for each set, and one of single figures."""
    for set_name, systems in results.throughput.items():
        count, tokens = texts_in(set_name, scale), results.tokens[set_name]
        table = Table("system", "texts/s", "tokens/s", f"x {BASE}", "batch", title=f"{set_name}: {count} texts")
        for name, seconds in systems.items():
            middle = statistics.median(seconds)
            times = ratio(systems.get(BASE), seconds)
            batch = results.batch_sizes[set_name][name] or "own"
            table.add_row(name, f"{count / middle:,.0f}", f"{tokens / middle:,.0f}", _number(times), str(batch))
        console.print(table)
    table = Table("system", "start to first vector", "one text p50", "p99", "peak memory", title="one process")
    for name, calls in results.latency.items():
        p50, p99 = statistics.median(calls), statistics.quantiles(calls, n=100)[98]
        table.add_row(
            name,
            f"{statistics.median(results.starts[name]):.2f} s",
            f"{p50 * 1e3:.2f} ms",
            f"{p99 * 1e3:.2f} ms",
            f"{results.memory[name] / 2**20:,.0f} MiB",
        )
    console.print(table)


def show_machine(console: Console, results: Results, flops: int) -> None:
    """The ceiling, and csv jobs."""
    table = Table("number type", "GFLOP/s", "tokens/s implied", "share reached (short)", title="ceiling")
    for dtype, speed in results.ceiling.items():
        share = share_of_ceiling(results, dtype, flops)
        table.add_row(dtype, f"{speed / 1e9:,.0f}", f"{speed / flops:,.0f}", _number(share, "{:.0%}"))
    console.print(table)
    if results.jobs:
        table = Table("rows", "number type", "rows/s", "encode, texts/s", "peak memory", title="csv jobs")
        for job in results.jobs:
            encode = job["rows"] / job["encode_seconds"] if "encode_seconds" in job else None
            table.add_row(
                f"{job['rows']:,}",
                job["dtype"],
                f"{job['rows'] / job['seconds']:,.0f}",
                _number(encode, "{:,.0f}"),
                f"{job['peak_bytes'] / 2**20:,.0f} MiB",
            )
        console.print(table)


def show_targets(console: Console, found: list[Target]) -> None:
    """The last table: what holds on this CPU."""
    table = Table("target", "bound", "measured", "", title=f"targets, against {BASE} f32")
    for target in found:
        sign = "≥" if target.at_least else "≤"
        table.add_row(target.name, f"{sign} {target.bound:g}", _number(target.measured), target.verdict)
    console.print(table)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a model; else the default model")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--repeats", type=int, default=3, help="repetitions of every set")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the texts of every set")
    parser.add_argument("--full", action="store_true", help="a csv job of 100,000 rows instead of 10,000")
    parser.add_argument("--memory", type=int, nargs="*", default=[], help="rows of csv jobs for peak memory")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the JSON file")
    return parser.parse_args()


def able_systems(names: list[str], results: Results) -> list[str]:
    """The systems whose number type this CPU has; the reason of the others is noted."""
    able = []
    native = dtypes_of_cpu()
    for name in names:
        dtype = name.removeprefix("embedhub ")
        if name.startswith("embedhub ") and dtype not in native:
            results.skipped[name] = f"this CPU has no {dtype}"
        else:
            able.append(name)
    return able


def run(options: argparse.Namespace, folder: Path, say: Callable[[str], None]) -> Results:
    """Take all figures; `folder` is for what is thrown away."""
    results, onnx = Results(), folder / "onnx"
    names = able_systems(options.systems, results)
    if "fastembed" in names:
        say("exporting the model for fastembed")
        config = settings()
        try:
            write_repository(find_model(str(options.model), settings=config), onnx, config, [OnnxForm.FLOAT32])
        except EmbedhubError as error:
            names.remove("fastembed")
            results.skipped["fastembed"] = f"no ONNX file: {error}"
    say("starting every system in fresh processes")
    names = measure_starts(names, options.model, onnx, results)
    count_tokens(options.model, options.scale, results)
    say("measuring matrix products")
    measure_ceiling(results)
    say("embedding")
    systems = [System(name, options.model, onnx) for name in names]
    measure_systems(systems, options.repeats, options.scale, results)
    for system in systems:
        system.close()
    say("embedding csv files")
    run_jobs(options, names, folder, results)
    for name, reason in results.skipped.items():
        say(f"skipped {name}: {reason}")
    return results


def run_jobs(options: argparse.Namespace, names: list[str], folder: Path, results: Results) -> None:
    """The csv jobs, in the number type that embedhub takes by itself here."""
    ours = [name.removeprefix("embedhub ") for name in names if name.startswith("embedhub ")]
    if not ours:
        return
    dtype = "bf16" if "bf16" in ours else ours[0]
    jobs = [(100_000 if options.full else 10_000, options.repeats), *((rows, 0) for rows in options.memory)]
    try:
        for rows, repeats in jobs:
            measure_job(rows, dtype, options.model, folder / "onnx", folder, repeats, results)
    except RuntimeError as error:
        results.skipped["csv job"] = str(error)


def main() -> None:
    """Measure, show, write."""
    options = arguments()
    options.model = options.model or find_model(DEFAULT_MODEL, settings=settings()).folder
    console = Console()
    flops = flops_per_token(options.model / "config.json")
    with tempfile.TemporaryDirectory() as folder:
        results = run(options, Path(folder), lambda line: console.print(f"[dim]{line}[/dim]"))
    found = targets(results, flops)
    show_systems(console, results, options.scale)
    show_machine(console, results, flops)
    show_targets(console, found)
    file = write_report(
        options.results,
        "",
        {"results": asdict(results), "targets": [asdict(target) | {"verdict": target.verdict} for target in found]},
    )
    console.print(f"written to {file}")


if __name__ == "__main__":
    main()
