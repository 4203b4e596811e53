"""The vectors that a loaded model is compared with, made by sentence-transformers in float32.

`python -m tests.engine.references [MODEL]` writes the file of a model; it needs the reference environment.
"""

import sys
from importlib.metadata import version

import numpy as np
import orjson

from embedhub.config import DEFAULT_MODEL, settings
from embedhub.models import find_model
from embedhub.models.references import reference_path

# Short, because a server computes them each time it loads the model.
TEXTS = (
    "How do I sign up for Medicare?",
    "The quick brown fox jumps over the lazy dog.",
    "Like texts lie near each other.",
    "ok",
    "Crème brûlée is a dessert.",
    "東京は日本の首都です。",
    "def add(a, b): return a + b",
    "The price rose by 2.5 % in May 2024.",
)


def _write(name: str) -> None:
    from sentence_transformers import SentenceTransformer

    spec = find_model(name, settings=settings())
    vectors = np.asarray(SentenceTransformer(str(spec.folder), device="cpu").encode(list(TEXTS)), np.float32)
    made_by = f"sentence-transformers {version('sentence-transformers')}, torch {version('torch')}, float32"
    kept = {"weights_sha256": spec.weights_sha256, "made_by": made_by, "texts": TEXTS, "vectors": vectors}
    path = reference_path(spec.weights_sha256)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(orjson.dumps(kept, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    _write(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_MODEL)
