"""The tokens of a text with their places in it, for people who want to see them. Knows nothing of models."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its place in its text.

    Attributes:
        id: its number in the vocabulary.
        text: what it stands for in the text; of a special token its name.
        special: whether the tokenizer put it there.
        start, stop: its place in characters (code points), `text[start:stop]`; None for a special token.
    """

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class TokenSpans:
    """The tokens of one text, made one by one: a list of millions would take gigabytes."""

    def __init__(self, text: str, encoding: Any) -> None:
        self._text = text
        self._encoding = encoding

    def __len__(self) -> int:
        return len(self._encoding)

    def __iter__(self) -> Iterator[Token]:
        encoding = self._encoding
        parts = (encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets)
        for id, name, special, (start, stop) in zip(*parts, strict=True):
            if special:
                yield Token(id, name, True, None, None)
            else:
                yield Token(id, self._text[start:stop], False, start, stop)
