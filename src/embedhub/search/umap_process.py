"""UMAP in a process of its own, which yields to everybody else: `python -m embedhub.search.umap_process IN OUT`.

Reads vectors from a file of NumPy's, writes points to another. A process, because it takes minutes and gigabytes, has
threads of its own, and can be ended.
"""

import os
import sys
from pathlib import Path

import numpy as np

from embedhub.search.projection import umap_points

# The lowest there is: whoever asks a question goes first.
_NICENESS = 19


def main(source: Path, target: Path) -> None:
    """Compute."""
    os.nice(_NICENESS)
    points = umap_points(np.load(source))
    with target.open("wb") as file:
        np.save(file, points)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
