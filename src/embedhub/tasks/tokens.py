"""The tokens of texts, and the texts of tokens. Nothing is left for the encoder: these plans have no jobs."""

from collections.abc import Sequence, Sized
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.prompts import prompt_of
from embedhub.engine.spans import TokenSpans
from embedhub.tasks.plan import AnyModel, Plan


@dataclass(frozen=True)
class TokenizeTexts:
    """Ask for every token of texts, whole.

    Attributes:
        inputs: the texts.
        prompt_name: name of one of the model's prompts, put before every text; None puts nothing there.
        add_special_tokens: put the tokens around a text that the model reads with it.
    """

    inputs: Sequence[str]
    prompt_name: str | None = None
    add_special_tokens: bool = True

    @property
    def texts(self) -> Sequence[str]:
        """Everything that is to be read, in the order of the plan's tokens."""
        return self.inputs


@dataclass(frozen=True)
class DecodeTokens:
    """Ask for the texts that lists of token ids stand for, without the special tokens or with them."""

    ids: Sequence[Sequence[int]]
    skip_special_tokens: bool = True

    @property
    def texts(self) -> Sequence[Sequence[int]]:
        """Everything that is to be read, in the order of the plan's tokens."""
        return self.ids


def prepare_tokenizing(model: AnyModel, request: TokenizeTexts) -> Plan[list[TokenSpans]]:
    """Plan of the tokens of each text."""
    prompt = prompt_of(model.spec, None, request.prompt_name) if request.prompt_name else ""
    texts = [prompt + text for text in request.inputs]
    found = model.tokenizer.spans(texts, add_special_tokens=request.add_special_tokens)
    return Plan((), *_counted(found), finish=lambda outputs: found)


def prepare_decoding(model: AnyModel, request: DecodeTokens) -> Plan[list[str]]:
    """Plan of texts."""
    found = model.tokenizer.decode(request.ids, skip_special_tokens=request.skip_special_tokens)
    return Plan((), *_counted(request.ids), finish=lambda outputs: found)


def _counted(tokens: Sequence[Sized]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Tokens of each input, and that none was cut."""
    return np.array([len(each) for each in tokens], np.int64), np.zeros(len(tokens), np.bool_)
