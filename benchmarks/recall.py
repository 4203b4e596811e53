"""How many of the true nearest rows the index of a large dataset finds, and when it is built.

    python benchmarks/recall.py [ROWS] [SCORE]

Synthetic vectors (384 wide, around 200 centres, as texts are around topics; lengths even or log-normal) become a
dataset by the usual way, and are asked through `EmbeddedDataset`. Recall is compared with exact search. Knows no clock.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub import EmbeddedDataset
from embedhub.datasets import EmbeddedTexts, InputRequest, Provenance, build, open_source
from embedhub.search import top_k

DIMENSIONS = 384
QUERIES = 500
CASES = (
    ("cosine", 0.5),
    ("dot", 0.5),
    ("euclidean", 0.5),
    ("euclidean", 1.0),
)
"""Score, and sigma of the logarithm of the vectors' lengths."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TableEmbedder:
    """Gives text n row n of a matrix."""

    matrix: Floats

    @property
    def provenance(self) -> Provenance:
        """Of no model."""
        checksum = f"{float(self.matrix[0].sum()):.17g}"
        return Provenance("synthetic", None, checksum, "none", "", False, DIMENSIONS, "f32", "0")

    def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        """Look the vectors up."""
        return EmbeddedTexts(self.matrix[[int(text) for text in texts]], 0, np.zeros(len(texts), np.bool_))


def vectors(rows: int, unevenness: float) -> Floats:
    """[rows, DIMENSIONS] around 200 centres."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((200, DIMENSIONS), np.float32)
    made = centres[random.integers(200, size=rows)] + 0.7 * random.standard_normal((rows, DIMENSIONS), np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return np.asarray(made * np.exp(unevenness * random.standard_normal((rows, 1))), np.float32)


def embedded(folder: Path, matrix: Floats, rows: int) -> Path:
    """A dataset of the first rows of a matrix."""
    texts = folder / "texts.txt"
    texts.write_text("".join(f"{number}\n" for number in range(rows)))
    with open_source(InputRequest(texts)) as source:
        return build(source, folder / "dataset", TableEmbedder(matrix)).path


def opened(path: Path, score: str) -> tuple[Any, bool]:
    """The dataset's index, and whether it had to be built."""
    told: list[tuple[int, int]] = []
    dataset = EmbeddedDataset.load(path)
    dataset.index(score, on_progress=lambda done, total: told.append((done, total)))
    return dataset, bool(told)


def is_mapped(folder: Path) -> bool:
    """Whether this process has files of a folder mapped into memory."""
    return str(folder.resolve()) in Path("/proc/self/maps").read_text()


def main() -> None:
    """Print a line a case."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 150_000
    wanted = sys.argv[2:]
    print(f"{rows:,} rows, {QUERIES} questions, top 10")
    for score, unevenness in [case for case in CASES if not wanted or case[0] in wanted]:
        matrix = vectors(rows + QUERIES, unevenness)
        corpus, queries = matrix[:rows], matrix[rows:]
        with tempfile.TemporaryDirectory() as folder:
            path = embedded(Path(folder), matrix, rows)
            _, built = opened(path, score)
            dataset, built_again = opened(path, score)
            mapped = is_mapped(path / ".embedhub" / "index" / score)
            found = [[hit["row"] for hit in hits] for hits in dataset.search_vectors(queries, 10, score=score)]
            exact = top_k(queries, corpus, 10, score).rows
            recall = np.mean([np.isin(a, b).mean() for a, b in zip(found, exact, strict=True)])
            _, built_for_other_data = opened(embedded(Path(folder), matrix, rows - 1), score)
        print(
            f"{score:<9} lengths sigma {unevenness}: recall@10 {recall:.4f}; built {built}, again {built_again}, "
            f"mapped {mapped}, for other data {built_for_other_data}",
            flush=True,
        )


if __name__ == "__main__":
    main()
