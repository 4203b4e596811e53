"""Which model made the vectors, and how.

Knows the fields that must agree before two vectors may be compared or reused. Refuses to know models: the one
who embeds fills the fields in.
"""

import json
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from embedhub.errors import DatasetError

# The key of the Parquet schema's metadata that holds the provenance as JSON.
METADATA_KEY = b"embedhub"


@dataclass(frozen=True)
class Provenance:
    """Everything that decides what a text's vector is.

    Attributes:
        model: the model's id, or the path of its folder.
        revision: the commit the files came from, if that is known.
        weights_sha256: checksum of the weights, in hex.
        pooling: how token vectors become one, such as `mean` or `cls`.
        prompt: what was put before every text; empty for none.
        normalized: whether the vectors have length 1.
        dimensions: numbers in a vector.
        dtype: number type of the computation, such as `f32`, `bf16` or `int8`.
        embedhub_version: the version that computed them.
        model_fingerprint: checksum of everything in the model that decides a vector: weights, dense layers, tokenizer,
            pooling, longest input.
        calibration: checksum of the int8 calibration; empty for other number types.
        long_texts: what became of texts longer than the model reads: `truncate`, `error` or `chunk`.
    """

    model: str
    revision: str | None
    weights_sha256: str
    pooling: str
    prompt: str
    normalized: bool
    dimensions: int
    dtype: str
    embedhub_version: str
    model_fingerprint: str = ""
    long_texts: str = "truncate"
    calibration: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for vectors to be interchangeable: not what the model is called, nor the version."""
        names = ("model", "revision", "embedhub_version")
        return {name: value for name, value in asdict(self).items() if name not in names}

    def to_json(self) -> str:
        """The fields as one JSON object, keys in order."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Provenance":
        """Read what `to_json` wrote; keys of later versions are passed over.

        Raises:
            DatasetError: not JSON, or a field is missing or of the wrong type.
        """
        try:
            stored = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"the dataset's provenance cannot be read: {error}") from error
        return cls.from_mapping(stored)

    @classmethod
    def from_mapping(cls, stored: Any) -> "Provenance":
        """Pick the fields out of a parsed JSON value.

        Raises:
            DatasetError: not an object, or a field is missing or of the wrong type.
        """
        if not isinstance(stored, dict):
            raise DatasetError("the dataset's provenance cannot be read: it is not a JSON object")
        values = {}
        for field in fields(cls):
            value = stored.get(field.name, None if field.default is MISSING else field.default)
            if not isinstance(value, field.type):  # type: ignore[arg-type]
                raise DatasetError(f"the dataset's provenance cannot be read: {field.name!r} is {value!r}")
            values[field.name] = value
        return cls(**values)
