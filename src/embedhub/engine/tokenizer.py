"""Text to token ids. Knows the tokenizer files of a model folder, refuses to know weights.

A text that is too long is cut into pieces that are each a whole input, special tokens included; the caller decides
whether to use the first or all of them, and always learns how many tokens there were.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer

from embedhub.errors import InputError, ModelIntegrityError
from embedhub.models import ModelSpec
from embedhub.models.json_files import read_object


@dataclass(frozen=True)
class TokenizedText:
    """One text as token ids.

    Attributes:
        pieces: at least one input; several when the text is longer than the model reads.
        tokens: tokens of the whole text, special tokens counted once.
    """

    pieces: tuple[list[int], ...]
    tokens: int

    @property
    def is_long(self) -> bool:
        """Whether the text does not fit one input."""
        return len(self.pieces) > 1


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


class TextTokenizer:
    """The tokenizer of one model.

    Raises:
        ModelIntegrityError: no tokenizer file, or one that cannot be read.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.max_tokens = spec.max_tokens
        self._lower_case = spec.lower_case
        self._tokenizer = _load(spec)
        self._tokenizer.no_padding()
        self.largest_id = max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
        self._special = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        if self.max_tokens <= self._special:
            raise ModelIntegrityError(f"{spec.folder}: max_tokens {self.max_tokens} leaves no room for a text")
        self._tokenizer.enable_truncation(self.max_tokens, stride=0)
        self._from_the_end: Tokenizer | None = None
        self.filler = int(spec.config.get("pad_token_id") or 0)

    def tokenize(self, texts: Sequence[str], *, keep: str = "start") -> list[TokenizedText]:
        """Token ids of each text.

        Args:
            texts: the texts.
            keep: `start` or `end`: which part of a long text is its first piece.
        """
        tokenizer = self._tokenizer if keep == "start" else self._keeping_the_end()
        prepared = [text.lower() for text in texts] if self._lower_case else list(texts)
        try:
            encodings = tokenizer.encode_batch_fast(prepared)
        except TypeError:
            # Half a surrogate pair is no character and cannot become UTF-8.
            encodings = tokenizer.encode_batch_fast([without_lone_surrogates(text) for text in prepared])
        return [self._text(encoding) for encoding in encodings]

    def from_ids(self, ids: Sequence[int], number: int = 0) -> TokenizedText:
        """Token ids of the model's own vocabulary as an input; special tokens are put around them if they lack.

        Args:
            ids: the ids.
            number: which input it is, for messages.

        Raises:
            InputError: no ids, or one that the vocabulary does not have.
        """
        if not ids:
            raise InputError(f"input {number} has no token ids")
        self._check_ids(ids, number)
        start, end = self._around
        content = list(ids)
        if content[: len(start)] == start and content[len(content) - len(end) :] == end:
            content = content[len(start) : len(content) - len(end)]
        room = self.max_tokens - self._special
        pieces = [content[at : at + room] for at in range(0, max(len(content), 1), room)]
        return TokenizedText(tuple([*start, *piece, *end] for piece in pieces), len(content) + self._special)

    def spans(self, texts: Sequence[str], *, add_special_tokens: bool = True) -> list[TokenSpans]:
        """Every token of each whole text with its place; nothing is cut."""
        whole = [without_lone_surrogates(text.lower() if self._lower_case else text) for text in texts]
        encodings = self._cutting_nothing.encode_batch(whole, add_special_tokens=add_special_tokens)
        return [TokenSpans(text, encoding) for text, encoding in zip(whole, encodings, strict=True)]

    def decode(self, inputs: Sequence[Sequence[int]], *, skip_special_tokens: bool = True) -> list[str]:
        """The texts that token ids stand for, as far as a vocabulary without capitals or spaces can tell.

        Raises:
            InputError: an id that the vocabulary does not have.
        """
        for number, ids in enumerate(inputs):
            self._check_ids(ids, number)
        return list(self._tokenizer.decode_batch(inputs, skip_special_tokens=skip_special_tokens))

    def _check_ids(self, ids: Sequence[int], number: int) -> None:
        if ids and (min(ids) < 0 or max(ids) > self.largest_id):
            raise InputError(
                f"input {number} has token id {max(ids)}; the model's own vocabulary has 0 to {self.largest_id}: "
                "were the ids made by another tokenizer? Send texts instead"
            )

    @cached_property
    def _cutting_nothing(self) -> Tokenizer:
        other = Tokenizer.from_str(self._tokenizer.to_str())
        other.no_truncation()
        return other

    @cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after every input."""
        encoding = self._tokenizer.encode("a")
        content = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
        if not content:
            return list(encoding.ids[:1]), list(encoding.ids[1:])
        return list(encoding.ids[: content[0]]), list(encoding.ids[content[-1] + 1 :])

    def count_prompt(self, prompt: str) -> int:
        """Tokens that a prompt puts before a text, the leading special token included, the closing one not."""
        return len(self._tokenizer.encode(prompt).ids) - (1 if self._special > 1 else 0)

    def _keeping_the_end(self) -> Tokenizer:
        # A tokenizer's way of cutting is a state of it, so another way wants another tokenizer.
        if self._from_the_end is None:
            other = Tokenizer.from_str(self._tokenizer.to_str())
            other.enable_truncation(self.max_tokens, stride=0, direction="left")
            self._from_the_end = other
        return self._from_the_end

    def _text(self, encoding: Any) -> TokenizedText:
        ids: list[int] = encoding.ids
        if len(ids) < self.max_tokens:
            return TokenizedText((ids,), len(ids))
        pieces = (ids, *(piece.ids for piece in encoding.overflowing))
        return TokenizedText(pieces, sum(map(len, pieces)) - self._special * (len(pieces) - 1))


def without_lone_surrogates(text: str) -> str:
    """The text with halves of surrogate pairs joined where they meet and replaced by U+FFFD where they do not."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _load(spec: ModelSpec) -> Tokenizer:
    path = spec.folder / "tokenizer.json"
    vocabulary = spec.folder / "vocab.txt"
    if path.is_file():
        return _read(path)
    if vocabulary.is_file() and spec.architecture in {"bert", "distilbert"}:
        tokenizer: Tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=_is_uncased(spec))._tokenizer
        return tokenizer
    raise ModelIntegrityError(
        f"{path} is missing; save one with transformers: AutoTokenizer.from_pretrained(...).save_pretrained(...)"
    )


def _read(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:
        raise ModelIntegrityError(f"{path}: not a readable tokenizer ({error})") from error


def _is_uncased(spec: ModelSpec) -> bool:
    return bool(read_object(spec.folder / "tokenizer_config.json").get("do_lower_case", True))
