"""Texts to vectors in three steps: prepare, compute, finish. One model.

Knows the order of work: texts to ids, ids to packs, packs to pooled vectors, pooled vectors to what was asked for.
Each step lives in a file of its own; this one joins them. `embed` takes them at once; a scheduler takes them one by
one and computes the jobs of many callers together.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from embedhub.config import Settings
from embedhub.engine import postprocess, prompts
from embedhub.engine.inputs import as_texts, check_texts
from embedhub.engine.load import EncoderRequest, load_encoder
from embedhub.engine.options import EncodeOptions
from embedhub.engine.packing import Job
from embedhub.engine.tokenizer import TextTokenizer, TokenizedText
from embedhub.errors import TextTooLongError
from embedhub.models import ModelSpec

# Texts that are sorted and computed together: enough to sort well, few enough to hold their ids in memory.
_WINDOW = 8192

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class PreparedTexts:
    """Texts as the encoder's jobs.

    Attributes:
        jobs: one a text, several for a long text that is read in pieces.
        pieces: int64 [n], jobs of each text.
        tokens: int64 [n], tokens of each whole text.
        truncated: bool [n], whether only a part of the text is read.
    """

    jobs: Sequence[Job]
    pieces: NDArray[np.int64]
    tokens: NDArray[np.int64]
    truncated: NDArray[np.bool_]


@dataclass(frozen=True)
class Embeddings:
    """Vectors with what became of each text.

    Attributes:
        vectors: float32 [n, dimensions].
        tokens: int64 [n], tokens of each whole text, prompt and special tokens included.
        truncated: bool [n], whether only the beginning of the text was read.
    """

    vectors: Floats
    tokens: NDArray[np.int64]
    truncated: NDArray[np.bool_]


class Embedder:
    """One embedding model, loaded. Safe to call from several threads.

    Args:
        model: an id, also with `@revision`, or a folder, or a model that was found already; empty takes the setting.
        config: the settings.
        revision: branch, tag or commit.
        dtype: auto, f32, bf16 or int8; None takes the setting.
        threads: CPU threads; None takes the setting.
        streams: batches computed side by side; None takes the setting.

    Raises:
        ModelError: the model cannot be found, is damaged or cannot be run here.
        SettingError: an unknown dtype, or threads that are no whole number.
    """

    def __init__(
        self,
        model: str | ModelSpec,
        config: Settings,
        *,
        revision: str | None = None,
        dtype: str | None = None,
        threads: int | None = None,
        streams: int | None = None,
    ) -> None:
        request = EncoderRequest(model or config.model, revision, dtype, threads, streams)
        ready = load_encoder(request, "embedding", TextTokenizer, config)
        self.encoder = ready.encoder
        self.batch_size = config.batch_size
        self.spec: ModelSpec = ready.spec
        self.tokenizer = ready.tokenizer
        self._dense = postprocess.load_dense(ready.spec.dense)

    @property
    def dtype(self) -> str:
        """The number type it computes in."""
        return self.encoder.backend.dtype

    @property
    def calibration(self) -> str:
        """Checksum of the int8 calibration in use; empty for other number types."""
        return self.encoder.backend.calibration

    @property
    def backend(self) -> str:
        """What computes it: openvino, onnx or torch."""
        return self.encoder.backend.name

    @property
    def prompts(self) -> dict[str, str]:
        """Prompts by name, as the model's repository states them."""
        return dict(self.spec.prompts)

    @property
    def query_prompt(self) -> str:
        """What the model wants before a query: its prompt for queries, or nothing."""
        return prompts.prompt_of(self.spec, None, prompts.first_prompt(self.spec, prompts.QUERY))

    @property
    def document_prompt(self) -> str:
        """What the model wants before each text of a collection: its prompt for documents, or nothing."""
        return prompts.prompt_of(self.spec, None, prompts.first_prompt(self.spec, prompts.DOCUMENT))

    def embed(self, texts: Iterable[str], options: EncodeOptions | None = None) -> Embeddings:
        """Vectors of texts, with the number of tokens of each and whether it was cut.

        Raises:
            TextTypeError: something that is not a string.
            TextTooLongError: a text is too long and that was to be an error.
            SettingError: an option has an impossible value.
        """
        given = options or EncodeOptions()
        chosen = replace(
            given,
            prompt=prompts.prompt_of(self.spec, given.prompt, None),
            batch_size=self.batch_size if given.batch_size is None else given.batch_size,
        )
        parts = [self._embed_window(window, first, chosen) for first, window in _windows(as_texts(texts)[0])]
        width = chosen.truncate_dim or self.spec.dimensions
        if not parts:
            return Embeddings(np.zeros((0, width), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))
        return Embeddings(
            np.concatenate([part.vectors for part in parts]),
            np.concatenate([part.tokens for part in parts]),
            np.concatenate([part.truncated for part in parts]),
        )

    def prepare(self, texts: Sequence[str], options: EncodeOptions | None = None, first: int = 0) -> PreparedTexts:
        """What the encoder is to compute for texts.

        Args:
            texts: the texts.
            options: as given to `embed`.
            first: number of the first text, for messages.

        Raises:
            TextTypeError, TextTooLongError, SettingError: as `embed`.
        """
        options = options or EncodeOptions()
        prompt = prompts.prompt_of(self.spec, options.prompt, None)
        tokenized = self.tokenizer.tokenize(
            [prompt + text for text in check_texts(texts, first)], keep=options.long_texts_keep
        )
        skipped = self.tokenizer.count_prompt(prompt) if prompt and not self.spec.include_prompt else 0
        return self._jobs(tokenized, options, first, skipped)

    def _jobs(
        self, tokenized: Sequence[TokenizedText], options: EncodeOptions, first: int, skipped: int
    ) -> PreparedTexts:
        if options.long_texts == "error":
            _refuse_long(tokenized, first, self.spec.max_tokens)
        chunk = options.long_texts == "chunk"
        pieces = [text.pieces if chunk else text.pieces[:1] for text in tokenized]
        # Only the first piece of a text begins with its prompt, and none does where a long text's end was kept.
        lost = [options.long_texts_keep == "end" and text.is_long for text in tokenized]
        return PreparedTexts(
            jobs=[
                Job(ids, 0 if later or cut else skipped)
                for text, cut in zip(pieces, lost, strict=True)
                for later, ids in enumerate(text)
            ],
            pieces=np.array([len(text) for text in pieces], np.int64),
            tokens=np.array([text.tokens for text in tokenized], np.int64),
            truncated=np.array([text.is_long and not chunk for text in tokenized], np.bool_),
        )

    def prepare_ids(self, inputs: Sequence[Sequence[int]], options: EncodeOptions) -> PreparedTexts:
        """The same for token ids of the model's own vocabulary; prompts do not apply.

        Raises:
            InputError: an id that the vocabulary does not have, or an empty input.
            TextTooLongError: as `embed`.
        """
        tokenized = [
            self.tokenizer.from_ids(ids, number, keep=options.long_texts_keep) for number, ids in enumerate(inputs)
        ]
        return self._jobs(tokenized, options, first=0, skipped=0)

    def finish(self, pooled: Floats, prepared: PreparedTexts, options: EncodeOptions) -> Floats:
        """Pooled vectors [jobs, encoder.width] to the texts' vectors [n, dimensions].

        Raises:
            SettingError: more dimensions than there are.
        """
        if len(prepared.jobs) > len(prepared.pieces):
            pooled = _merge_pieces(pooled, prepared)
        for layer in self._dense:
            pooled = layer(pooled)
        vectors = postprocess.truncated(pooled, options.truncate_dim)
        wanted = self.spec.normalize if options.normalize is None else options.normalize
        return postprocess.normalized(vectors) if wanted else vectors

    def _embed_window(self, texts: Sequence[str], first: int, options: EncodeOptions) -> Embeddings:
        prepared = self.prepare(texts, options, first)
        pooled = self.encoder.compute(prepared.jobs, mixed=options.mixed, batch_size=options.batch_size)
        vectors = self.finish(pooled, prepared, options)
        return Embeddings(vectors, prepared.tokens, prepared.truncated)


def _windows(texts: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    stream = iter(texts)
    first = 0
    while window := list(islice(stream, _WINDOW)):
        yield first, window
        first += len(window)


def _refuse_long(texts: Sequence[TokenizedText], first: int, limit: int) -> None:
    for number, text in enumerate(texts):
        if text.is_long:
            position = first + number
            raise TextTooLongError(
                f"text {position} has {text.tokens} tokens, the model reads {limit}", position, text.tokens
            )


def _merge_pieces(pooled: Floats, prepared: PreparedTexts) -> Floats:
    """Vectors of pieces to vectors of texts: averaged by the pieces' tokens that were pooled."""
    weights = np.array([max(len(job.ids) - job.skipped, 1) for job in prepared.jobs], np.float32)
    starts = np.cumsum([0, *prepared.pieces[:-1]])
    totals = np.add.reduceat(weights, starts)
    return np.asarray(np.add.reduceat(pooled * weights[:, None], starts, axis=0) / totals[:, None], np.float32)
