"""What may be chosen is what the rooms know."""

from enum import StrEnum
from typing import Any, get_args

import pytest

from embedhub.choices import (
    ExportFormat,
    InputFormat,
    LongTexts,
    NumberType,
    OnErrorChoice,
    OnnxForm,
    Score,
    StoredType,
)
from embedhub.config import DTYPES
from embedhub.datasets import EXPORT_FORMATS, FORMATS, OnError, VectorType
from embedhub.datasets.export import _WRITERS
from embedhub.datasets.source import _READERS
from embedhub.engine.export.onnx_files import _FORMS
from embedhub.engine.export.repository import ONNX_FILES
from embedhub.engine.options import LONG_TEXTS
from embedhub.search import SCORES


@pytest.mark.parametrize(
    ("choices", "known"),
    [
        (InputFormat, _READERS),
        (InputFormat, FORMATS),
        (ExportFormat, _WRITERS),
        (ExportFormat, EXPORT_FORMATS),
        (NumberType, DTYPES),
        (StoredType, get_args(VectorType)),
        (OnErrorChoice, get_args(OnError)),
        (LongTexts, LONG_TEXTS),
        (Score, SCORES),
        (OnnxForm, _FORMS),
        (OnnxForm, ONNX_FILES),
    ],
)
def test_every_choice_is_known_and_the_other_way_round(choices: type[StrEnum], known: Any) -> None:
    assert list(map(str, choices)) == list(known)
