"""What a caller may ask for beside the texts, checked: whatever cannot be is one line.

Knows the keywords of sentence-transformers' `SentenceTransformer.encode`. Refuses to know models.
"""

from dataclasses import dataclass
from typing import Any

from embedhub.config import whole_number
from embedhub.engine.postprocess import PRECISIONS, Floats, quantize_embeddings
from embedhub.errors import MissingExtraError, SettingError

LONG_TEXTS = ("truncate", "error", "chunk")
KEPT_PARTS = ("start", "end")

SENTENCES = "sentence_embedding"
TOKENS = "token_embeddings"


@dataclass(frozen=True)
class EncodeOptions:
    """What a caller may ask for beside the texts. Every door hands on one of these.

    `prompt` None is the model's default prompt, if it has one; `normalize` None does as the model says; `batch_size`
    None is the setting; `long_texts_keep` is the part of a long text that is read.

    Raises:
        SettingError: an option has an impossible value.
    """

    prompt: str | None = None
    normalize: bool | None = None
    truncate_dim: int | None = None
    batch_size: int | None = None
    long_texts: str = "truncate"
    long_texts_keep: str = "start"
    mixed: bool = False

    def __post_init__(self) -> None:
        if self.prompt is not None and not isinstance(self.prompt, str):
            raise SettingError(f"prompt must be a text, not {self.prompt!r:.40}")
        for name in ("truncate_dim", "batch_size"):
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name))
        if self.long_texts not in LONG_TEXTS:
            raise SettingError(f"long_texts {self.long_texts!r} is not one of {', '.join(LONG_TEXTS)}")
        if self.long_texts_keep not in KEPT_PARTS:
            raise SettingError(f"long_texts_keep {self.long_texts_keep!r} is not one of {', '.join(KEPT_PARTS)}")


@dataclass(frozen=True)
class OutputForm:
    """In what form `encode` gives vectors; names and defaults are those of sentence-transformers.

    Raises:
        SettingError: an impossible value.
        MissingExtraError: tensors are wanted and torch is not installed.
    """

    output_value: str | None = SENTENCES
    precision: str = "float32"
    convert_to_numpy: bool = True
    convert_to_tensor: bool = False

    def __post_init__(self) -> None:
        if self.output_value not in (SENTENCES, TOKENS, None):
            raise SettingError(f"output_value {self.output_value!r} is not one of {SENTENCES}, {TOKENS}, None")
        if self.precision not in PRECISIONS:
            raise SettingError(f"precision {self.precision!r} is not one of {', '.join(PRECISIONS)}")
        if self.output_value != SENTENCES and self.precision != "float32":
            raise SettingError(f"precision {self.precision} is for output_value {SENTENCES} only")
        if self.convert_to_tensor:
            _torch()

    def of(self, vectors: Floats, *, lone: bool) -> Any:
        """Vectors float32 [n, d] in this form; of a lone text its vector by itself."""
        converted: Any = quantize_embeddings(vectors, self.precision)
        if self.convert_to_tensor:
            converted = _torch().from_numpy(converted)
        elif not self.convert_to_numpy:
            converted = list(converted)
        return converted[0] if lone else converted


def check_place(device: Any, pool: Any = None, chunk_size: Any = None) -> None:
    """Refuse to compute elsewhere than on this CPU, or in processes of somebody's own.

    Raises:
        SettingError: anything but None, or the CPU as `device`.
    """
    if device is not None and str(device) != "cpu":
        raise SettingError(f"device {device!r}: embedhub computes on the CPU only; leave device out")
    if pool is not None or chunk_size is not None:
        raise SettingError("pool and chunk_size: encode uses every core by itself; leave them out")


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            "convert_to_tensor needs torch: pip install 'embedhub[torch]', or use the NumPy array"
        ) from error
    return torch
