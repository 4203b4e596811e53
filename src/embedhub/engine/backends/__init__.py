"""Arrays through weights. Knows machines and number types, refuses to know texts.

A backend has one method that computes. What it gives is the same whatever library computes it, so that everything
above is written once.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.packing import Batch

__all__ = ["Backend", "Take"]

# Called once a batch, from any thread, with float32 [B*T, H] token vectors or [P, H] sums.
Take = Callable[[Batch, NDArray[np.float32]], None]


class Backend(Protocol):
    """Something that computes an encoder.

    Attributes:
        name: as shown to people, such as `openvino`.
        dtype: the number type it computes in.
        packs_rows: whether several texts may share a row.
        lanes: how many batches it computes side by side.
        calibration: checksum of the int8 calibration; empty for other number types.
    """

    name: str
    dtype: str
    packs_rows: bool
    lanes: int
    calibration: str

    def prepare(self, *, tokens: bool) -> None:
        """Compile now what several batches at once need, tokens' vectors or sums; `run` does so when it must.

        Batches are computed meanwhile.
        """
        ...

    def run(self, batches: Iterable[Batch], pool: Callable[[Batch], NDArray[np.float32]] | None, take: Take) -> None:
        """Compute every batch and hand each result to `take`, in any order.

        Args:
            batches: drawn one by one as room becomes free.
            pool: gives the matrix [P, B*T] of the sums wanted; None asks for the tokens' vectors.
            take: gets each batch with its result; an error it raises ends the run and is raised here.
        """
        ...
