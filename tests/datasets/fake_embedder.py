"""An embedder without a model, and a process that builds with it and can be killed at any step.

python -m tests.datasets.fake_embedder INPUT DIRECTORY [SECONDS_A_SLICE]
"""

import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from embedhub.datasets import BuildOptions, EmbeddedTexts, InputRequest, Provenance, build, open_source

DIMENSIONS = 8


def provenance(**changes: object) -> Provenance:
    values: dict[str, object] = {
        "model": "example/fake",
        "revision": "0123abcd",
        "weights_sha256": "00" * 32,
        "pooling": "mean",
        "prompt": "",
        "normalized": True,
        "dimensions": DIMENSIONS,
        "dtype": "f32",
        "embedhub_version": "0.1.0",
    }
    return Provenance(**(values | changes))  # type: ignore[arg-type]


def text_vector(text: str) -> np.ndarray:
    digest = hashlib.blake2b(text.encode(), digest_size=4 * DIMENSIONS).digest()
    vector = np.frombuffer(digest, np.uint32).astype(np.float32) / 2**32 + 0.01
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


@dataclass
class FakeEmbedder:
    """Vectors are a checksum of the text; `by_slice` adds one of its slice, so that another slicing shows."""

    provenance: Provenance = field(default_factory=provenance)
    by_slice: bool = False
    seconds: float = 0.0
    texts: list[str] = field(default_factory=list)
    slices: list[int] = field(default_factory=list)

    def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        time.sleep(self.seconds)
        self.texts += texts
        self.slices.append(len(texts))
        vectors = np.stack([text_vector(text) for text in texts])
        if self.by_slice:
            vectors = vectors + text_vector("\0".join(texts)) / 1_000
        return EmbeddedTexts(vectors, 2 * len(texts), np.array([len(text) > 1_000 for text in texts]))


OPTIONS = BuildOptions(shard_rows=20, slice_texts=7)


def main() -> None:
    embedder = FakeEmbedder(by_slice=True, seconds=float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
    with open_source(InputRequest(sys.argv[1])) as source:
        report = build(source, Path(sys.argv[2]), embedder, OPTIONS)
    sys.stdout.write(f"{report.embedded} {report.resumed}\n")


if __name__ == "__main__":
    main()
