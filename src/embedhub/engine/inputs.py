"""Whatever a caller hands in as texts, as strings. Pure; knows Python's ways of holding strings."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from embedhub.errors import TextTypeError


def as_texts(sentences: Any) -> tuple[Iterable[str], bool]:
    """The texts, and whether it was a lone string.

    Raises:
        TextTypeError: neither a string nor something to iterate over, or bytes, a mapping or a set, which has no order.
    """
    if isinstance(sentences, str):
        return [str(sentences)], True
    if isinstance(sentences, np.ndarray) and sentences.ndim == 0:
        return [sentences.item()], True
    if isinstance(sentences, bytes | dict | set | frozenset) or not isinstance(sentences, Iterable):
        raise TextTypeError(f"texts are a string or a list of strings, not {type(sentences).__name__}")
    return sentences, False


def check_texts(texts: Iterable[Any], first: int = 0) -> Sequence[str]:
    """The texts as plain strings.

    Args:
        texts: the texts.
        first: number of the first one, for the message.

    Raises:
        TextTypeError: one is not a string; the message has its number.
    """
    checked = []
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TextTypeError(f"text {first + number} is {type(text).__name__}, not a string")
        checked.append(str(text))
    return checked
