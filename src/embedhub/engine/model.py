"""`Model`: text in, vectors out, one model.

Knows the order of work: texts to ids, ids to packs, packs to pooled vectors, pooled vectors to what was asked for.
Each step lives in a file of its own; this one joins them. Names and defaults are those of sentence-transformers'
`SentenceTransformer`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.config import Settings, settings
from embedhub.engine import packing, pooling, postprocess
from embedhub.engine.inputs import as_texts, check_texts
from embedhub.engine.load import EncoderRequest, load_encoder
from embedhub.engine.tokenizer import TextTokenizer, TokenizedText
from embedhub.errors import SettingError, TextTooLongError
from embedhub.models import ModelSpec

# Texts that are sorted and computed together: enough to sort well, few enough to hold their ids in memory.
_WINDOW = 8192

# Names under which models keep the prompt for documents, in order of preference.
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")

LONG_TEXTS = ("truncate", "error", "chunk")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class EncodeOptions:
    """What a caller may ask for beside the texts. Every door hands on one of these.

    `prompt` None is the model's default prompt, if it has one; `batch_size` None is the setting.
    """

    prompt: str | None = None
    normalize: bool = False
    truncate_dim: int | None = None
    batch_size: int | None = None
    long_texts: str = "truncate"
    mixed: bool = False


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


class Model:
    """One embedding model, ready to run. Safe to call from several threads.

    Args:
        name_or_path: an id such as `sentence-transformers/all-MiniLM-L6-v2`, also with `@revision`, or a folder.
        revision: branch, tag or commit.
        dtype: auto, f32, bf16 or int8; None takes the setting.
        threads: CPU threads; None takes the setting.
        streams: batches computed side by side; None takes the setting.
        config: settings to use instead of the process's.

    Raises:
        ModelError: the model cannot be found, is damaged or cannot be run here.
        SettingError: an unknown dtype.
    """

    def __init__(
        self,
        name_or_path: str | Path | None = None,
        *,
        revision: str | None = None,
        dtype: str | None = None,
        threads: int | None = None,
        streams: int | None = None,
        config: Settings | None = None,
    ) -> None:
        chosen = config or settings()
        request = EncoderRequest(str(name_or_path or chosen.model), revision, dtype, threads, streams)
        encoder = load_encoder(request, "embedding", TextTokenizer, chosen)
        self._tokenizer = encoder.tokenizer
        self._backend = encoder.backend
        self._dense = postprocess.load_dense(encoder.spec.dense)
        self._pack_tokens = encoder.pack_tokens
        self.batch_size = chosen.batch_size
        self.spec: ModelSpec = encoder.spec

    @property
    def dtype(self) -> str:
        """The number type it computes in."""
        return self._backend.dtype

    @property
    def calibration(self) -> str:
        """Checksum of the int8 calibration in use; empty for other number types."""
        return self._backend.calibration

    @property
    def backend(self) -> str:
        """What computes it: openvino, onnx or torch."""
        return self._backend.name

    @property
    def prompts(self) -> dict[str, str]:
        """Prompts by name, as the model's repository states them."""
        return dict(self.spec.prompts)

    @property
    def document_prompt(self) -> str:
        """What the model wants before each text of a collection: its prompt for documents, or nothing."""
        return self._prompt(None, self._first_prompt(*_DOCUMENT_PROMPTS))

    @property
    def max_seq_length(self) -> int:
        """Longest input in tokens, special tokens included."""
        return self.spec.max_tokens

    def get_sentence_embedding_dimension(self) -> int:
        """Width of a vector."""
        return self.spec.dimensions

    def encode(
        self,
        sentences: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        *,
        precision: str = "float32",
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        long_texts: str = "truncate",
    ) -> NDArray[Any]:
        """Vectors of texts.

        Args:
            sentences: a string, or any iterable of strings (lists, NumPy arrays, pandas columns, generators).
            prompt_name: name of a prompt of the model to put before each text.
            prompt: text to put before each text; wins over `prompt_name`.
            batch_size: texts in a batch.
            show_progress_bar: show a bar on the terminal.
            precision: float32, float16, int8, uint8, binary or ubinary.
            normalize_embeddings: scale vectors to length one, also if the model does not.
            truncate_dim: keep that many dimensions; vectors of length one are scaled to it again.
            long_texts: what becomes of a text that is longer than the model reads: `truncate` reads its beginning,
                `error` raises, `chunk` reads it in pieces and averages them by their tokens.

        Returns:
            [n, dimensions] for many texts (binary: a byte for eight dimensions), [dimensions] for a lone string.

        Raises:
            TextTypeError: something that is not a string.
            TextTooLongError: a text is too long and `long_texts` is `error`.
            SettingError: an argument has an impossible value.
        """
        options = EncodeOptions(
            prompt=self._prompt(prompt, prompt_name),
            normalize=normalize_embeddings,
            truncate_dim=truncate_dim,
            batch_size=batch_size,
            long_texts=long_texts,
        )
        texts, lone = as_texts(sentences)
        vectors = self.embed(_with_progress(texts) if show_progress_bar else texts, options).vectors
        converted = postprocess.quantize_embeddings(vectors, precision)
        return converted[0] if lone else converted

    def encode_query(self, sentences: Any, prompt_name: str | None = None, **options: Any) -> NDArray[Any]:
        """`encode` with the model's prompt for queries, if it has one."""
        return self.encode(sentences, prompt_name or self._first_prompt("query"), **options)

    def encode_document(self, sentences: Any, prompt_name: str | None = None, **options: Any) -> NDArray[Any]:
        """`encode` with the model's prompt for documents, if it has one."""
        return self.encode(sentences, prompt_name or self._first_prompt(*_DOCUMENT_PROMPTS), **options)

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
            prompt=self._prompt(given.prompt, None),
            batch_size=self.batch_size if given.batch_size is None else given.batch_size,
        )
        if chosen.long_texts not in LONG_TEXTS:
            raise SettingError(f"long_texts {chosen.long_texts!r} is not one of {', '.join(LONG_TEXTS)}")
        if chosen.batch_size is None or chosen.batch_size < 1:
            raise SettingError(f"batch_size is {chosen.batch_size}, at least 1 is needed")
        parts = [self._embed_window(window, first, chosen) for first, window in _windows(as_texts(texts)[0])]
        width = chosen.truncate_dim or self.spec.dimensions
        if not parts:
            return Embeddings(np.zeros((0, width), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))
        return Embeddings(
            np.concatenate([part.vectors for part in parts]),
            np.concatenate([part.tokens for part in parts]),
            np.concatenate([part.truncated for part in parts]),
        )

    def token_embeddings(self, sentences: Any, prompt: str | None = None) -> list[Floats]:
        """The vectors of each text's tokens, float32 [tokens, hidden size] a text; long texts are cut."""
        texts, _ = as_texts(sentences)
        inputs = [self._prompt(prompt, None) + text for text in check_texts(texts)]
        ids = [text.pieces[0] for text in self._tokenizer.tokenize(inputs)]
        found: dict[int, Floats] = {}

        def take(batch: packing.Batch, tokens: Floats) -> None:
            for text, start, length in zip(batch.texts, batch.starts, batch.lengths, strict=True):
                found[text] = tokens[start : start + length].copy()

        options = EncodeOptions()
        self._backend.run(self._batches(ids, options), None, take)
        return [found[text] for text in range(len(ids))]

    def tokenize(self, texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Token ids of texts as the model reads them, padded: `input_ids` and `attention_mask`, int64 [n, longest]."""
        found = [text.pieces[0] for text in self._tokenizer.tokenize(check_texts(as_texts(texts)[0]))]
        shape = (len(found), max(map(len, found), default=0))
        ids = np.full(shape, self._tokenizer.filler, np.int64)
        mask = np.zeros(shape, np.int64)
        for row, each in enumerate(found):
            ids[row, : len(each)] = each
            mask[row, : len(each)] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Floats:
        """Scores [n, m] between two sets of vectors by the function the model was trained for."""
        return postprocess.similarity(self.spec.similarity, embeddings1, embeddings2)

    def _embed_window(self, texts: Sequence[str], first: int, options: EncodeOptions) -> Embeddings:
        tokenized = self._tokenizer.tokenize([(options.prompt or "") + text for text in check_texts(texts, first)])
        if options.long_texts == "error":
            _refuse_long(tokenized, first, self.spec.max_tokens)
        chunk = options.long_texts == "chunk"
        ids = [piece for text in tokenized for piece in (text.pieces if chunk else text.pieces[:1])]
        skipped = 0
        if options.prompt and not self.spec.include_prompt:
            skipped = self._tokenizer.count_prompt(options.prompt)
        pooled = self._pooled(ids, options, skipped)
        if chunk:
            pooled = _merge_chunks(pooled, tokenized)
        return Embeddings(
            self._finish(pooled, options),
            np.array([text.tokens for text in tokenized], np.int64),
            np.array([text.is_long and not chunk for text in tokenized], np.bool_),
        )

    def _pooled(self, ids: Sequence[list[int]], options: EncodeOptions, skipped: int) -> Floats:
        """Pooled vectors [n, modes * hidden] of token ids."""
        modes = self.spec.pooling
        pooled = np.empty((len(ids), self.spec.hidden_size * len(modes)), np.float32)
        whole = "max" in modes

        def take(batch: packing.Batch, result: Floats) -> None:
            if whole:
                pooled[list(batch.texts)] = pooling.pool_tokens(result, batch, modes, skipped)
            else:
                pooled[list(batch.texts)] = pooling.finish_sums(result, batch.lengths, modes, skipped)

        pool = None if whole else lambda batch: pooling.pool_matrix(batch, modes, skipped)
        self._backend.run(self._batches(ids, options), pool, take)
        return pooled

    def _batches(self, ids: Sequence[list[int]], options: EncodeOptions) -> Iterator[packing.Batch]:
        lengths = [len(each) for each in ids]
        if options.mixed and self._backend.packs_rows:
            packs = packing.plan_packed(lengths, budget=self._pack_tokens)
        else:
            packs = packing.plan_sorted(
                lengths, batch_size=options.batch_size or self.batch_size, token_limit=self._pack_tokens
            )
        return (packing.lay_out(pack, ids, self._tokenizer.filler) for pack in packs)

    def _finish(self, pooled: Floats, options: EncodeOptions) -> Floats:
        for layer in self._dense:
            pooled = layer(pooled)
        vectors = postprocess.truncated(pooled, options.truncate_dim)
        return postprocess.normalized(vectors) if self.spec.normalize or options.normalize else vectors

    def _prompt(self, prompt: str | None, name: str | None) -> str:
        if prompt is not None:
            return prompt
        chosen = name or self.spec.default_prompt_name
        if chosen is None:
            return ""
        if chosen not in self.spec.prompts:
            have = ", ".join(self.spec.prompts) or "none"
            raise SettingError(f"{self.spec.id} has no prompt {chosen!r}; it has: {have}")
        return self.spec.prompts[chosen]

    def _first_prompt(self, *names: str) -> str | None:
        return next((name for name in names if name in self.spec.prompts), None)


def _windows(texts: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    stream = iter(texts)
    first = 0
    while window := list(islice(stream, _WINDOW)):
        yield first, window
        first += len(window)


def _refuse_long(texts: Sequence[TokenizedText], first: int, limit: int) -> None:
    for number, text in enumerate(texts):
        if text.is_long:
            raise TextTooLongError(f"text {first + number} has {text.tokens} tokens, the model reads {limit}")


def _merge_chunks(pooled: Floats, texts: Sequence[TokenizedText]) -> Floats:
    """Vectors of pieces to vectors of texts: averaged by the pieces' tokens."""
    weights = np.array([len(piece) for text in texts for piece in text.pieces], np.float32)
    starts = np.cumsum([0, *(len(text.pieces) for text in texts)])[:-1]
    totals = np.add.reduceat(weights, starts)
    return np.asarray(np.add.reduceat(pooled * weights[:, None], starts, axis=0) / totals[:, None], np.float32)


def _with_progress(texts: Iterable[str]) -> Iterable[str]:
    from rich.console import Console
    from rich.progress import track

    total = len(texts) if isinstance(texts, Sequence) else None
    return track(texts, description="Embedding", total=total, console=Console(stderr=True))
