"""A dataset that answers questions: the rooms `datasets`, `search` and `engine`, joined.

Knows which model a dataset needs and refuses any other. An index is made when first asked and kept beside the data.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedhub.config import Settings, settings
from embedhub.datasets import Provenance, StoredDataset, read_dataset
from embedhub.engine.model import Model
from embedhub.engine.postprocess import Floats
from embedhub.errors import ModelError, ModelMismatchError, ModelNotFoundError
from embedhub.models import ModelSpec, installed_copies
from embedhub.search import Index, RowBlock, open_index

Hit = dict[str, Any]


class EmbeddedDataset:
    """An embedded dataset, opened for questions. Made by `load`.

    Attributes:
        stored: the dataset's rows, vectors and provenance.
    """

    def __init__(
        self,
        stored: StoredDataset,
        config: Settings,
        model: Model | None = None,
        index_folder: Path | None = None,
    ) -> None:
        self.stored = stored
        self._config = config
        self._model = model
        self._index_folder = index_folder or stored.path / ".embedhub" / "index"
        self._indexes: dict[str, Index] = {}

    @classmethod
    def load(
        cls, directory: str | Path, *, model: Model | None = None, config: Settings | None = None
    ) -> "EmbeddedDataset":
        """Open a dataset folder.

        Args:
            directory: the folder.
            model: the model to ask with; None loads the dataset's own when first needed.
            config: settings to use instead of the process's.

        Raises:
            DatasetError: no finished dataset.
            ModelMismatchError: `model` is not the one that made the dataset.
        """
        stored = read_dataset(directory)
        if model is not None:
            check_model(stored.provenance, model.spec)
        return cls(stored, config or settings(), model)

    @property
    def provenance(self) -> Provenance:
        """Which model made the vectors, and how."""
        return self.stored.provenance

    def __len__(self) -> int:
        return self.stored.row_count

    def search(
        self,
        queries: str | Sequence[str],
        top_k: int = 5,
        *,
        score: str = "cosine",
        prompt: str | None = None,
        prompt_name: str | None = None,
    ) -> Any:
        """The rows nearest to questions.

        Args:
            queries: one question or several.
            top_k: hits a question.
            score: cosine, dot or euclidean.
            prompt: put before every question; wins over `prompt_name`.
            prompt_name: name of a prompt of the model; None takes its prompt for queries, if it has one.

        Returns:
            For each question a list of `{"row", "score", …columns}`, best first; for a lone string one such list. A
            column that is itself called row or score gets an underscore behind its name.

        Raises:
            ModelError: the dataset's model cannot be loaded.
            SettingError: no such score or prompt, or `top_k` below 1.
        """
        texts = [queries] if isinstance(queries, str) else list(queries)
        vectors = self.embed_queries(texts, prompt=prompt, prompt_name=prompt_name)
        found = self.search_vectors(vectors, top_k, score=score)
        return found[0] if isinstance(queries, str) else found

    def search_vectors(
        self,
        vectors: Floats,
        top_k: int = 5,
        *,
        score: str = "cosine",
        columns: Sequence[str] | None = None,
        among: NDArray[np.int64] | None = None,
    ) -> list[list[Hit]]:
        """The rows nearest to vectors.

        Args:
            vectors: float32 [n, dimensions].
            top_k: hits a vector.
            score: cosine, dot or euclidean.
            columns: of the hits; None are all but the vectors.
            among: numbers of the rows that may be hits, int64 [m]; None are all.

        Returns:
            Hits as in `search`.
        """
        hits = self.index(score).search(vectors, top_k, among)
        found = self.stored.rows(hits.rows.reshape(-1).tolist(), columns)
        each = iter(found)
        return [
            [_hit(int(row), float(value), next(each)) for row, value in zip(rows, scores, strict=True)]
            for rows, scores in zip(hits.rows, hits.scores, strict=True)
        ]

    def embed_queries(
        self, queries: Sequence[str], *, prompt: str | None = None, prompt_name: str | None = None
    ) -> Floats:
        """Vectors of questions by the dataset's model; its prompt for queries unless another is named."""
        whole = self.model.spec.dimensions
        asked = self.provenance.dimensions
        vectors: Floats = self.model.encode_query(
            list(queries),
            prompt_name,
            prompt=prompt,
            truncate_dim=None if asked == whole else asked,
            normalize_embeddings=self.provenance.normalized,
        )
        return vectors

    @property
    def model(self) -> Model:
        """The model that made the dataset, loaded when first needed."""
        if self._model is None:
            self._model = load_model_of(self.provenance, self._config)
        return self._model

    def index(self, score: str = "cosine", on_progress: Callable[[int, int], None] | None = None) -> Index:
        """The index by that score; above 100,000 rows codes are made once and kept beside the data."""
        if score not in self._indexes:
            self._indexes[score] = open_index(
                self._blocks,
                rows=self.stored.row_count,
                folder=self._index_folder,
                fingerprint=self.stored.fingerprint,
                score=score,
                progress=on_progress,
            )
        return self._indexes[score]

    def _blocks(self) -> Iterator[RowBlock]:
        return ((part.rows, part.matrix) for part in self.stored.iterate_vectors())


def load_model_of(provenance: Provenance, config: Settings) -> Model:
    """The model that made a dataset.

    Raises:
        ModelNotFoundError: it is not to be had.
        ModelMismatchError: what goes by its name has other weights.
    """
    try:
        model = Model(provenance.model, revision=revision_here(provenance, config), config=config)
    except ModelNotFoundError:
        # What the Hub has now may be the same: the checksum decides, not the name of the revision.
        model = Model(provenance.model, config=config)
    check_model(provenance, model.spec)
    return model


def revision_here(provenance: Provenance, config: Settings) -> str | None:
    """The dataset's own revision, or the name of another one that is on this machine and is the same model."""
    copies = installed_copies(provenance.model, settings=config)
    if any(copy.revision == provenance.revision for copy in copies):
        return provenance.revision
    return next((copy.revision for copy in copies if _made(provenance, copy)), provenance.revision)


def _made(provenance: Provenance, spec: ModelSpec) -> bool:
    # Reading large weights takes seconds: what the source states is believed here, and checked when they are loaded.
    if spec.expected_sha256 not in (None, provenance.weights_sha256):
        return False
    try:
        return spec.fingerprint == provenance.model_fingerprint
    except ModelError:
        return False


def made_by(provenance: Provenance, spec: ModelSpec) -> bool:
    """Whether that model made the dataset, whatever it is called."""
    return (spec.weights_sha256, spec.fingerprint) == (provenance.weights_sha256, provenance.model_fingerprint)


def check_model(provenance: Provenance, asked: ModelSpec) -> None:
    """Refuse a model that did not make the dataset.

    Raises:
        ModelMismatchError: it has other weights, or another tokenizer, pooling or longest input; the message has both
            names.
    """
    if not made_by(provenance, asked):
        same = asked.weights_sha256 == provenance.weights_sha256
        raise ModelMismatchError(
            f"the dataset was made by {provenance.model} (weights {provenance.weights_sha256[:12]}), "
            f"the query's model is {asked.id} (weights {asked.weights_sha256[:12]}"
            f"{', but another tokenizer, pooling or longest input' if same else ''}); their vectors cannot be compared"
        )


def _hit(row: int, score: float, columns: dict[str, Any]) -> Hit:
    hit: Hit = {"row": row, "score": score}
    for name, value in columns.items():
        free = hit_name(name, (*hit, *columns))
        hit[free] = value
    return hit


def hit_name(column: str, taken: Iterable[str] = ()) -> str:
    """What a column is called in a hit: its name, with underscores behind it where that is `row` or `score`."""
    name = column
    if column in ("row", "score"):
        while name in taken or name in ("row", "score"):
            name += "_"
    return name
