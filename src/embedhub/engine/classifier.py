"""`Classifier`: texts and pairs of texts in, scores out, one text classifier or cross-encoder.

Knows the order of work, as `Model` does for embeddings, and shares its way: texts to ids, ids to packs, packs to the
vectors of first tokens; then a small head. `prepare` and `finish` are the steps before and behind the encoder, for
callers that pack inputs of several requests together. Names and defaults are those of sentence-transformers'
`CrossEncoder`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.config import Settings, settings
from embedhub.engine import scores
from embedhub.engine.heads import load_head
from embedhub.engine.inputs import as_inputs, as_texts, check_inputs, check_texts
from embedhub.engine.load import EncoderRequest, load_encoder
from embedhub.engine.options import KEPT_PARTS
from embedhub.engine.packing import Job
from embedhub.engine.tokenizer import PairTokenizer
from embedhub.errors import SettingError, UnsupportedModelError
from embedhub.models import ModelSpec
from embedhub.values import whole_number

# Inputs that are sorted and computed together, as in `model`.
_WINDOW = 8192

Floats = NDArray[np.float32]
Input = str | tuple[str, str]


@dataclass(frozen=True)
class PreparedInputs:
    """Texts and pairs as the encoder's jobs.

    Attributes:
        jobs: one an input.
        tokens: int64 [n], tokens of each whole input.
        cut: bool [n, 2], whether only a part is read of its first text, and of its second.
    """

    jobs: Sequence[Job]
    tokens: NDArray[np.int64]
    cut: NDArray[np.bool_]

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """Whether only a part of each input is read, bool [n]."""
        return np.asarray(self.cut.any(axis=1), np.bool_)


class Classifier:
    """One text classifier or cross-encoder, ready to run. Safe to call from several threads.

    Args:
        name_or_path: an id such as `cross-encoder/ms-marco-MiniLM-L6-v2`, also with `@revision`, or a folder, or what
            `find_model` gave.
        revision: branch, tag or commit.
        dtype: auto, f32 or bf16; None takes the setting.
        threads: CPU threads; None takes the setting.
        streams: batches computed side by side; None takes the setting.
        config: settings to use instead of the process's.

    Raises:
        ModelError: the model cannot be found, is damaged, is no classifier or cannot be run here.
        SettingError: an unknown dtype.
    """

    def __init__(
        self,
        name_or_path: str | Path | ModelSpec,
        *,
        revision: str | None = None,
        dtype: str | None = None,
        threads: int | None = None,
        streams: int | None = None,
        config: Settings | None = None,
    ) -> None:
        chosen = config or settings()
        model = name_or_path if isinstance(name_or_path, ModelSpec) else str(name_or_path)
        request = EncoderRequest(model, revision, dtype, threads, streams)
        ready = load_encoder(request, "classifier", PairTokenizer, chosen)
        self.encoder = ready.encoder
        self.spec: ModelSpec = ready.spec
        self.tokenizer = ready.tokenizer
        self._head = load_head(ready.spec)
        self._prompt = ready.spec.prompts.get(ready.spec.default_prompt_name or "", "")

    @property
    def dtype(self) -> str:
        """The number type it computes in."""
        return self.encoder.backend.dtype

    @property
    def backend(self) -> str:
        """What computes it."""
        return self.encoder.backend.name

    @property
    def calibration(self) -> str:
        """Empty: classifiers are not computed in int8."""
        return self.encoder.backend.calibration

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the logits."""
        return self.spec.labels

    @property
    def is_cross_encoder(self) -> bool:
        """Whether it gives one number an input, so that pairs can be ranked by it."""
        return len(self.labels) == 1

    @property
    def max_seq_length(self) -> int:
        """Longest input in tokens, special tokens and both texts of a pair included."""
        return self.spec.max_tokens

    def prepare(self, inputs: Iterable[Any], first: int = 0, *, keep: str | None = None) -> PreparedInputs:
        """What the encoder is to compute; the model's default prompt, if it has one, stands before each input.

        Args:
            inputs: strings and pairs of strings.
            first: number of the first one, for messages.
            keep: `start` or `end`, the part of a long text that is read; None does as the repository says.

        Raises:
            TextTypeError: something that is neither a string nor a pair of strings; the message has its number.
            SettingError: another part.
        """
        if keep is not None and keep not in KEPT_PARTS:
            raise SettingError(f"keep is {keep!r:.40}, which is not one of {', '.join(KEPT_PARTS)}")
        checked = check_inputs(inputs, first)
        if self._prompt:
            checked = [
                self._prompt + each if isinstance(each, str) else (self._prompt + each[0], each[1]) for each in checked
            ]
        tokenized = self.tokenizer.tokenize(checked, keep=keep)
        return PreparedInputs(
            jobs=[Job(each.ids, types=each.types) for each in tokenized],
            tokens=np.array([each.tokens for each in tokenized], np.int64),
            cut=np.array([each.cut for each in tokenized], np.bool_).reshape(-1, 2),
        )

    def finish(self, pooled: Floats) -> Floats:
        """Vectors of first tokens [n, hidden size] through the head: logits, float32 [n, labels]."""
        return self._head(pooled)

    def logits(self, inputs: Iterable[Input], *, mixed: bool = False, batch_size: int | None = None) -> Floats:
        """Logits of texts and pairs, float32 [n, labels].

        Args:
            inputs: strings and pairs of strings.
            mixed: pack inputs of all lengths into rows in order of arrival, instead of sorting them into batches.
            batch_size: inputs in a sorted batch.

        Raises:
            TextTypeError: something that is neither a string nor a pair of strings.
            SettingError: an impossible batch size.
        """
        if batch_size is not None:
            whole_number("batch_size", batch_size)
        stream = iter(as_texts(inputs)[0])
        parts = [np.zeros((0, len(self.labels)), np.float32)]
        first = 0
        while window := list(islice(stream, _WINDOW)):
            pooled = self.encoder.compute(self.prepare(window, first).jobs, mixed=mixed, batch_size=batch_size)
            parts.append(self.finish(pooled))
            first += len(window)
        return np.concatenate(parts)

    def predict(
        self,
        inputs: Any,
        activation_fn: Callable[[Floats], Floats] | None = None,
        apply_softmax: bool = False,
        *,
        batch_size: int | None = None,
    ) -> Any:
        """Scores as sentence-transformers' `CrossEncoder.predict` gives them.

        Args:
            inputs: pairs of strings. A list of two strings is one pair, and a string one text.
            activation_fn: applied to the logits [n, labels]; without it what the repository states, else sigmoid for
                one label and nothing for several.
            apply_softmax: make the scores of several labels shares of one, after the activation.
            batch_size: inputs in a batch.

        Returns:
            float32 [n] for one label, else [n, labels]; without the first axis for a single input.

        Raises:
            TextTypeError: something that is neither a string nor a pair of strings.
            SettingError: an impossible batch size.
        """
        given, lone = as_inputs(inputs)
        stated = self.spec.stated_activation or ("sigmoid" if self.is_cross_encoder else "identity")
        found = (activation_fn or scores.ACTIVATIONS[stated])(self.logits(given, batch_size=batch_size))
        if self.is_cross_encoder:
            found = found[:, 0]
        elif apply_softmax:
            found = scores.softmax(found)
        return found[0] if lone else found

    def rank(
        self,
        query: str,
        documents: Iterable[str],
        top_k: int | None = None,
        return_documents: bool = False,
        *,
        activation_fn: Callable[[Floats], Floats] | None = None,
        batch_size: int | None = None,
    ) -> list[dict[str, Any]]:
        """Documents by their score for a query, best first; equal ones in the order in which they came.

        Args:
            query: the first text of each pair.
            documents: the second texts.
            top_k: how many to give; None gives all.
            return_documents: whether each hit brings its text.
            activation_fn: see `predict`.
            batch_size: inputs in a batch.

        Returns:
            A `corpus_id` (number of the document), a `score`, and with `return_documents` a `text`, for each hit.

        Raises:
            UnsupportedModelError: the model has several labels, none of which is relevance.
            TextTypeError: something that is not a string.
            SettingError: `top_k` is below 1, or an impossible batch size.
        """
        if not self.is_cross_encoder:
            raise UnsupportedModelError(
                f"{self.spec.id} has {len(self.labels)} labels and cannot rank; use predict, or a model with one label"
            )
        if top_k is not None and top_k < 1:
            raise SettingError(f"top_k is {top_k}, at least 1 is needed")
        (wanted,) = check_texts([query])
        texts = check_texts(as_texts(documents)[0])
        pairs = [(wanted, text) for text in texts]
        found = self.predict(pairs, activation_fn, batch_size=batch_size)
        best = np.argsort(-found, kind="stable")[:top_k].tolist()
        hits = [{"corpus_id": number, "score": float(found[number])} for number in best]
        return [hit | {"text": texts[hit["corpus_id"]]} for hit in hits] if return_documents else hits
