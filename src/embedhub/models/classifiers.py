"""What the files of a text classifier say beyond those of an encoder: its labels, and how logits become scores.

Knows config.json of transformers and the places where versions of sentence-transformers' CrossEncoder keep their
activation. Refuses to read weights: the head's shape comes from the first bytes of the file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from embedhub.errors import ModelIntegrityError, UnsupportedModelError
from embedhub.models.json_files import text, whole_number
from embedhub.models.weight_files import tensor_shapes

# What a CrossEncoder may name as its activation, by the last part of its dotted path.
ACTIVATIONS = {"Identity": "identity", "Sigmoid": "sigmoid", "Softmax": "softmax"}

# Where it was kept before sentence-transformers 4, on config.json's top level.
_LEGACY_ACTIVATIONS = ("sbert_ce_default_activation_function", "default_activation_function")

# The last layer of the heads of every family.
_LAST_LAYERS = ("classifier.weight", "classifier.out_proj.weight")

# What transformers assumes where neither config.json nor the weights tell.
_USUAL_COUNT = 2

_MOST_LABELS = 1 << 16


def has_classifier_architecture(config: Mapping[str, Any]) -> bool:
    """Whether config.json names an architecture `…ForSequenceClassification`."""
    named = config.get("architectures")
    return isinstance(named, list) and any(
        isinstance(name, str) and name.endswith("ForSequenceClassification") for name in named
    )


def read_labels(path: Path, config: Mapping[str, Any], weights: Sequence[Path]) -> tuple[str, ...]:
    """The labels in the order of their ids; `LABEL_0` and so on where config.json names none.

    Args:
        path: of config.json, for messages.
        config: its content.
        weights: the safetensors files, whose head tells how many labels there are when config.json does not.

    Raises:
        ModelIntegrityError: no label, gaps between ids, or two numbers of labels.
        UnsupportedModelError: config.json does not name a classifier, whatever else the repository says.
    """
    if not has_classifier_architecture(config):
        raise UnsupportedModelError(f"{path}: a CrossEncoder whose architecture is no …ForSequenceClassification")
    count = whole_number(config, "num_labels", path, low=1, high=_MOST_LABELS)
    named = config.get("id2label")
    if named is None:
        return tuple(f"LABEL_{number}" for number in range(count or _rows_of_head(weights) or _USUAL_COUNT))
    if not isinstance(named, dict) or not 1 <= len(named) <= _MOST_LABELS:
        raise ModelIntegrityError(f"{path}: id2label is no JSON object with 1 to {_MOST_LABELS} labels")
    if count not in {None, len(named)}:
        raise ModelIntegrityError(f"{path}: num_labels is {count}, id2label has {len(named)} labels")
    try:
        labels = {int(number): label for number, label in named.items()}
    except ValueError as error:
        raise ModelIntegrityError(f"{path}: the keys of id2label are not all whole numbers") from error
    if sorted(labels) != list(range(len(named))):
        raise ModelIntegrityError(f"{path}: the keys of id2label are not the numbers from 0 to {len(named) - 1}")
    for label in labels.values():
        # Stars and grades are numbers in some repositories.
        if isinstance(label, bool) or not isinstance(label, str | int):
            raise ModelIntegrityError(f"{path}: a label of id2label is of type {type(label).__name__}, not a text")
    return tuple(str(labels[number]) for number in range(len(labels)))


def stated_activation(
    path: Path, config: Mapping[str, Any], sentence_path: Path, sentence_config: Mapping[str, Any]
) -> str | None:
    """The activation that the repository of a CrossEncoder states: identity, sigmoid, softmax, or None.

    The newest place wins, as in sentence-transformers: config_sentence_transformers.json (since 5), the
    `sentence_transformers` object of config.json (4), config.json itself (before).

    Raises:
        UnsupportedModelError: another activation, or code of the repository.
    """
    nested = config.get("sentence_transformers")
    if nested is not None and not isinstance(nested, dict):
        raise ModelIntegrityError(f"{path}: sentence_transformers is no JSON object")
    places = [(sentence_path, sentence_config, "activation_fn"), (path, nested or {}, "activation_fn")]
    places += [(path, config, key) for key in _LEGACY_ACTIVATIONS]
    for place, content, key in places:
        named = text(content, key, place)
        if named is None:
            continue
        package, _, name = named.rpartition(".")
        if package.partition(".")[0] != "torch" or name not in ACTIVATIONS:
            raise UnsupportedModelError(f"{place}: activation {named!r:.80} is not one of {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[name]
    return None


def default_activation(config: Mapping[str, Any], labels: int) -> str:
    """What turns logits into scores where no repository says it, by the rule of transformers' text classification."""
    problem = config.get("problem_type")
    if problem == "regression":
        return "identity"
    return "sigmoid" if labels == 1 or problem == "multi_label_classification" else "softmax"


def _rows_of_head(weights: Sequence[Path]) -> int | None:
    for path in weights:
        shapes = tensor_shapes(path)
        for name in _LAST_LAYERS:
            if shapes.get(name):
                return shapes[name][0]
    return None
