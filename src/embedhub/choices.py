"""The words that a person may choose from, each list once.

Knows names. Refuses to know what stands behind them: the room that does has a table of the same names.
"""

from enum import StrEnum


class InputFormat(StrEnum):
    """What an input may be."""

    CSV = "csv"
    TSV = "tsv"
    JSONL = "jsonl"
    JSON = "json"
    PARQUET = "parquet"
    ARROW = "arrow"
    TXT = "txt"


class ExportFormat(StrEnum):
    """What vectors can be exported to."""

    CSV = "csv"
    NPZ = "npz"
    SAFETENSORS = "safetensors"
    JSONL = "jsonl"


class NumberType(StrEnum):
    """What a model may compute in."""

    AUTO = "auto"
    F32 = "f32"
    BF16 = "bf16"
    INT8 = "int8"


class StoredType(StrEnum):
    """How vectors are stored."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


class OnErrorChoice(StrEnum):
    """What becomes of a row without a text."""

    FAIL = "fail"
    SKIP = "skip"
    NULL = "null"


class LongTexts(StrEnum):
    """What becomes of a text that is longer than the model reads."""

    TRUNCATE = "truncate"
    ERROR = "error"
    CHUNK = "chunk"


class Score(StrEnum):
    """How nearness is measured."""

    COSINE = "cosine"
    DOT = "dot"
    EUCLIDEAN = "euclidean"


class OnnxForm(StrEnum):
    """How the weights of an ONNX file are kept."""

    FLOAT32 = "float32"
    QUANTIZED = "quantized"
