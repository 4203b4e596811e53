"""`Model`: text in, vectors out, one model.

Knows the order of work: texts to ids, ids to packs, packs to pooled vectors, pooled vectors to what was asked for.
Each step lives in a file of its own; this one joins them. Names and defaults are those of sentence-transformers'
`SentenceTransformer`.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.config import DTYPES, Settings, settings
from embedhub.engine import packing, postprocess
from embedhub.engine.backends.openvino import cached_tokens, machine
from embedhub.engine.encoder import Encoder, Planned
from embedhub.engine.inputs import as_texts, check_texts
from embedhub.engine.load import LoadRequest, load_backend
from embedhub.engine.packing import Job
from embedhub.engine.tokenizer import TextTokenizer, TokenizedText, TokenSpans
from embedhub.errors import SettingError, TextTooLongError
from embedhub.models import ModelSpec, find_model

# Texts that are sorted and computed together: enough to sort well, few enough to hold their ids in memory.
_WINDOW = 8192

# Names under which models keep the prompt for documents, in order of preference.
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")

LONG_TEXTS = ("truncate", "error", "chunk")

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class EncodeOptions:
    """What a caller may ask for beside the texts. Every door hands on one of these.

    `prompt` None is the model's default prompt, if it has one; `normalize` None does as the model says; `batch_size`
    None is the setting; `long_texts_keep` is the part of a long text that is read, `start` or `end`.
    """

    prompt: str | None = None
    normalize: bool | None = None
    truncate_dim: int | None = None
    batch_size: int | None = None
    long_texts: str = "truncate"
    long_texts_keep: str = "start"
    mixed: bool = False


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
        asked = dtype or chosen.dtype
        if asked not in DTYPES:
            raise SettingError(f"dtype {asked!r} is not one of {', '.join(DTYPES)}")
        spec = find_model(str(name_or_path or chosen.model), revision=revision, settings=chosen)
        # Reading 90 MB for the checksum takes as long as compiling; both at once cost the longer one.
        check = _Background(lambda: spec.weights_sha256)
        use = machine(chosen.threads if threads is None else threads, chosen.streams if streams is None else streams)
        self._tokenizer = TextTokenizer(spec)
        self.encoder = Encoder(
            load_backend(LoadRequest(spec, asked, use, chosen.home), self._tokenizer),
            modes=spec.pooling,
            hidden_size=spec.hidden_size,
            filler=self._tokenizer.filler,
            pack_tokens=chosen.pack_tokens or cached_tokens(spec.hidden_size),
        )
        self._dense = postprocess.load_dense(spec.dense)
        self.batch_size = chosen.batch_size
        check.result()
        self.spec: ModelSpec = spec

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
    def document_prompt(self) -> str:
        """What the model wants before each text of a collection: its prompt for documents, or nothing."""
        return self._prompt(None, self._first_prompt(*_DOCUMENT_PROMPTS))

    @property
    def query_prompt(self) -> str:
        """What the model wants before a query: its prompt for queries, or its default, or nothing."""
        return self._prompt(None, self._first_prompt("query"))

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
            normalize=normalize_embeddings or None,
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

        def take(batch: packing.Batch, tokens: list[Floats]) -> None:
            found.update(zip(batch.texts, tokens, strict=True))

        self.encoder.run_tokens(self._planned([Job(each) for each in ids], EncodeOptions()), take)
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

    def token_spans(self, texts: Sequence[str], *, add_special_tokens: bool = True) -> list[TokenSpans]:
        """Every token of each whole text with its place in it; nothing is cut, no prompt is put before it."""
        return self._tokenizer.spans(texts, add_special_tokens=add_special_tokens)

    def decode_ids(self, inputs: Sequence[Sequence[int]], *, skip_special_tokens: bool = True) -> list[str]:
        """The texts that lists of token ids stand for.

        Raises:
            InputError: an id that the vocabulary does not have.
        """
        return self._tokenizer.decode(inputs, skip_special_tokens=skip_special_tokens)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Floats:
        """Scores [n, m] between two sets of vectors by the function the model was trained for."""
        return postprocess.similarity(self.spec.similarity, embeddings1, embeddings2)

    def prepare(self, texts: Sequence[str], options: EncodeOptions, first: int = 0) -> PreparedTexts:
        """What the encoder is to compute for texts.

        Args:
            texts: the texts.
            options: as given to `embed`.
            first: number of the first text, for messages.

        Raises:
            TextTypeError, TextTooLongError, SettingError: as `embed`.
        """
        prompt = self._prompt(options.prompt, None)
        tokenized = self._tokenizer.tokenize(
            [prompt + text for text in check_texts(texts, first)], keep=options.long_texts_keep
        )
        skipped = self._tokenizer.count_prompt(prompt) if prompt and not self.spec.include_prompt else 0
        return self._jobs(tokenized, options, first, skipped)

    def _jobs(
        self, tokenized: Sequence[TokenizedText], options: EncodeOptions, first: int, skipped: int
    ) -> PreparedTexts:
        if options.long_texts == "error":
            _refuse_long(tokenized, first, self.spec.max_tokens)
        chunk = options.long_texts == "chunk"
        pieces = [text.pieces if chunk else text.pieces[:1] for text in tokenized]
        return PreparedTexts(
            # Only the first piece of a text begins with its prompt.
            jobs=[Job(ids, 0 if later else skipped) for text in pieces for later, ids in enumerate(text)],
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
        tokenized = [self._tokenizer.from_ids(ids, number) for number, ids in enumerate(inputs)]
        return self._jobs(tokenized, options, first=0, skipped=0)

    def compute(self, jobs: Sequence[Job], options: EncodeOptions) -> Floats:
        """Pooled vectors, float32 [jobs, encoder.width]."""
        pooled = np.empty((len(jobs), self.encoder.width), np.float32)

        def take(batch: packing.Batch, vectors: Floats) -> None:
            pooled[list(batch.texts)] = vectors

        self.encoder.run(self._planned(jobs, options), take)
        return pooled

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
        vectors = self.finish(self.compute(prepared.jobs, options), prepared, options)
        return Embeddings(vectors, prepared.tokens, prepared.truncated)

    def _planned(self, jobs: Sequence[Job], options: EncodeOptions) -> Iterator[Planned]:
        lengths = [len(job.ids) for job in jobs]
        limit = self.encoder.pack_tokens
        if options.mixed and self.encoder.backend.packs_rows:
            packs = packing.plan_packed(lengths, budget=limit)
        else:
            packs = packing.plan_sorted(lengths, batch_size=options.batch_size or self.batch_size, token_limit=limit)
        return ((pack, jobs) for pack in packs)

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


class _Background:
    """A check that runs in a thread while something else is prepared."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - raised again where the result is asked for
            self._error = error

    def result(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error


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


def _merge_pieces(pooled: Floats, prepared: PreparedTexts) -> Floats:
    """Vectors of pieces to vectors of texts: averaged by the pieces' tokens."""
    weights = np.array([len(job.ids) for job in prepared.jobs], np.float32)
    starts = np.cumsum([0, *prepared.pieces[:-1]])
    totals = np.add.reduceat(weights, starts)
    return np.asarray(np.add.reduceat(pooled * weights[:, None], starts, axis=0) / totals[:, None], np.float32)


def _with_progress(texts: Iterable[str]) -> Iterable[str]:
    from rich.console import Console
    from rich.progress import track

    total = len(texts) if isinstance(texts, Sequence) else None
    return track(texts, description="Embedding", total=total, console=Console(stderr=True))
