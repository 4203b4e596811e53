"""Vectors that sentence-transformers gave for a few texts, by the weights they were made with.

Knows the files in `reference_vectors/`, one a model. Refuses to know how close is close enough. The files are written
by `python -m tests.engine.references`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

_FOLDER = Path(__file__).with_name("reference_vectors")

# So much of the checksum names a file; the whole stands in it.
_PREFIX = 16


@dataclass(frozen=True)
class Reference:
    """Texts and what they must become.

    Attributes:
        made_by: the libraries and the number type that made the vectors.
        texts: short texts.
        vectors: float32 [texts, dimensions].
    """

    made_by: str
    texts: tuple[str, ...]
    vectors: NDArray[np.float32]


def reference_path(weights_sha256: str) -> Path:
    """Where the vectors of a model with these weights are kept, if they are."""
    return _FOLDER / f"{weights_sha256[:_PREFIX]}.json"


def find_reference(weights_sha256: str) -> Reference | None:
    """The vectors that were made with these weights; None if there are none."""
    path = reference_path(weights_sha256)
    if not path.is_file():
        return None
    kept = orjson.loads(path.read_bytes())
    if kept["weights_sha256"] != weights_sha256:
        return None
    return Reference(kept["made_by"], tuple(kept["texts"]), np.array(kept["vectors"], np.float32))
