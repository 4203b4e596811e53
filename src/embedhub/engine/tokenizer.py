"""Text to token ids. Knows the tokenizer files of a model folder, refuses to know weights.

For embeddings (`TextTokenizer`), a text that is too long is cut into pieces that are each a whole input, special
tokens included; the caller decides whether to use the first or all of them. For classifiers (`PairTokenizer`), texts
and pairs of texts lose their ends. The caller always learns how many tokens there were.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer

from embedhub.engine.patience import go_on
from embedhub.engine.spans import TokenSpans
from embedhub.errors import InputError, ModelIntegrityError
from embedhub.models import ModelSpec
from embedhub.models.json_files import read_object, text

# Inputs, and characters, that are given to the library at once: some milliseconds, during which nobody can give up.
_LOT_INPUTS = 512
_LOT_CHARACTERS = 100_000


Given = TypeVar("Given", str, str | tuple[str, str])


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


@dataclass(frozen=True)
class TokenizedInput:
    """A text or a pair of texts for a classifier, as token ids.

    Attributes:
        ids: one whole input, special tokens included.
        types: which text of the pair each token belongs to, 0 or 1; zeros where the model is not told.
        tokens: tokens of the whole text or pair, special tokens included.
        cut: whether the first text lost tokens, and the second.
    """

    ids: list[int]
    types: list[int]
    tokens: int
    cut: tuple[bool, bool] = (False, False)

    @property
    def truncated(self) -> bool:
        """Whether any of it was cut."""
        return any(self.cut)


class ModelTokenizer:
    """The tokenizer of one model; `TextTokenizer` and `PairTokenizer` say what becomes of long texts.

    Args:
        spec: the model.
        is_pair: whether there must be room for two texts.

    Raises:
        ModelIntegrityError: no tokenizer file, or one that cannot be read.
    """

    def __init__(self, spec: ModelSpec, *, is_pair: bool) -> None:
        self.max_tokens = spec.max_tokens
        self._lower_case = spec.lower_case
        self._tokenizer = load_tokenizer(spec)
        self._tokenizer.no_padding()
        self.largest_id = max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
        self._special = self._tokenizer.num_special_tokens_to_add(is_pair=is_pair)
        if self.max_tokens <= self._special:
            raise ModelIntegrityError(f"{spec.folder}: max_tokens {self.max_tokens} leaves no room for a text")
        self.filler = int(spec.config.get("pad_token_id") or 0)

    def _encode(self, inputs: Sequence[str | tuple[str, str]], tokenizer: Tokenizer) -> Iterator[Any]:
        for lot in _lots(inputs):
            prepared = [_each(str.lower, given) for given in lot] if self._lower_case else lot
            try:
                yield from tokenizer.encode_batch_fast(prepared)
            except TypeError:
                # Half a surrogate pair is no character and cannot become UTF-8.
                yield from tokenizer.encode_batch_fast([_each(without_lone_surrogates, each) for each in prepared])

    def spans(self, texts: Sequence[str], *, add_special_tokens: bool = True) -> list[TokenSpans]:
        """Every token of each whole text with its place; nothing is cut."""
        whole = [without_lone_surrogates(text.lower() if self._lower_case else text) for text in texts]
        found: list[TokenSpans] = []
        for lot in _lots(whole):
            encodings = self._cutting_nothing.encode_batch(lot, add_special_tokens=add_special_tokens)
            found += [TokenSpans(text, encoding) for text, encoding in zip(lot, encodings, strict=True)]
        return found

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


class TextTokenizer(ModelTokenizer):
    """The tokenizer of an embedding model.

    Attributes:
        max_tokens: longest input, special tokens included.
        least_tokens: shortest input that has room for a token of a text.
        largest_id: largest token id that it gives.
        filler: token id for places without a text.

    Raises:
        ModelIntegrityError: no tokenizer file, or one that cannot be read.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, is_pair=False)
        self.least_tokens = self._special + 1
        self._tokenizer.enable_truncation(self.max_tokens, stride=0)
        self._from_the_end: Tokenizer | None = None

    def tokenize(self, texts: Sequence[str], *, keep: str = "start") -> list[TokenizedText]:
        """Token ids of each text.

        Args:
            texts: the texts.
            keep: `start` or `end`: which part of a long text is its first piece.
        """
        tokenizer = self._tokenizer if keep == "start" else self._keeping_the_end()
        return [self._text(encoding) for encoding in self._encode(texts, tokenizer)]

    def from_ids(self, ids: Sequence[int], number: int = 0, *, keep: str = "start") -> TokenizedText:
        """Token ids of the model's own vocabulary as an input; special tokens are put around them if they lack.

        Args:
            ids: the ids.
            number: which input it is, for messages.
            keep: `start` or `end`: which part of a long input is its first piece.

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
        if keep == "end" and len(pieces) > 1:
            pieces.insert(0, content[-room:])
        return TokenizedText(tuple([*start, *piece, *end] for piece in pieces), len(content) + self._special)

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


class PairTokenizer(ModelTokenizer):
    """The tokenizer of a classifier, for texts and pairs of texts. Long ones are cut as transformers does.

    Attributes:
        gives_types: whether the model is told which text of a pair a token belongs to.

    Raises:
        ModelIntegrityError: no tokenizer file, or one that cannot be read.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, is_pair=True)
        # Cut here and not by the library, which would also make every combination of pieces of two long texts.
        self._tokenizer.no_truncation()
        path = spec.folder / "tokenizer_config.json"
        settings = read_object(path)
        self._usual_keep = "end" if text(settings, "truncation_side", path) == "left" else "start"
        self.gives_types = _gives_types(settings)

    def tokenize(self, inputs: Sequence[str | tuple[str, str]], *, keep: str | None = None) -> list[TokenizedInput]:
        """Token ids and types of each text or pair.

        Args:
            inputs: the texts and pairs.
            keep: `start` or `end`: which part of a long text stays; None does as the tokenizer's settings say.
        """
        chosen = keep or self._usual_keep
        return [self._input(encoding, chosen) for encoding in self._encode(inputs, self._tokenizer)]

    def _input(self, encoding: Any, keep: str) -> TokenizedInput:
        ids: list[int] = encoding.ids
        types: list[int] = encoding.type_ids if self.gives_types else [0] * len(ids)
        if len(ids) > self.max_tokens:
            kept, cut = self._kept(encoding, keep)
            return TokenizedInput([ids[place] for place in kept], [types[place] for place in kept], len(ids), cut)
        if not ids:
            # An empty text, and a tokenizer without special tokens.
            return TokenizedInput([self.filler], [0], 0)
        return TokenizedInput(ids, types, len(ids))

    def _kept(self, encoding: Any, keep: str) -> tuple[list[int], tuple[bool, bool]]:
        """The places of an input's tokens that stay, and which of its texts lost some."""
        texts = np.array([-1 if each is None else each for each in encoding.sequence_ids])
        stays = texts < 0
        places = [np.flatnonzero(texts == number) for number in (0, 1)]
        lengths = kept_lengths(len(places[0]), len(places[1]), self.max_tokens - int(stays.sum()))
        for own, length in zip(places, lengths, strict=True):
            stays[own[len(own) - length :] if keep == "end" else own[:length]] = True
        return np.flatnonzero(stays).tolist(), (lengths[0] < len(places[0]), lengths[1] < len(places[1]))


def kept_lengths(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of each text of a pair stay, so that both fit: `longest_first` of the tokenizers library.

    The longer text is cut first; when both are longer than half of the room, each gets half.
    """
    if first + second <= room:
        return first, second
    shorter = min(first, second)
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter, longer = room // 2, room - room // 2
    return (shorter, longer) if first <= second else (longer, shorter)


def _lots(inputs: Sequence[Given]) -> Iterator[list[Given]]:
    """The inputs, some at a time, for as long as anybody waits for them."""
    lot: list[Given] = []
    characters = 0
    for given in inputs:
        lot.append(given)
        characters += len(given) if isinstance(given, str) else len(given[0]) + len(given[1])
        if len(lot) == _LOT_INPUTS or characters >= _LOT_CHARACTERS:
            go_on()
            yield lot
            lot, characters = [], 0
    if lot:
        go_on()
        yield lot


def _each(change: Callable[[str], str], given: str | tuple[str, str]) -> str | tuple[str, str]:
    return change(given) if isinstance(given, str) else (change(given[0]), change(given[1]))


def _gives_types(settings: Mapping[str, Any]) -> bool:
    """Whether transformers hands the token types to the model.

    A list of inputs decides. Without one, tokenizers of no particular class give none since transformers 5, which
    calls that class TokenizersBackend; for others the post-processor of tokenizer.json knows.
    """
    names = settings.get("model_input_names")
    if isinstance(names, list):
        return "token_type_ids" in names
    return settings.get("tokenizer_class") != "TokenizersBackend"


def without_lone_surrogates(text: str) -> str:
    """The text with halves of surrogate pairs joined where they meet and replaced by U+FFFD where they do not."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def load_tokenizer(spec: ModelSpec) -> Tokenizer:
    """The tokenizer in a model's folder, as the tokenizers library has it.

    Raises:
        ModelIntegrityError: no tokenizer file, or one that cannot be read.
    """
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
