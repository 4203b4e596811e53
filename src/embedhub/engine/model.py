"""`Model`: text in, vectors out, one model, by the names and defaults of sentence-transformers' `SentenceTransformer`.

Knows what people who know that class expect. Refuses to know how vectors come about: that is `embedder`.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.config import Settings, settings
from embedhub.engine import postprocess, prompts
from embedhub.engine.embedder import Embedder, Embeddings, PreparedTexts
from embedhub.engine.inputs import as_texts, check_texts
from embedhub.engine.options import SENTENCES, TOKENS, EncodeOptions, OutputForm, check_place
from embedhub.engine.tokenizer import TextTokenizer
from embedhub.errors import SettingError
from embedhub.models import ModelSpec, position_capacity
from embedhub.values import whole_number

__all__ = ["Embeddings", "EncodeOptions", "Model", "PreparedTexts"]

_LOGGER = logging.getLogger(__name__)

Floats = NDArray[np.float32]


class Model(Embedder):
    """One embedding model, ready to run. Safe to call from several threads.

    Args:
        name_or_path: an id such as `sentence-transformers/all-MiniLM-L6-v2`, also with `@revision`, or a folder, or
            what `find_model` gave.
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
        name_or_path: str | Path | ModelSpec | None = None,
        *,
        revision: str | None = None,
        dtype: str | None = None,
        threads: int | None = None,
        streams: int | None = None,
        device: str | None = None,
        config: Settings | None = None,
    ) -> None:
        check_place(device)
        super().__init__(
            name_or_path if isinstance(name_or_path, ModelSpec) else str(name_or_path or ""),
            config or settings(),
            revision=revision,
            dtype=dtype,
            threads=threads,
            streams=streams,
        )
        spec = self.spec
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
    def max_seq_length(self) -> int:
        """Longest input in tokens, special tokens included.

        May be set, up to the positions the model has. Vectors of texts that are longer then differ, and so do
        `spec.max_tokens` and `spec.fingerprint`.
        """
        return self.spec.max_tokens

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        asked = whole_number("max_seq_length", tokens, low=self.tokenizer.least_tokens)
        spec = replace(self.spec, max_tokens=asked)
        if spec.max_tokens > self._most_tokens:
            raise SettingError(f"max_seq_length is {tokens}, {spec.id} reads {self._most_tokens} tokens at most")
        self.tokenizer = TextTokenizer(spec)
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
            normalize=normalize_embeddings or None,
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
        self._tell_truncated(found.truncated)
        return form.of(found.vectors, lone=lone)

    def encode_query(self, sentences: Any, prompt_name: str | None = None, *more: Any, **options: Any) -> Any:
        """`encode` with the model's prompt for queries, or without one; never with its default prompt."""
        return self.encode(sentences, prompt_name or prompts.first_prompt(self.spec, prompts.QUERY), *more, **options)

    def encode_document(self, sentences: Any, prompt_name: str | None = None, *more: Any, **options: Any) -> Any:
        """`encode` with the model's prompt for documents, or without one; never with its default prompt."""
        return self.encode(
            sentences, prompt_name or prompts.first_prompt(self.spec, prompts.DOCUMENT), *more, **options
        )

    def token_embeddings(self, sentences: Any, prompt: str | None = None) -> list[Floats]:
        """The vectors of each text's tokens, float32 [tokens, hidden size] a text; long texts are cut."""
        prepared = self._prepare_tokens(check_texts(as_texts(sentences)[0]), EncodeOptions(prompt=prompt))
        return self.encoder.compute_tokens(prepared.jobs)

    def _prepare_tokens(self, texts: Sequence[str], options: EncodeOptions) -> PreparedTexts:
        prepared = self.prepare(texts, options)
        self._tell_truncated(prepared.truncated)
        return prepared

    def _token_outputs(self, texts: Sequence[str], options: EncodeOptions, form: OutputForm) -> list[Any]:
        """What `encode` gives when more, or something else, than the vectors of the texts is wanted."""
        if options.long_texts == "chunk":
            raise SettingError(
                f"long_texts chunk merges pieces to one vector a text: for output_value {SENTENCES} only"
            )
        prepared = self._prepare_tokens(texts, options)
        tokens = self.encoder.compute_tokens(prepared.jobs)
        if form.output_value == TOKENS:
            return list(tokens)
        sentences = self.embed(texts, options).vectors
        return [
            {
                "input_ids": np.array(job.ids, np.int64),
                "attention_mask": np.ones(len(job.ids), np.int64),
                "token_embeddings": vectors,
                "sentence_embedding": sentence,
            }
            for job, vectors, sentence in zip(prepared.jobs, tokens, sentences, strict=True)
        ]

    def _tell_truncated(self, truncated: NDArray[np.bool_]) -> None:
        if truncated.any():
            _LOGGER.warning(
                "%d of %d texts: longer than %d tokens, only the beginning was read; see long_texts",
                truncated.sum(),
                len(truncated),
                self.spec.max_tokens,
            )

    def tokenize(self, texts: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Token ids of texts as the model reads them, padded: `input_ids` and `attention_mask`, int64 [n, longest]."""
        found = [text.pieces[0] for text in self.tokenizer.tokenize(check_texts(as_texts(texts)[0]))]
        shape = (len(found), max(map(len, found), default=0))
        ids = np.full(shape, self.tokenizer.filler, np.int64)
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


def _with_progress(texts: Iterable[str]) -> Iterable[str]:
    from rich.console import Console
    from rich.progress import track

    total = len(texts) if isinstance(texts, Sequence) else None
    return track(texts, description="Embedding", total=total, console=Console(stderr=True))
