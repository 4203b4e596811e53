"""Texts of many kinds, and the vectors that sentence-transformers 6.2.0 (torch 2.13.0, float32) gave for them.

`python -m tests.engine.golden` writes the vectors again; it needs the reference environment.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_VECTORS = Path(__file__).with_name("golden.npz")
_QUESTIONS = Path(__file__).parents[2] / "examples" / "medicare_faq.txt"


def golden_texts() -> list[str]:
    """The Medicare questions, and texts that are short, long, foreign, odd or empty."""
    odd = [
        "",
        " ",
        "a",
        "Hi!",
        "ALL CAPITALS AND   spaces\t\n\n",
        "Crème brûlée naïve façade Zürich",
        "東京は日本の首都です。",
        "Москва — столица России.",
        "مرحبا بالعالم",
        "emoji 🙂🚀👩‍👩‍👧‍👦 and ﬁ ligatures ①",
        "1234567890 3.14159 -1e-10 0xFF",
        "https://example.org/a/b?c=d&e=f#g user@example.org",
        "<html><body onload='x()'>&amp;</body></html>",
        "[CLS] [SEP] [MASK] [PAD] [UNK] ##ing",
        "nul \0 in the middle",
        "supercalifragilisticexpialidocious" * 4,
        "word " * 600,
    ]
    return [*_QUESTIONS.read_text(encoding="utf-8").splitlines(), *odd]


def golden_vectors() -> NDArray[np.float32]:
    """float32 [n, 384], kept as float16."""
    with np.load(_VECTORS) as kept:
        return np.asarray(kept["vectors"], np.float32)


def _write() -> None:
    from sentence_transformers import SentenceTransformer

    from embedhub.config import DEFAULT_MODEL, settings
    from embedhub.models import find_model

    folder = find_model(DEFAULT_MODEL, settings=settings()).folder
    vectors = SentenceTransformer(str(folder), device="cpu").encode(golden_texts())
    np.savez_compressed(_VECTORS, vectors=vectors.astype(np.float16))


if __name__ == "__main__":
    _write()
