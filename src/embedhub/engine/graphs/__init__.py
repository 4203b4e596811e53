"""Config and weights to a graph, one file an architecture family. Knows shapes, refuses to know texts.

`ARCHITECTURES` is the whole list of what can be built here, by `model_type` of config.json.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from embedhub.engine.graphs import bert, distilbert, mpnet
from embedhub.engine.graphs.layers import Layers, Node
from embedhub.engine.quantization import SiteRange
from embedhub.engine.quiet_openvino import ov
from embedhub.engine.weights import Weights
from embedhub.errors import ModelIntegrityError, UnsupportedModelError
from embedhub.models import ModelSpec, position_capacity

__all__ = ["ARCHITECTURES", "build_graph", "knows_types", "takes_types"]


class Architecture(NamedTuple):
    """How a family's token vectors are computed, and what may stand before its tensors' names.

    `types` is how many token types its config.json means when it does not say; 1 where the family knows none.
    """

    encode: Callable[[Layers, Mapping[str, Any]], Node]
    prefixes: tuple[str, ...]
    heads: str
    epsilon: str
    types: int


ARCHITECTURES: dict[str, Architecture] = {
    "bert": Architecture(bert.encode, bert.PREFIXES, "num_attention_heads", "layer_norm_eps", 2),
    "camembert": Architecture(bert.encode, bert.PREFIXES, "num_attention_heads", "layer_norm_eps", 2),
    "distilbert": Architecture(distilbert.encode, distilbert.PREFIXES, "n_heads", "", 1),
    "mpnet": Architecture(mpnet.encode, mpnet.PREFIXES, "num_attention_heads", "layer_norm_eps", 1),
    "roberta": Architecture(bert.encode, bert.PREFIXES, "num_attention_heads", "layer_norm_eps", 2),
    "xlm-roberta": Architecture(bert.encode, bert.PREFIXES, "num_attention_heads", "layer_norm_eps", 2),
}


def build_graph(
    spec: ModelSpec,
    *,
    largest_id: int = 0,
    tokens: bool = False,
    types: bool | None = None,
    ranges: Mapping[str, SiteRange] | None = None,
    observe: dict[str, Node] | None = None,
    observed_weights: dict[str, list[NDArray[np.float32]]] | None = None,
) -> ov.Model:
    """The encoder of a model as an OpenVINO graph; inputs and outputs are told in `layers`.

    Args:
        spec: the model; its weights are read here.
        largest_id: largest token id that the tokenizer gives.
        tokens: give the tokens' vectors instead of their sums.
        types: whether the graph has the input `types`, which only a model that `knows_types` can have; None: where
            it `takes_types`.
        ranges: from a calibration; given, linear layers compute in int8.
        observe: filled with the inputs of the linear layers, which then follow the first output.
        observed_weights: filled with the linear layers' weights by site.

    Raises:
        UnsupportedModelError: an architecture or a variant of one that has no graph here.
    """
    architecture = ARCHITECTURES.get(spec.architecture)
    if architecture is None or not spec.weights:
        raise UnsupportedModelError(f"{spec.architecture} is not one of {', '.join(sorted(ARCHITECTURES))}")
    layers = Layers(
        Weights(spec.weights, architecture.prefixes),
        heads=_heads(spec, architecture.heads),
        largest_id=largest_id,
        # A model's longest input may be raised up to this after it was loaded.
        max_tokens=max(spec.max_tokens, position_capacity(spec.config) or 0),
        epsilon=_epsilon(spec, architecture.epsilon),
        types=takes_types(spec) if types is None else types,
        ranges=ranges,
        observe=observe,
        observed_weights=observed_weights,
    )
    try:
        tokens_of_last_layer = architecture.encode(layers, spec.config)
    except KeyError as error:
        raise ModelIntegrityError(f"{spec.folder / 'config.json'} has no {error}") from error
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelIntegrityError(f"{spec.folder}: config.json and the weights do not fit ({reason})") from error
    return layers.model(tokens_of_last_layer, tokens=tokens)


def _epsilon(spec: ModelSpec, name: str) -> float:
    epsilon = spec.config.get(name, 1e-12)
    if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 < epsilon < 1:
        raise ModelIntegrityError(f"{spec.folder / 'config.json'}: {name} is {epsilon!r:.40}, not between 0 and 1")
    return float(epsilon)


def takes_types(spec: ModelSpec) -> bool:
    """Whether the graph of a model has the input `types`: classifiers of families that tell two texts apart."""
    return spec.kind == "classifier" and knows_types(spec)


def knows_types(spec: ModelSpec) -> bool:
    """Whether a model tells the two texts of a pair apart by the types of their tokens."""
    architecture = ARCHITECTURES.get(spec.architecture)
    if architecture is None or architecture.types < 2:
        return False
    stated = spec.config.get("type_vocab_size")
    return int(architecture.types if stated is None else stated) > 1


def _heads(spec: ModelSpec, name: str) -> int:
    heads = spec.config.get(name)
    if not isinstance(heads, int) or heads < 1 or spec.hidden_size % heads:
        raise ModelIntegrityError(
            f"{spec.folder / 'config.json'}: {name} is {heads!r}, which does not divide the width"
        )
    return heads
