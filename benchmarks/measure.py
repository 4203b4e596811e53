"""Measurements: processes started, told what to do and timed, system after system in turn.

Knows processes and clocks. Refuses to know tables and targets. In every repetition each system has its turn before
the next repetition begins, so that a machine that slows down slows all of them.
"""

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workloads import SETS, texts_of

HERE = Path(__file__).parent
COUNTS = {"short": 2000, "long": 200, "mixed": 1000}
STARTS = 5
LATENCY_ROUNDS, LATENCY_CALLS = 5, 40


@dataclass
class Results:
    """All figures of one run, by system; seconds and bytes.

    Attributes:
        starts: process start to first vector, each fresh process.
        throughput: set -> system -> seconds for `COUNTS[set]` texts, each repetition.
        batch_sizes: set -> system -> batch size used; 0 is the system's own choice.
        tokens: set -> tokens of its texts, cut at the model's limit.
        latency: system -> seconds of each call with one text.
        memory: system -> peak resident bytes after all of the above.
        ceiling: number type -> operations a second.
        jobs: embedded csv files: rows, seconds, peak bytes, and seconds of `encode` on the same texts.
        skipped: system -> why it was not measured.
    """

    starts: dict[str, list[float]] = field(default_factory=dict)
    throughput: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    batch_sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    latency: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    ceiling: dict[str, float] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


class System:
    """A worker process; see `systems.py`.

    Raises:
        RuntimeError: the process ended instead of answering; the message is its last line.
    """

    def __init__(self, name: str, model: Path, onnx: Path) -> None:
        self.name = name
        command = [sys.executable, str(HERE / "systems.py"), name, str(model), str(onnx)]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
        # A file, because a pipe that nobody reads fills up and stops the process.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process is
        start = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        self._answer()
        self.start_seconds = time.perf_counter() - start

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The answer of one of `systems.Worker`'s methods."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do} | arguments) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # Libraries print on their own account; answers are the lines of JSON.
            if line.startswith("{"):
                return dict(json.loads(line))
        self._process.communicate()
        self._errors.seek(0)
        errors = self._errors.read().strip().splitlines()
        raise RuntimeError(errors[-1] if errors else f"{self.name} ended without a word")


def measure_starts(names: list[str], model: Path, onnx: Path, results: Results) -> list[str]:
    """Start every system `STARTS` times; returns those that could be started."""
    able = list(names)
    # The first round fills the page cache for everyone and is not counted.
    for round_number in range(STARTS + 1):
        for name in list(able):
            try:
                system = System(name, model, onnx)
            except RuntimeError as error:
                results.skipped[name] = str(error)
                able.remove(name)
                continue
            system.close()
            if round_number:
                results.starts.setdefault(name, []).append(system.start_seconds)
    return able


def measure_systems(systems: list[System], repeats: int, scale: float, results: Results) -> None:
    """Throughput, latency and memory of running systems; `scale` shrinks the sets."""
    for set_name in SETS:
        count = texts_in(set_name, scale)
        seconds = results.throughput.setdefault(set_name, {})
        sizes = results.batch_sizes.setdefault(set_name, {})
        for _ in range(repeats):
            for system in systems:
                answer = system.ask("throughput", set=set_name, count=count)
                seconds.setdefault(system.name, []).append(answer["seconds"])
                sizes[system.name] = answer["batch_size"]
    for _ in range(LATENCY_ROUNDS):
        for system in systems:
            calls = system.ask("latency", calls=LATENCY_CALLS)["seconds"]
            results.latency.setdefault(system.name, []).extend(calls)
    for system in systems:
        results.memory[system.name] = system.ask("memory")["bytes"]


def texts_in(set_name: str, scale: float) -> int:
    """How many texts of a set are embedded in one repetition."""
    return max(8, int(COUNTS[set_name] * scale))


def count_tokens(model: Path, scale: float, results: Results) -> None:
    """Tokens of each set, special ones included, texts cut where the model cuts them."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    limits = model / "sentence_bert_config.json"
    limit = json.loads(limits.read_text())["max_seq_length"] if limits.is_file() else 512
    tokenizer.no_padding()
    tokenizer.enable_truncation(limit)
    for set_name in SETS:
        texts = texts_of(set_name, texts_in(set_name, scale))
        results.tokens[set_name] = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(texts))


def measure_ceiling(results: Results) -> None:
    """The machine's matrix products, in a process of their own."""
    done = subprocess.run([sys.executable, str(HERE / "ceiling.py")], stdout=subprocess.PIPE, text=True, check=True)
    results.ceiling = json.loads(done.stdout)


def measure_job(rows: int, dtype: str, model: Path, onnx: Path, folder: Path, repeats: int, results: Results) -> None:
    """`embedhub embed` of a csv file of short texts, and `encode` of the same texts where repeats are asked for."""
    file = write_csv(folder, "short", rows)
    jobs, encodes, peak = [], [], 0
    for repeat in range(max(1, repeats)):
        seconds, job_peak = run_job(file, folder / f"{rows}-{repeat}", dtype, model)
        jobs.append(seconds)
        peak = max(peak, job_peak)
        if repeats:
            system = System(f"embedhub {dtype}", model, onnx)
            encodes.append(system.ask("throughput", set="short", count=rows)["seconds"])
            system.close()
    job = {"rows": rows, "seconds": statistics.median(jobs), "peak_bytes": peak, "dtype": dtype}
    results.jobs.append(job | ({"encode_seconds": statistics.median(encodes)} if encodes else {}))


def write_csv(folder: Path, set_name: str, rows: int) -> Path:
    """A csv file with so many texts of a set in the column `text`."""
    file = folder / f"{set_name}-{rows}.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text"])
        writer.writerows([text] for text in texts_of(set_name, rows))
    return file


def run_job(file: Path, output: Path, dtype: str, model: Path) -> tuple[float, int]:
    """Seconds and peak resident bytes of `embedhub embed` in a fresh process.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", "embedhub", "embed", str(file), "-o", str(output), "--column", "text"]
    environment = os.environ | {
        "EMBEDHUB_MODEL": str(model),
        "EMBEDHUB_DTYPE": dtype,
        "HF_HUB_OFFLINE": "1",
    }
    start = time.perf_counter()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*command, "--json"], stdout=quiet, stderr=quiet, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    # The process is waited for already: let Popen know.
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"embedhub embed ended with {process.returncode}")
    return seconds, usage.ru_maxrss * 1024
