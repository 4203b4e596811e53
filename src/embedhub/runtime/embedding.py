"""From an input and a model to a dataset folder: the rooms `datasets` and `engine`, joined.

Knows how a model introduces itself to a dataset (provenance). Refuses to know terminals: progress is a callback.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedhub import __version__
from embedhub.datasets import BuildOptions, BuildReport, EmbeddedTexts, InputRequest, Progress, Provenance, build
from embedhub.datasets import open_source as open_input
from embedhub.engine.model import Model
from embedhub.engine.options import EncodeOptions
from embedhub.errors import SettingError, TextTooLongError


@dataclass(frozen=True)
class EmbedRequest:
    """A file to be embedded into a folder.

    Attributes:
        input: the file and how to read it.
        directory: the folder.
        build: how the folder is laid out.
        prompt: put before every text; None takes the model's prompt for documents, if it has one.
        long_texts: `truncate`, `error` or `chunk`.
        truncate_dim: keep that many dimensions.
    """

    input: InputRequest
    directory: Path
    build: BuildOptions
    prompt: str | None = None
    long_texts: str = "truncate"
    truncate_dim: int | None = None


class ModelEmbedder:
    """A model, as the room of datasets wants it."""

    def __init__(self, model: Model, options: EncodeOptions) -> None:
        self._model = model
        self._options = options

    @property
    def provenance(self) -> Provenance:
        """Everything that decides what a text's vector is."""
        spec = self._model.spec
        return Provenance(
            model=spec.id,
            revision=spec.revision,
            weights_sha256=spec.weights_sha256,
            pooling="+".join(spec.pooling),
            prompt=self._options.prompt or "",
            normalized=spec.normalize or bool(self._options.normalize),
            dimensions=self._options.truncate_dim or spec.dimensions,
            dtype=self._model.dtype,
            embedhub_version=__version__,
            model_fingerprint=spec.fingerprint,
            long_texts=self._options.long_texts,
            calibration=self._model.calibration,
        )

    def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        """Vectors of texts, in order.

        Raises:
            TextTooLongError: a text is too long, and `long_texts` is `error`.
        """
        try:
            found = self._model.embed(texts, self._options)
        except TextTooLongError as error:
            limit = self._model.spec.max_tokens
            raise TextTooLongError(
                f"a text of {error.tokens} tokens, the model reads {limit}; --long-texts truncate reads its beginning, "
                "--long-texts chunk all of it in pieces",
                error.position,
            ) from error
        return EmbeddedTexts(found.vectors, int(found.tokens.sum()), found.truncated)


def embed_file(
    request: EmbedRequest,
    model: Callable[[], Model],
    on_progress: Callable[[Progress], None] | None = None,
) -> BuildReport:
    """Embed a file into a folder, or continue an interrupted run, or find that nothing changed.

    Args:
        request: what to embed, and where to.
        model: gives the model; called once the input is known to be sound.
        on_progress: called after every slice of texts.

    Raises:
        EmbedhubError: whatever is wrong with the input, the model, the folder or the storage.
    """
    with open_input(request.input) as source:
        # Reads the whole input once: what is wrong with it is found before a model is loaded.
        _ = source.text_column
        loaded = model()
        if request.truncate_dim is not None and not 0 < request.truncate_dim <= loaded.spec.dimensions:
            raise SettingError(f"--truncate-dim {request.truncate_dim}: the model gives 1 to {loaded.spec.dimensions}")
        options = EncodeOptions(
            prompt=loaded.document_prompt if request.prompt is None else request.prompt,
            truncate_dim=request.truncate_dim,
            long_texts=request.long_texts,
        )
        return build(source, request.directory, ModelEmbedder(loaded, options), request.build, on_progress)
