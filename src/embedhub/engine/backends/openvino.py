"""Encoders on OpenVINO: our own graphs, compiled for this machine.

Knows streams, threads and number types. A lone batch is computed by all threads at once (latency); several are
computed side by side, a stream each (throughput): on two cores that is a third faster. The two are compiled when
first needed.
"""

import logging
import os
import platform
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.backends import Take
from embedhub.engine.backends.forks import renew_in_forks
from embedhub.engine.packing import Batch
from embedhub.engine.quiet_openvino import ov
from embedhub.errors import UnsupportedModelError
from embedhub.machine import available_threads
from embedhub.values import whole_number

_LOGGER = logging.getLogger(__name__)

_CPU_FLAGS = Path("/proc/cpuinfo")

# Where Linux tells the size of a core's second-level cache, its size in KiB where Linux does not, and the share of it
# that token vectors may take.
_CACHE_SIZE = Path("/sys/devices/system/cpu/cpu0/cache/index2/size")
_USUAL_CACHE = 1024
_CACHE_SHARE = 0.62

# How many layers of how many shapes stay prepared. By itself the library keeps 5,000: over 200,000 requests of random
# lengths a server grew from 0.9 to 1.9 GB, and preparing one again is quick (docs/log.md).
_KEPT_SHAPES = 64


@dataclass(frozen=True)
class Machine:
    """How much of the machine to use."""

    threads: int
    streams: int


def machine(threads: int = 0, streams: int = 0) -> Machine:
    """The threads and streams to use; 0 takes every core of this process, and a stream a thread.

    More threads than the machine has cores are as many as it has, which is logged.

    Raises:
        SettingError: no whole number, or a negative one.
    """
    chosen = whole_number("threads", threads, low=0) or available_threads()
    cores = os.cpu_count() or chosen
    if chosen > cores:
        _LOGGER.warning("%d threads were asked for; this machine has %d cores, so that many are used", chosen, cores)
        chosen = cores
    return Machine(threads=chosen, streams=min(whole_number("streams", streams, low=0) or chosen, chosen))


def cached_tokens(hidden_size: int) -> int:
    """How many tokens to compute at once: as many as leave their vectors in a core's second-level cache.

    With 1.25 MB and a width of 384 that is 512 tokens, where batches and packs are fastest (docs/log.md).
    """
    told = _CACHE_SIZE.read_text().strip() if _CACHE_SIZE.is_file() else ""
    kibibytes = int(told[:-1]) if told.endswith("K") and told[:-1].isdigit() else _USUAL_CACHE
    fitting = int(kibibytes * 1024 * _CACHE_SHARE) // (4 * hidden_size)
    return min(max(fitting // 64 * 64, 128), 1024)


def has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def has_fast_int8() -> bool:
    """Whether this CPU multiplies int8 matrices in hardware (VNNI, AMX); assumed where Linux does not tell."""
    if platform.machine() != "x86_64" or not _CPU_FLAGS.is_file():
        return True
    flags = set(_CPU_FLAGS.read_text().partition("flags")[2].partition("\n")[0].split())
    return bool(flags & {"avx512_vnni", "avx_vnni", "amx_int8"})


def choose_dtype(asked: str) -> str:
    """`auto` becomes bf16 where the CPU has it and f32 elsewhere.

    Raises:
        UnsupportedModelError: bf16 or int8 was asked for and this CPU does not have it.
    """
    if asked == "auto":
        return "bf16" if has_bf16() else "f32"
    if asked == "bf16" and not has_bf16():
        raise UnsupportedModelError("this CPU has no bfloat16 instructions; use dtype f32, or int8 for speed")
    if asked == "int8" and not has_fast_int8():
        raise UnsupportedModelError("this CPU has no VNNI instructions: int8 would be slower than f32; use dtype f32")
    return asked


_cores: list[Any] = []


def _core() -> Any:
    if not _cores:
        _cores.append(ov.Core())
    return _cores[0]


def compile_graph(graph: ov.Model, dtype: str, use: Machine) -> Any:
    """The graph compiled for this CPU."""
    # What an int8 graph leaves in floats (attention, GELU) takes a third less time in bf16 where the CPU has it.
    precision = "bf16" if dtype == "bf16" or (dtype == "int8" and has_bf16()) else "f32"
    hints = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": use.threads,
        "NUM_STREAMS": str(use.streams),
        "CPU_RUNTIME_CACHE_CAPACITY": _KEPT_SHAPES,
    }
    return _core().compile_model(graph, "CPU", hints)


class OpenVinoBackend:
    """One encoder graph on the CPU.

    Args:
        build: makes the graph, for token vectors (True) or sums (False).
        dtype: f32, bf16 or int8 (whose graph already says which layers).
        use: threads and streams.
        calibration: checksum of the calibration that an int8 graph was built with.
        types: whether the graph has the input `types`.
    """

    name = "openvino"
    packs_rows = True

    def __init__(
        self,
        build: Callable[[bool], ov.Model],
        dtype: str,
        use: Machine,
        calibration: str = "",
        *,
        types: bool = False,
    ) -> None:
        self.dtype = dtype
        self.calibration = calibration
        self._build = build
        self.lanes = use.streams
        self._use = use
        self._types = types
        self._graphs: dict[bool, ov.Model] = {}
        self._compiled: dict[tuple[bool, int], Any] = {}
        self._lock = threading.Lock()
        self._compiling = threading.Lock()
        renew_in_forks(self)

    def renew(self) -> object:
        """See `forks.Renewable`."""
        compiled, self._compiled = self._compiled, {}
        self._lock = threading.Lock()
        self._compiling = threading.Lock()
        return compiled

    def prepare(self, *, tokens: bool) -> None:
        """See `Backend.prepare`."""
        self._queue(tokens, self._use.streams)

    def run(self, batches: Iterable[Batch], pool: Callable[[Batch], NDArray[np.float32]] | None, take: Take) -> None:
        """See `Backend.run`. Calls from several threads take turns."""
        stream = iter(batches)
        ahead = list(islice(stream, 2))
        with self._lock:
            try:
                if len(ahead) < 2 or self._use.streams == 1:
                    request = self._queue(pool is None, 1)[0]
                    for batch in chain(ahead, stream):
                        request.infer(self._inputs(batch, pool), share_inputs=True)
                        take(batch, request.get_output_tensor(0).data)
                else:
                    self._run_side_by_side(chain(ahead, stream), pool, take)
            except BaseException:
                # A request that failed once fails whenever it is waited for again.
                self._compiled.clear()
                raise

    def _run_side_by_side(
        self, batches: Iterator[Batch], pool: Callable[[Batch], NDArray[np.float32]] | None, take: Take
    ) -> None:
        queue = self._queue(pool is None, self._use.streams)
        failures: list[BaseException] = []

        def done(request: Any, batch: Batch) -> None:
            # An exception must not travel through the library's threads.
            try:
                take(batch, request.get_output_tensor(0).data)
            except BaseException as error:  # noqa: BLE001
                failures.append(error)

        queue.set_callback(done)
        try:
            while not failures:
                # Drawn when there is room for it and not before: what arrived meanwhile can still be part of it.
                queue.get_idle_request_id()
                batch = next(batches, None)
                if batch is None:
                    break
                queue.start_async(self._inputs(batch, pool), batch)
        finally:
            queue.wait_all()
        if failures:
            raise failures[0]

    def _queue(self, tokens: bool, streams: int) -> Any:
        key = (tokens, streams)
        queue = self._compiled.get(key)
        if queue is None:
            # A lock of its own: what is compiled already computes meanwhile.
            with self._compiling:
                queue = self._compiled.get(key)
                if queue is None:
                    if tokens not in self._graphs:
                        self._graphs[tokens] = self._build(tokens)
                    compiled = compile_graph(self._graphs[tokens], self.dtype, Machine(self._use.threads, streams))
                    queue = self._compiled[key] = ov.AsyncInferQueue(compiled, streams)
        return queue

    def _inputs(self, batch: Batch, pool: Callable[[Batch], NDArray[np.float32]] | None) -> list[NDArray[Any]]:
        arrays: list[NDArray[Any]] = [batch.ids, batch.positions, batch.segments]
        if self._types:
            arrays.append(batch.types)
        if pool is not None:
            arrays.append(pool(batch))
        return arrays
