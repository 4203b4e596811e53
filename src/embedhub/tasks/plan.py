"""What every task comes down to: jobs, and what becomes of their outputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.classifier import Classifier
from embedhub.engine.model import Model
from embedhub.engine.packing import Job
from embedhub.errors import TextTooLongError

Result = TypeVar("Result", covariant=True)

AnyModel = Model | Classifier


@dataclass(frozen=True)
class Plan(Generic[Result]):
    """A request, ready to be computed.

    Attributes:
        jobs: for the encoder.
        tokens: int64, tokens of everything that is to be read, each whole.
        truncated: bool [n], whether only a part of an input is read.
        query_truncated: whether only a part is read of the text that the inputs are compared with, which is none of
            them.
        finish: outputs to the result. The outputs are float32 [jobs, encoder.width], or with `of_tokens` a list of
            float32 [tokens, H].
        of_tokens: whether the vectors of tokens are wanted instead of pooled ones.
        method: how the result comes about, where there are several ways; for a response's headers.
    """

    jobs: Sequence[Job]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.bool_]
    finish: Callable[[Any], Result]
    of_tokens: bool = False
    method: str = ""
    query_truncated: bool = False

    @property
    def read_tokens(self) -> int:
        """Tokens that are read in all: without what is cut away, and those of every piece of a text in pieces."""
        return sum(len(job.ids) for job in self.jobs) if self.jobs else int(self.tokens.sum())


def refuse_long(tokens: NDArray[np.int64], truncated: NDArray[np.bool_], limit: int, long_texts: str) -> None:
    """Refuse inputs that were cut, where the caller forbade it.

    Raises:
        TextTooLongError: one was cut; the message has its number.
    """
    if long_texts == "error" and truncated.any():
        number = int(truncated.argmax())
        raise TextTooLongError(f"text {number} has {tokens[number]} tokens, the model reads {limit}")
