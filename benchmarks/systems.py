"""One system in a process of its own: loads a model, then does what it is told, line by line.

Knows how each system is loaded and called. Refuses to know repetitions, ratios and targets.

    python systems.py SYSTEM MODEL_FOLDER ONNX_FOLDER

prints one JSON line when the first vector is there, and one for each JSON line it reads.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from workloads import texts_of

Encode: TypeAlias = Callable[[list[str], int], Any]
"""(texts, texts in a batch; 0 is the system's own choice) -> vectors [texts, dims]."""

TUNING_TEXTS = 256
QUESTION = "How can I change the address on my account?"


def embedhub(dtype: str) -> Callable[[Path, Path], Encode]:
    """Loads embedhub in one number type."""

    def load(model: Path, onnx: Path) -> Encode:
        from embedhub import Model

        loaded = Model(str(model), dtype=dtype)
        return lambda texts, batch: loaded.encode(texts)

    return load


def sentence_transformers(model: Path, onnx: Path) -> Encode:
    """sentence-transformers on torch in f32, with its own batch size of 32."""
    from sentence_transformers import SentenceTransformer

    loaded = SentenceTransformer(str(model), device="cpu")
    return lambda texts, batch: loaded.encode(texts, batch_size=batch or 32, show_progress_bar=False)


def fastembed(model: Path, onnx: Path) -> Encode:
    """Fastembed with the same weights, by its hook for models of one's own."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    TextEmbedding.add_custom_model(
        model="embedhub/benchmark",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(url="https://localhost/not-asked"),
        dim=json.loads((model / "config.json").read_text())["hidden_size"],
        model_file="onnx/model.onnx",
    )
    loaded = TextEmbedding("embedhub/benchmark", specific_model_path=str(onnx))
    return lambda texts, batch: list(loaded.embed(texts, batch_size=batch or 256))


SYSTEMS: dict[str, Callable[[Path, Path], Encode]] = {
    "embedhub f32": embedhub("f32"),
    "embedhub bf16": embedhub("bf16"),
    "embedhub int8": embedhub("int8"),
    "sentence-transformers": sentence_transformers,
    "fastembed": fastembed,
}

BATCH_SIZES = {"fastembed": (4, 8, 16, 32, 64)}
"""What is tried, for the systems whose own choice is far from their best."""


class Worker:
    """Answers commands with one loaded model."""

    def __init__(self, name: str, encode: Encode) -> None:
        self._encode = encode
        self._sizes = BATCH_SIZES.get(name, (0,))
        self._best_size: dict[str, int] = {}

    def throughput(self, set: str, count: int) -> dict[str, Any]:
        """Seconds to encode `count` texts of a set, at the batch size that suits the set best."""
        texts = texts_of(set, count)
        if set not in self._best_size:
            sample = texts[:TUNING_TEXTS]
            self._best_size[set] = min(self._sizes, key=lambda size: self._seconds(sample, size))
        size = self._best_size[set]
        return {"seconds": self._seconds(texts, size), "batch_size": size}

    def latency(self, calls: int) -> dict[str, Any]:
        """Seconds of each of `calls` calls with one text."""
        self._seconds([QUESTION], 1)
        texts = texts_of("short", calls)
        return {"seconds": [self._seconds([text], 1) for text in texts]}

    def memory(self) -> dict[str, Any]:
        """Peak resident memory of this process in bytes, all threads and libraries included."""
        status = Path("/proc/self/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return {"bytes": int(peak.split()[1]) * 1024}

    def _seconds(self, texts: list[str], size: int) -> float:
        start = time.perf_counter()
        vectors = self._encode(texts, size)
        seconds = time.perf_counter() - start
        if len(vectors) != len(texts):
            raise RuntimeError(f"{len(vectors)} vectors for {len(texts)} texts")
        return seconds


def serve(name: str, model: Path, onnx: Path, commands: Iterable[str]) -> None:
    """Load a system, say so, and answer commands until there are no more."""
    encode = SYSTEMS[name](model, onnx)
    encode([QUESTION], 1)
    print(json.dumps({"ready": name}), flush=True)
    worker = Worker(name, encode)
    for line in commands:
        command = json.loads(line)
        answer = getattr(worker, command.pop("do"))(**command)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.stdin)
