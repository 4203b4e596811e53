"""One run on one machine: `embedhub serve` under load, beside `encode` in a process of its own and beside Infinity.

Knows what is compared and the targets. Refuses to know how a server is started or asked.

    python benchmarks/serve.py [--infinity PYTHON] [--seconds 8]
    python benchmarks/serve.py --only-long --requests 20000 200000 --soak 600
"""

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from ceiling import dtypes_of_cpu
from embedhub.config import DEFAULT_MODEL, settings
from embedhub.models import find_model
from measure import HERE, System
from report import Target, write_report
from servers import Load, Server, body, embedhub_server, infinity_server, load, missing_tools, write_bodies
from workloads import texts_of

CONNECTIONS = (1, 64, 256)
ROUNDS = 3
STARTS = 2
OFFLINE_TEXTS = 2000
BULK_TEXTS, BULK_REQUESTS = 1000, 3


@dataclass
class Served:
    """Figures of one server; seconds, requests a second, bytes.

    Attributes:
        starts: command to first answer, seconds, each fresh process.
        loads: connections -> loads, each round.
        offline: texts/s of `encode`, each round.
        one_text: median seconds of `encode` with one text, in process.
        bulk: texts/s of requests of BULK_TEXTS, each request.
        beside_bulk: single texts while a client keeps sending bulk requests.
        pack_seconds: how long a pack took during that.
        memory: requests answered so far -> resident bytes.
    """

    starts: list[float] = field(default_factory=list)
    loads: dict[int, list[Load]] = field(default_factory=dict)
    offline: list[float] = field(default_factory=list)
    one_text: float = 0.0
    bulk: list[float] = field(default_factory=list)
    beside_bulk: Load | None = None
    pack_seconds: float = 0.0
    memory: dict[int, int] = field(default_factory=dict)

    def rate(self, connections: int) -> float | None:
        """The median of the requests a second."""
        found = self.loads.get(connections)
        return statistics.median(each.rate for each in found) if found else None

    def share_of_offline(self, connections: int) -> float | None:
        """Requests a second over texts/s of `encode`, round by round."""
        pairs = zip(self.loads.get(connections, []), self.offline, strict=False)
        shares = [each.rate / offline for each, offline in pairs]
        return statistics.median(shares) if shares else None


def measure(python: str, model: Path, dtypes: list[str], infinity: str | None, seconds: float) -> dict[str, Served]:
    """All servers in turn, round by round, one at a time."""
    with tempfile.TemporaryDirectory() as folder:
        bodies = write_bodies(texts_of("short", 20_000), Path(folder) / "bodies")
        results: dict[str, Served] = {}
        for dtype in dtypes:
            results[f"embedhub {dtype}"] = _measure_ours(python, model, dtype, bodies, seconds)
        if infinity:
            results["infinity"] = _measure_infinity(infinity, model, bodies, seconds)
        return results


def _measure_ours(python: str, model: Path, dtype: str, bodies: Path, seconds: float) -> Served:
    starts = []
    for _ in range(STARTS):
        server = embedhub_server(python, model, dtype)
        starts.append(server.start_seconds)
        server.close()
    server = embedhub_server(python, model, dtype)
    offline = System(f"embedhub {dtype}", model, model)
    served = Served(starts=[*starts, server.start_seconds])
    try:
        load(server, bodies, 64, 2)
        for number in range(ROUNDS):
            took = offline.ask("throughput", set="short", count=OFFLINE_TEXTS)["seconds"]
            served.offline.append(OFFLINE_TEXTS / took)
            for connections in CONNECTIONS:
                found = load(server, bodies, connections, seconds, number * 997)
                served.loads.setdefault(connections, []).append(found)
        served.one_text = statistics.median(offline.ask("latency", calls=200)["seconds"])
        served.bulk = _bulk(server)
        served.beside_bulk, served.pack_seconds = _beside_bulk(server, bodies, seconds)
    finally:
        offline.close()
        server.close()
    return served


def _measure_infinity(python: str, model: Path, bodies: Path, seconds: float) -> Served:
    server = infinity_server(python, model)
    served = Served(starts=[server.start_seconds])
    try:
        load(server, bodies, 64, 3)
        for number in range(ROUNDS):
            for connections in (1, 64):
                found = load(server, bodies, connections, seconds, number * 997)
                served.loads.setdefault(connections, []).append(found)
    finally:
        server.close()
    return served


def _bulk(server: Server) -> list[float]:
    texts = texts_of("short", BULK_TEXTS * BULK_REQUESTS)
    rates = []
    with httpx.Client(timeout=120) as client:
        for start in range(0, len(texts), BULK_TEXTS):
            begun = time.perf_counter()
            client.post(server.embeddings, json=body(texts[start : start + BULK_TEXTS])).raise_for_status()
            rates.append(BULK_TEXTS / (time.perf_counter() - begun))
    return rates


def _beside_bulk(server: Server, bodies: Path, seconds: float) -> tuple[Load, float]:
    """Single texts of one connection while another sends bulk requests; and the seconds of a pack meanwhile."""
    texts = texts_of("short", 10_000)
    stop = threading.Event()

    def send() -> None:
        with httpx.Client(timeout=120) as client:
            while not stop.is_set():
                client.post(server.embeddings, json=body(texts)).raise_for_status()

    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(1)
    before, begun = server.metric("embedhub_packs_total"), time.perf_counter()
    single = load(server, bodies, 1, seconds)
    packs, took = server.metric("embedhub_packs_total") - before, time.perf_counter() - begun
    stop.set()
    sender.join()
    # Two lanes: while one pack is computed, so is another.
    return single, 2 * took / max(packs, 1)


def measure_memory(python: str, model: Path, dtype: str, counts: list[int], soak: float) -> dict[int, int]:
    """Resident bytes after so many requests of random lengths, and after a soak, if one is asked for."""
    chance = random.Random("lengths")
    words = " ".join(texts_of("long", 50)).split()
    texts = [" ".join(chance.sample(words, min(180, int(chance.paretovariate(0.6))))) for _ in range(20_000)]
    with tempfile.TemporaryDirectory() as folder:
        bodies = write_bodies(texts, Path(folder) / "bodies")
        server = embedhub_server(python, model, dtype)
        memory: dict[int, int] = {}
        done = 0
        try:
            for count in counts:
                while done < count:
                    done += load(server, bodies, 64, 5, done).requests
                memory[done] = server.resident_bytes()
            until = time.perf_counter() + soak
            while time.perf_counter() < until:
                found = load(server, bodies, 64, 10, done)
                if found.errors:
                    raise RuntimeError(f"{found.errors} errors after {done} requests")
                done += found.requests
            if soak:
                memory[done] = server.resident_bytes()
        finally:
            server.close()
    return memory


def targets(results: dict[str, Served], memory: dict[int, int]) -> list[Target]:
    """Every target of serving."""
    found = []
    infinity = results.get("infinity")
    for name, served in results.items():
        if name == "infinity":
            continue
        fast, many = served.rate(64), served.rate(256)
        one = served.loads[1]
        p50 = statistics.median(each.p50 for each in one)
        errors = sum(each.errors for loads in served.loads.values() for each in loads)
        theirs = infinity.rate(64) if infinity else None
        bulk = statistics.median(served.bulk) / statistics.median(served.offline)
        found += [
            Target(f"{name}: 64 connections, share of encode's texts/s", 0.7, True, served.share_of_offline(64)),
            Target(f"{name}: 64 connections, times Infinity", 7, True, fast / theirs if fast and theirs else None),
            Target(f"{name}: 256 connections, share of 64", 0.97, True, many / fast if many and fast else None),
            Target(f"{name}: errors", 0, False, errors),
            Target(f"{name}: 1 connection, p50 over in-process", 2.5, False, p50 / served.one_text),
            Target(f"{name}: bulk, share of encode's texts/s", 0.9, True, bulk),
            Target(f"{name}: start to first answer, seconds", 1.5, False, statistics.median(served.starts)),
        ]
        if served.beside_bulk is not None:
            packs = (served.beside_bulk.p99 - p50) / served.pack_seconds
            found.append(Target(f"{name}: single beside bulk, p99 in packs of waiting", 3, False, packs))
    counts = list(memory)
    for before, after in pairwise(counts):
        share = memory[after] / memory[before]
        found.append(Target(f"memory after {after:,} requests, share of {before:,}", 1.1, False, share))
    return found


def show(console: Console, results: dict[str, Served], memory: dict[int, int], found: list[Target]) -> None:
    """The tables."""
    if results:
        show_loads(console, results)
    for count, size in memory.items():
        console.print(f"after {count:,} requests of random lengths: {size / 2**20:,.0f} MiB")
    table = Table("target", "bound", "measured", "", title="targets")
    for target in found:
        measured = "-" if target.measured is None else f"{target.measured:.2f}"
        table.add_row(target.name, f"{'>=' if target.at_least else '<='} {target.bound:g}", measured, target.verdict)
    console.print(table)


def show_loads(console: Console, results: dict[str, Served]) -> None:
    """The tables of servers under load."""
    table = Table("server", "connections", "requests/s", "p50", "p99", "share of encode", title="single short texts")
    for name, served in results.items():
        for connections in served.loads:
            loads = served.loads[connections]
            p50, p99 = (statistics.median(getattr(each, key) for each in loads) * 1e3 for key in ("p50", "p99"))
            share = served.share_of_offline(connections)
            shown = "-" if share is None else f"{share:.0%}"
            rate = f"{served.rate(connections):,.0f}"
            table.add_row(name, str(connections), rate, f"{p50:.1f} ms", f"{p99:.1f} ms", shown)
    console.print(table)
    table = Table("server", "encode texts/s", "bulk texts/s", "one text in process", "start", title="beside")
    for name, served in results.items():
        if served.offline:
            rates = [f"{statistics.median(each):,.0f}" for each in (served.offline, served.bulk)]
            table.add_row(name, *rates, f"{served.one_text * 1e3:.2f} ms", f"{statistics.median(served.starts):.2f} s")
    console.print(table)


def main() -> None:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--infinity", help="the python that has infinity_emb")
    parser.add_argument("--seconds", type=float, default=8, help="of each load")
    parser.add_argument("--dtypes", nargs="*")
    parser.add_argument("--requests", type=int, nargs="*", default=[], help="for memory: after how many to look")
    parser.add_argument("--only-long", action="store_true", help="nothing but memory and soak")
    parser.add_argument("--soak", type=float, default=0, help="seconds of load at the end")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the JSON file")
    arguments = parser.parse_args()
    if missing_tools():
        sys.exit(missing_tools())
    model = arguments.model or find_model(DEFAULT_MODEL, settings=settings()).folder
    dtypes = arguments.dtypes or dtypes_of_cpu()
    results: dict[str, Served] = {}
    if not arguments.only_long:
        results = measure(sys.executable, model, dtypes, arguments.infinity, arguments.seconds)
    memory = {}
    if arguments.requests or arguments.soak:
        memory = measure_memory(sys.executable, model, dtypes[-1], arguments.requests, arguments.soak)
    found = targets(results, memory)
    console = Console(width=120)
    show(console, results, memory, found)
    figures = {
        "servers": {name: asdict(served) for name, served in results.items()},
        "memory": memory,
        "targets": [asdict(target) | {"verdict": target.verdict} for target in found],
    }
    kind = "serve-long" if arguments.only_long else "serve"
    console.print(f"written to {write_report(arguments.results, kind, figures)}")


if __name__ == "__main__":
    main()
