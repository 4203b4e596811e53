"""What `/info` says of the server and its models, in text-embeddings-inference's words and some more. Pure."""

from collections.abc import Iterable

import msgspec

from embedhub import __version__
from embedhub.config import Settings
from embedhub.engine.classifier import Classifier
from embedhub.machine import available_threads
from embedhub.runtime.loaded import LoadedModel
from embedhub.runtime.parity import Parity
from embedhub.tasks import AnyModel

# That server uses torch's names.
_DTYPES = {"f32": "float32", "bf16": "bfloat16", "int8": "int8"}


class Pooling(msgspec.Struct):
    """How the vectors of tokens become one; several ways are joined by `+`."""

    pooling: str


class Labels(msgspec.Struct):
    """The labels of a classifier, by number and by name."""

    id2label: dict[str, str]
    label2id: dict[str, int]


class ModelType(msgspec.Struct, omit_defaults=True):
    """What kind of model it is: one of these."""

    embedding: Pooling | None = None
    classifier: Labels | None = None
    reranker: Labels | None = None


class ModelInfo(msgspec.Struct, kw_only=True):
    """A loaded model, and how its vectors come about.

    Attributes:
        model_id: the name it is asked for by.
        model_sha: a commit or a package's version; null for a local folder.
        model_dtype: the number type of the computation.
        max_input_length: tokens of one text, special tokens included.
        max_batch_tokens: tokens computed at once.
        default_prompt_name: the prompt before every text that names none.
        parity: how close it comes to sentence-transformers, measured when it was loaded.
    """

    model_id: str
    model_sha: str | None
    model_dtype: str
    model_type: ModelType
    max_input_length: int
    max_batch_tokens: int
    weights_sha256: str
    backend: str
    pooling: str
    normalize: bool
    dimensions: int
    prompts: dict[str, str]
    default_prompt_name: str | None
    parity: Parity


class Info(ModelInfo, kw_only=True):
    """The default model and the server.

    Attributes:
        max_concurrent_requests: texts that may wait for a model.
        max_batch_requests: always null, tokens decide.
        max_client_batch_size: texts in one request.
        auto_truncate: whether long texts are cut where a request says nothing.
        sha: always null, as `docker_label`.
        models: every loaded model.
    """

    served_model_name: str
    max_concurrent_requests: int
    max_batch_requests: int | None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
    sha: str | None
    docker_label: str | None
    models: list[ModelInfo]


def _model_type(model: AnyModel) -> ModelType:
    if isinstance(model, Classifier):
        names = {str(number): label for number, label in enumerate(model.labels)}
        labels = Labels(names, {label: int(number) for number, label in names.items()})
        return ModelType(reranker=labels) if model.is_cross_encoder else ModelType(classifier=labels)
    return ModelType(Pooling("+".join(model.spec.pooling)))


def model_info(loaded: LoadedModel) -> ModelInfo:
    """What is known of a loaded model."""
    model, spec = loaded.model, loaded.model.spec
    pooling = "+".join(spec.pooling)
    return ModelInfo(
        model_id=loaded.name,
        model_sha=spec.revision,
        model_dtype=_DTYPES.get(model.dtype, model.dtype),
        model_type=_model_type(model),
        max_input_length=spec.max_tokens,
        max_batch_tokens=model.encoder.pack_tokens,
        weights_sha256=spec.weights_sha256,
        backend=model.backend,
        pooling=pooling,
        normalize=spec.normalize,
        dimensions=spec.dimensions,
        prompts=dict(spec.prompts),
        default_prompt_name=spec.default_prompt_name,
        parity=loaded.parity,
    )


def server_info(config: Settings, default: LoadedModel, ready: Iterable[LoadedModel]) -> Info:
    """What is known of a server, its default model and the others that are loaded."""
    return Info(
        **msgspec.structs.asdict(model_info(default)),
        served_model_name=default.name,
        max_concurrent_requests=config.queue_texts,
        max_batch_requests=None,
        max_client_batch_size=config.max_texts,
        auto_truncate=True,
        tokenization_workers=config.threads or available_threads(),
        version=__version__,
        sha=None,
        docker_label=None,
        models=[model_info(each) for each in ready],
    )
