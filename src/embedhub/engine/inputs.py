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


def as_inputs(inputs: Any) -> tuple[Iterable[Any], bool]:
    """What a classifier is asked about, and whether it was a single input, as sentence-transformers tells them apart.

    A string is a single text; a list or tuple whose first item is a string is a single pair; everything else holds
    inputs.

    Raises:
        TextTypeError: nothing to iterate over, or something without an order.
    """
    given = inputs.tolist() if isinstance(inputs, np.ndarray) else inputs
    if isinstance(given, list | tuple) and given and isinstance(given[0], str):
        return [tuple(given)], True
    return as_texts(given)


def check_inputs(inputs: Iterable[Any], first: int = 0) -> list[str | tuple[str, str]]:
    """Texts and pairs of texts as plain strings and tuples.

    Args:
        inputs: strings, and tuples or lists of two strings.
        first: number of the first one, for the message.

    Raises:
        TextTypeError: one is something else; the message has its number.
    """
    checked: list[str | tuple[str, str]] = []
    for number, given in enumerate(inputs, first):
        pair = given.tolist() if isinstance(given, np.ndarray) else given
        if isinstance(pair, str):
            checked.append(str(pair))
        elif isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(text, str) for text in pair):
            checked.append((str(pair[0]), str(pair[1])))
        else:
            what = f"{len(pair)} items" if isinstance(pair, list | tuple) else type(given).__name__
            raise TextTypeError(f"input {number} is {what}, not a text or a pair (text, text)")
    return checked


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
