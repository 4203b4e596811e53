"""`Model`: text in, vectors out, one model.

Knows the order of work: texts to ids, ids to packs, packs to pooled vectors, pooled vectors to what was asked for.
Each step lives in a file of its own; this one joins them. Names and defaults are those of sentence-transformers'
`SentenceTransformer`.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.config import DTYPES, Settings, settings, whole_number
from embedhub.engine import packing, pooling, postprocess, prompts
from embedhub.engine.backends.openvino import cached_tokens, machine
from embedhub.engine.inputs import as_texts, check_texts
from embedhub.engine.load import Background, LoadRequest, load_backend
from embedhub.engine.options import LONG_TEXTS, SENTENCES, TOKENS, EncodeOptions, OutputForm, check_place
from embedhub.engine.tokenizer import TextTokenizer, TokenizedText
from embedhub.errors import SettingError, TextTooLongError
from embedhub.models import ModelSpec, find_model, position_capacity

_LOGGER = logging.getLogger(__name__)

# Texts that are sorted and computed together: enough to sort well, few enough to hold their ids in memory.
_WINDOW = 8192

Floats = NDArray[np.float32]


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
        device: None or cpu; there is no other.
        config: settings to use instead of the process's.

    Raises:
        ModelError: the model cannot be found, is damaged or cannot be run here.
        SettingError: an unknown dtype, another device, or threads that are no whole number.
    """

    def __init__(
        self,
        name_or_path: str | Path | None = None,
        *,
        revision: str | None = None,
        dtype: str | None = None,
        threads: int | None = None,
        streams: int | None = None,
        device: str | None = None,
        config: Settings | None = None,
    ) -> None:
        check_place(device)
        chosen = config or settings()
        asked = dtype or chosen.dtype
        if asked not in DTYPES:
            raise SettingError(f"dtype {asked!r} is not one of {', '.join(DTYPES)}")
        spec = find_model(str(name_or_path or chosen.model), revision=revision, settings=chosen)
        # Reading 90 MB for the checksum takes as long as compiling; both at once cost the longer one.
        check = Background(lambda: spec.weights_sha256)
        use = machine(chosen.threads if threads is None else threads, chosen.streams if streams is None else streams)
        self._tokenizer = TextTokenizer(spec)
        self._backend = load_backend(LoadRequest(spec, asked, use, chosen.home), self._tokenizer)
        self._dense = postprocess.load_dense(spec.dense)
        self._pack_tokens = chosen.pack_tokens or cached_tokens(spec.hidden_size)
        self.batch_size = chosen.batch_size
        check.result()
        self.spec: ModelSpec = spec
        self._most_tokens = max(spec.max_tokens, position_capacity(spec.config) or 0)
        self._similarity = spec.similarity

    def __repr__(self) -> str:
        return (
            f"Model({self.spec.id!r}, dtype={self.dtype!r}, backend={self.backend!r}, "
            f"dimensions={self.spec.dimensions}, max_seq_length={self.max_seq_length})"
        )

    @property
    def device(self) -> str:
        """Where it computes: always cpu."""
        return "cpu"

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
        return prompts.prompt_of(self.spec, None, prompts.first_prompt(self.spec, prompts.DOCUMENT))

    @property
    def max_seq_length(self) -> int:
        """Longest input in tokens, special tokens included.

        May be set, up to the positions the model has. Vectors of texts that are longer then differ, and so do
        `spec.max_tokens` and `spec.fingerprint`.
        """
        return self.spec.max_tokens

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        asked = whole_number("max_seq_length", tokens, low=self._tokenizer.least_tokens)
        spec = replace(self.spec, max_tokens=asked)
        if spec.max_tokens > self._most_tokens:
            raise SettingError(f"max_seq_length is {tokens}, {spec.id} reads {self._most_tokens} tokens at most")
        self._tokenizer = TextTokenizer(spec)
        self.spec = spec

    @property
    def similarity_fn_name(self) -> str:
        """How `similarity` compares: cosine, dot, euclidean or manhattan. May be set."""
        return self._similarity

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: str) -> None:
        self._similarity = postprocess.similarity_named(name)

    def get_embedding_dimension(self) -> int:
        """Width of a vector."""
        return self.spec.dimensions

    def get_sentence_embedding_dimension(self) -> int:
        """Width of a vector, by the name it had before sentence-transformers 6."""
        return self.spec.dimensions

    def encode(
        self,
        sentences: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        output_value: str | None = SENTENCES,
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: None = None,
        chunk_size: None = None,
        *,
        long_texts: str = "truncate",
    ) -> Any:
        """Vectors of texts. A text that is cut because nothing else was asked for is told in a logged warning.

        Args:
            sentences: a string, or any iterable of strings (lists, NumPy arrays, pandas columns, generators).
            prompt_name: name of a prompt of the model to put before each text.
            prompt: text to put before each text; wins over `prompt_name`.
            batch_size: texts in a batch.
            show_progress_bar: show a bar on the terminal.
            output_value: `sentence_embedding`, `token_embeddings`, or None for both with the token ids.
            precision: float32, float16, int8, uint8, binary or ubinary.
            convert_to_numpy: one array; False gives a list of a vector a text.
            convert_to_tensor: a torch tensor, if torch is installed.
            device: None or cpu; there is no other.
            normalize_embeddings: scale vectors to length one, also if the model does not.
            truncate_dim: keep that many dimensions; vectors of length one are scaled to it again.
            pool: None; every core is used as it is.
            chunk_size: None, as `pool`.
            long_texts: what becomes of a text that is longer than the model reads: `truncate` reads its beginning,
                `error` raises, `chunk` reads it in pieces and averages them by their tokens.

        Returns:
            [n, dimensions] for many texts (binary: a byte for eight dimensions), [dimensions] for a lone string. Of
            tokens a list of float32 [tokens, hidden size] a text; of both a list of dictionaries with `input_ids`,
            `attention_mask`, `token_embeddings` and `sentence_embedding`, without filler. For a lone string its item.

        Raises:
            TextTypeError: something that is not a string.
            TextTooLongError: a text is too long and `long_texts` is `error`.
            SettingError: an argument has an impossible value.
            MissingExtraError: a tensor is wanted and torch is not installed.
        """
        form = OutputForm(output_value, precision, convert_to_numpy, convert_to_tensor)
        check_place(device, pool, chunk_size)
        options = EncodeOptions(
            prompt=prompts.prompt_of(self.spec, prompt, prompt_name),
            normalize=normalize_embeddings,
            truncate_dim=truncate_dim,
            batch_size=batch_size,
            long_texts=long_texts,
        )
        texts, lone = as_texts(sentences)
        shown = _with_progress(texts) if show_progress_bar else texts
        if form.output_value != SENTENCES:
            items = self._token_outputs(check_texts(shown), options, form)
            return items[0] if lone else items
        found = self.embed(shown, options)
        self._tell_truncated(int(found.truncated.sum()), len(found.truncated))
        return form.of(found.vectors, lone=lone)

    def encode_query(self, sentences: Any, prompt_name: str | None = None, *more: Any, **options: Any) -> Any:
        """`encode` with the model's prompt for queries, or without one; never with its default prompt."""
        return self.encode(sentences, prompt_name or prompts.first_prompt(self.spec, prompts.QUERY), *more, **options)

    def encode_document(self, sentences: Any, prompt_name: str | None = None, *more: Any, **options: Any) -> Any:
        """`encode` with the model's prompt for documents, or without one; never with its default prompt."""
        return self.encode(
            sentences, prompt_name or prompts.first_prompt(self.spec, prompts.DOCUMENT), *more, **options
        )

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
        texts = check_texts(as_texts(sentences)[0])
        return [
            vectors
            for _, vectors in self._tokens(texts, EncodeOptions(prompt=prompts.prompt_of(self.spec, prompt, None)))
        ]

    def _tokens(self, texts: Sequence[str], options: EncodeOptions) -> list[tuple[list[int], Floats]]:
        """Token ids and their vectors, a pair a text."""
        tokenized = self._tokenizer.tokenize([(options.prompt or "") + text for text in texts])
        if options.long_texts == "error":
            _refuse_long(tokenized, 0, self.spec.max_tokens)
        self._tell_truncated(sum(text.is_long for text in tokenized), len(texts))
        ids = [text.pieces[0] for text in tokenized]
        found: dict[int, Floats] = {}

        def take(batch: packing.Batch, tokens: Floats) -> None:
            for text, start, length in zip(batch.texts, batch.starts, batch.lengths, strict=True):
                found[text] = tokens[start : start + length].copy()

        self._backend.run(self._batches(ids, options), None, take)
        return [(each, found[text]) for text, each in enumerate(ids)]

    def _token_outputs(self, texts: Sequence[str], options: EncodeOptions, form: OutputForm) -> list[Any]:
        """What `encode` gives when more, or something else, than the vectors of the texts is wanted."""
        if options.long_texts == "chunk":
            raise SettingError(
                f"long_texts chunk merges pieces to one vector a text: for output_value {SENTENCES} only"
            )
        tokens = self._tokens(texts, options)
        if form.output_value == TOKENS:
            return [vectors for _, vectors in tokens]
        sentences = self.embed(texts, options).vectors
        return [
            {
                "input_ids": np.array(ids, np.int64),
                "attention_mask": np.ones(len(ids), np.int64),
                "token_embeddings": vectors,
                "sentence_embedding": sentence,
            }
            for (ids, vectors), sentence in zip(tokens, sentences, strict=True)
        ]

    def _tell_truncated(self, count: int, texts: int) -> None:
        if count:
            _LOGGER.warning(
                "%d of %d texts: longer than %d tokens, only the beginning was read; see long_texts",
                count,
                texts,
                self.spec.max_tokens,
            )

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
        """Scores float32 [n, m] between two sets of vectors, by `similarity_fn_name`."""
        return postprocess.similarity(self._similarity, embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Floats:
        """Scores float32 [n] between the vectors of each pair, by `similarity_fn_name`."""
        return postprocess.similarity_pairwise(self._similarity, embeddings1, embeddings2)

    def _embed_window(self, texts: Sequence[str], first: int, options: EncodeOptions) -> Embeddings:
        tokenized = self._tokenizer.tokenize([(options.prompt or "") + text for text in check_texts(texts, first)])
        if options.long_texts == "error":
            _refuse_long(tokenized, first, self.spec.max_tokens)
        chunk = options.long_texts == "chunk"
        ids = [piece for text in tokenized for piece in (text.pieces if chunk else text.pieces[:1])]
        skipped = np.zeros(len(ids), np.int64)
        if options.prompt and not self.spec.include_prompt:
            # Only the first piece of a text carries the prompt.
            skipped[_first_pieces(tokenized) if chunk else slice(None)] = self._tokenizer.count_prompt(options.prompt)
        pooled = self._pooled(ids, options, skipped)
        if chunk:
            pooled = _merge_chunks(pooled, tokenized, skipped)
        return Embeddings(
            self._finish(pooled, options),
            np.array([text.tokens for text in tokenized], np.int64),
            np.array([text.is_long and not chunk for text in tokenized], np.bool_),
        )

    def _pooled(self, ids: Sequence[list[int]], options: EncodeOptions, skipped: NDArray[np.int64]) -> Floats:
        """Pooled vectors [n, modes * hidden] of token ids."""
        modes = self.spec.pooling
        pooled = np.empty((len(ids), self.spec.hidden_size * len(modes)), np.float32)
        whole = "max" in modes

        def take(batch: packing.Batch, result: Floats) -> None:
            texts = list(batch.texts)
            if whole:
                pooled[texts] = pooling.pool_tokens(result, batch, modes, skipped[texts])
            else:
                pooled[texts] = pooling.finish_sums(result, batch.lengths, modes, skipped[texts])

        pool = None if whole else lambda batch: pooling.pool_matrix(batch, modes, skipped[list(batch.texts)])
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


def _first_pieces(texts: Sequence[TokenizedText]) -> NDArray[np.int64]:
    """The number of each text's first piece, where all pieces stand in a row."""
    return np.cumsum([0, *(len(text.pieces) for text in texts)])[:-1]


def _merge_chunks(pooled: Floats, texts: Sequence[TokenizedText], skipped: NDArray[np.int64]) -> Floats:
    """Vectors of pieces to vectors of texts: averaged by the pieces' tokens that were pooled."""
    lengths = np.array([len(piece) for text in texts for piece in text.pieces])
    weights = np.maximum(lengths - skipped, 1).astype(np.float32)
    starts = _first_pieces(texts)
    totals = np.add.reduceat(weights, starts)
    return np.asarray(np.add.reduceat(pooled * weights[:, None], starts, axis=0) / totals[:, None], np.float32)


def _with_progress(texts: Iterable[str]) -> Iterable[str]:
    from rich.console import Console
    from rich.progress import track

    total = len(texts) if isinstance(texts, Sequence) else None
    return track(texts, description="Embedding", total=total, console=Console(stderr=True))
