"""Logits to scores. Pure arrays; refuses to know models.

Nothing overflows, however large a logit is: exponentials are only taken of numbers that are not positive.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def identity(logits: Floats) -> Floats:
    """The logits themselves."""
    return logits


def sigmoid(logits: Floats) -> Floats:
    """Each logit by itself, from 0 to 1; any shape."""
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1, small) / (1 + small), np.float32)


def softmax(logits: Floats) -> Floats:
    """The logits of each row [..., labels] as shares of one."""
    if not logits.size:
        return logits
    # The largest, not the largest in size: that one may be negative, and the others would overflow.
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), np.float32)


# By the names of `ModelSpec.activation`.
ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {"identity": identity, "sigmoid": sigmoid, "softmax": softmax}
