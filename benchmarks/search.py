"""How long a question to many rows takes by int8 codes, by a float32 product and by a graph, and what each finds.

    python benchmarks/search.py [ROWS ...]

Synthetic vectors, 384 wide, around 200 centres as texts are around topics. Questions lie by a centre, between two
(a question that names two topics) or anywhere (one that names none). Recall is compared with exact search. The graph is
usearch's HNSW in float16, with its defaults and wider; it needs usearch. Knows no datasets and no server.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.search import RowBlock, open_coded, top_k
from embedhub.search.exact import matrix_blocks

DIMENSIONS = 384
QUESTIONS = 100
TOP_K = 10
NOISE = 0.7
GRAPHS = ((16, 128, 128), (32, 256, 512))
"""Neighbours of a node, candidates while it is added, candidates while searching."""

Floats = NDArray[np.float32]
Search = Callable[[Floats], NDArray[Any]]
"""One question [dims] -> row numbers [TOP_K]."""


def unit(vectors: NDArray[Any]) -> Floats:
    """Rows of length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def around(centres: Floats, random: np.random.Generator) -> Floats:
    """A vector near to each of these."""
    return unit(centres + NOISE * random.standard_normal(centres.shape, np.float32))


def questions_of(centres: Floats, random: np.random.Generator) -> dict[str, Floats]:
    """QUESTIONS of each kind, [q, dims]."""
    one, other = centres[random.integers(len(centres), size=(2, QUESTIONS))]
    return {
        "by a centre": around(one, random),
        "between two": around(one + other, random),
        "anywhere": unit(random.standard_normal((QUESTIONS, DIMENSIONS))),
    }


def by_codes(corpus: Floats, folder: Path) -> Search:
    """The product's own."""

    def source() -> Iterator[RowBlock]:
        return matrix_blocks(corpus)

    index = open_coded(folder, source, fingerprint="synthetic")
    return lambda question: index.search(question, TOP_K).rows[0]


def by_product(corpus: Floats) -> Search:
    """Every row in float32."""

    def search(question: Floats) -> NDArray[Any]:
        scores = corpus @ question
        best = np.argpartition(scores, -TOP_K)[-TOP_K:]
        return best[np.argsort(-scores[best])]

    return search


def by_graph(corpus: Floats, connectivity: int, expansion_add: int, expansion_search: int) -> Search:
    """HNSW; 36 candidates, of which the best are taken by their float32 score."""
    from usearch.index import Index

    graph = Index(
        ndim=DIMENSIONS,
        metric="ip",
        dtype="f16",
        connectivity=connectivity,
        expansion_add=expansion_add,
        expansion_search=expansion_search,
    )
    # Threads that add to a small graph at once lose links of it.
    graph.add(np.arange(4096), corpus[:4096], threads=1)
    graph.add(np.arange(4096, len(corpus)), corpus[4096:])

    def search(question: Floats) -> NDArray[Any]:
        found: NDArray[Any] = graph.search(question, 36).keys.astype(np.int64)
        return found[np.argsort(-(corpus[found] @ question))[:TOP_K]]

    return search


def ways(corpus: Floats, folder: Path) -> Iterator[tuple[str, Callable[[], Search]]]:
    """Name of each way, and what makes it ready."""
    yield "int8 codes", lambda: by_codes(corpus, folder)
    yield "float32 product", lambda: by_product(corpus)
    try:
        import usearch  # noqa: F401
    except ImportError:
        print("without usearch, no graph is measured: pip install usearch", file=sys.stderr)
        return
    for graph in GRAPHS:
        yield "HNSW " + ", ".join(map(str, graph)), lambda graph=graph: by_graph(corpus, *graph)  # type: ignore[misc]


def measured(search: Search, questions: Floats, expected: NDArray[Any]) -> tuple[float, float, float]:
    """Mean recall, least recall, and the median time of a question in ms."""
    search(questions[0])
    recalls, seconds = [], []
    for question, rows in zip(questions, expected, strict=True):
        start = time.perf_counter()
        found = search(question)
        seconds.append(time.perf_counter() - start)
        recalls.append(float(np.isin(rows, found).mean()))
    return statistics.mean(recalls), min(recalls), statistics.median(seconds) * 1000


def main() -> None:
    """Print a table for each number of rows."""
    for rows in [int(argument) for argument in sys.argv[1:]] or [120_000, 1_000_000]:
        random = np.random.default_rng(0)
        centres = random.standard_normal((200, DIMENSIONS)).astype(np.float32)
        corpus = around(centres[random.integers(len(centres), size=rows)], random)
        kinds = questions_of(centres, random)
        expected = {kind: top_k(questions, corpus, TOP_K).rows for kind, questions in kinds.items()}
        print(f"\n{rows:,} rows, {QUESTIONS} questions of a kind, recall@{TOP_K} mean (least)\n")
        print(f"| way | made ready, s | {' | '.join(kinds)} | a question, ms |")
        print("|---|---|" + "---|" * (len(kinds) + 1))
        with tempfile.TemporaryDirectory() as folder:
            for name, ready in ways(corpus, Path(folder) / "codes"):
                start = time.perf_counter()
                search = ready()
                took = time.perf_counter() - start
                figures = [measured(search, kinds[kind], expected[kind]) for kind in kinds]
                recalls = " | ".join(f"{mean:.3f} ({least:.1f})" for mean, least, _ in figures)
                times = statistics.median(milliseconds for *_, milliseconds in figures)
                print(f"| {name} | {took:.1f} | {recalls} | {times:.1f} |", flush=True)
        start = time.perf_counter()
        top_k(kinds["anywhere"], corpus, TOP_K)
        each = (time.perf_counter() - start) / QUESTIONS * 1000
        print(f"\nEach of {QUESTIONS} at once by one float32 product: {each:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
