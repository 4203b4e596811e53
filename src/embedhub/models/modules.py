"""The modules of a sentence-transformers repository: encoder, pooling, dense layers, normalisation.

Knows modules.json and the folders it names, in the spelling of every version of that library. Refuses to follow a
path out of the folder, and every module or order of modules that would be computed differently here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedhub.errors import ModelIntegrityError, UnsupportedModelError
from embedhub.models.json_files import read_object, read_objects, text, whole_number, yes_or_no
from embedhub.models.weight_files import LONGEST_NAME, check_safetensors

POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")

ACTIVATIONS = ("Tanh", "Identity", "ReLU", "GELU", "Sigmoid")

# The boolean keys of older 1_Pooling/config.json files, in the order in which their vectors are concatenated.
POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}

# Files with the encoder's settings; the name is older than the architectures behind the first.
_ENCODER_SETTINGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)


@dataclass(frozen=True)
class DenseSpec:
    """A linear layer behind the pooling: `folder` holds model.safetensors with linear.weight [out, in]."""

    folder: Path
    activation: str


@dataclass(frozen=True)
class Modules:
    """What happens to a text's tokens.

    Attributes:
        encoder: the folder of the encoder and its tokenizer: the repository's own, in older ones a folder in it.
        max_tokens: longest input, where the settings of the encoder state it.
        lower_case: whether texts are lower-cased before tokenising.
        pooling: one or several of POOLING_MODES; several are concatenated.
        include_prompt: whether the tokens of a prompt take part in the pooling.
        dense: linear layers behind the pooling.
        widths: the width that goes into and comes out of each dense layer.
        normalize: whether vectors are scaled to length one, at the end.
    """

    encoder: Path
    max_tokens: int | None
    lower_case: bool
    pooling: tuple[str, ...]
    include_prompt: bool
    dense: tuple[DenseSpec, ...]
    widths: tuple[tuple[int, int], ...]
    normalize: bool


def read_modules(folder: Path) -> Modules:
    """The modules of a repository; without modules.json an encoder with mean pooling, not normalised.

    Raises:
        ModelIntegrityError: a file is missing or broken, or a path leads out of the folder.
        UnsupportedModelError: a module, or an order of modules, that is not known here.
    """
    listed = [_module(folder, module) for module in read_objects(folder / "modules.json")]
    listed = [(kind, path) for kind, path in listed if kind != "Dropout"]
    _check_order(folder, [kind for kind, _ in listed])
    encoder, pooling_path = (listed[0][1], listed[1][1] / "config.json") if listed else (folder, None)
    pooling = read_object(pooling_path, required=True) if pooling_path else {}
    settings_path, settings = _encoder_settings(encoder)
    _check_output(settings_path, settings, "feature-extraction", "last_hidden_state")
    dense = [_dense(path) for kind, path in listed if kind == "Dense"]
    return Modules(
        encoder=encoder,
        max_tokens=whole_number(settings, "max_seq_length", settings_path, low=1, high=10**31),
        lower_case=yes_or_no(settings, "do_lower_case", settings_path, default=False),
        pooling=pooling_modes(pooling),
        include_prompt=yes_or_no(pooling, "include_prompt", pooling_path or folder, default=True),
        dense=tuple(layer for layer, _ in dense),
        widths=tuple(width for _, width in dense),
        normalize=any(kind == "Normalize" for kind, _ in listed),
    )


def read_cross_encoder(folder: Path) -> Modules:
    """The modules of a classifier, as transformers saves it or sentence-transformers' CrossEncoder: an encoder, a head.

    The head reads each text's first token, which is pooling `cls`.

    Raises:
        ModelIntegrityError: a file is broken, or a path leads out of the folder.
        UnsupportedModelError: modules behind the encoder, such as a reranker's that reads the words yes and no.
    """
    listed = [_module(folder, module) for module in read_objects(folder / "modules.json")]
    if [kind for kind, _ in listed] not in ([], ["Transformer"]):
        kinds = ", ".join(repr(kind) for kind, _ in listed)
        raise UnsupportedModelError(f"{folder}: a CrossEncoder of the modules {kinds:.80}; known is Transformer alone")
    encoder = listed[0][1] if listed else folder
    settings_path, settings = _encoder_settings(encoder)
    _check_output(settings_path, settings, "sequence-classification", "logits")
    return Modules(
        encoder=encoder,
        max_tokens=whole_number(settings, "max_seq_length", settings_path, low=1, high=10**31),
        lower_case=yes_or_no(settings, "do_lower_case", settings_path, default=False),
        pooling=("cls",),
        include_prompt=True,
        dense=(),
        widths=(),
        normalize=False,
    )


def pooling_modes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The pooling modes of a 1_Pooling/config.json, older or newer spelling; mean when it names none.

    Raises:
        UnsupportedModelError: a mode that is not in POOLING_MODES.
    """
    named = config.get("pooling_mode")
    if named:
        modes = tuple(named) if isinstance(named, list | tuple) else (named,)
    else:
        modes = tuple(mode for key, mode in POOLING_KEYS.items() if config.get(key) is True) or ("mean",)
    for mode in modes:
        if mode not in POOLING_MODES:
            shown = repr(mode) if isinstance(mode, str) else f"of type {type(mode).__name__}"
            raise UnsupportedModelError(f"pooling mode {shown:.40} is not one of {', '.join(POOLING_MODES)}")
    return modes


def _module(folder: Path, module: Mapping[str, Any]) -> tuple[str, Path]:
    """A module's kind and its folder."""
    listing = folder / "modules.json"
    # A dotted class path; the part between package and class differs between versions of the library.
    package, _, inner = (text(module, "type", listing) or "").partition(".")
    if package != "sentence_transformers":
        raise UnsupportedModelError(f"{folder}: the module {package!r} is code of the repository, which is never run")
    name = text(module, "path", listing) or ""
    path = _inside(folder, name)
    kind = inner.rpartition(".")[2]
    if kind in {"Dense", "Normalize"}:
        config = read_object(path / "config.json") if path != folder else {}
        wanted = text(config, "module_input_name", path / "config.json")
        if wanted not in {None, "sentence_embedding"}:
            raise UnsupportedModelError(f"{path}: works on {wanted!r}; known is sentence_embedding")
    return kind, path


def _check_order(folder: Path, kinds: Sequence[str]) -> None:
    known = ("Transformer", "Pooling", "Dense", "Normalize")
    for kind in kinds:
        if kind not in known:
            raise UnsupportedModelError(f"{folder}: module {kind!r} is not one of {', '.join(known)}")
    # Dense layers first, then at most one normalisation: the order in which they are computed here.
    ordered = kinds == sorted(kinds, key=known.index) and kinds.count("Normalize") <= 1
    if kinds and (list(kinds[:2]) != ["Transformer", "Pooling"] or not ordered or kinds.count("Pooling") > 1):
        raise UnsupportedModelError(
            f"{folder}: modules in the order {', '.join(kinds)}; known is Transformer, Pooling, Dense, Normalize"
        )


def _encoder_settings(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = next(
        (folder / name for name in _ENCODER_SETTINGS if (folder / name).is_file()), folder / _ENCODER_SETTINGS[0]
    )
    return path, read_object(path)


def _check_output(path: Path, settings: Mapping[str, Any], known_task: str, known_output: str) -> None:
    task = text(settings, "transformer_task", path)
    modalities = settings.get("modality_config")
    words = modalities.get("text") if isinstance(modalities, dict) else None
    output = text(words, "method_output_name", path) if isinstance(words, dict) else None
    if task not in {None, known_task} or output not in {None, known_output}:
        raise UnsupportedModelError(f"{path}: task {task!r} with output {output!r}; known is {known_output}")


def _dense(folder: Path) -> tuple[DenseSpec, tuple[int, int]]:
    path = folder / "config.json"
    config = read_object(path, required=True)
    named = text(config, "activation_function", path) or "torch.nn.modules.activation.Tanh"
    activation = named.rpartition(".")[2]
    if activation not in ACTIVATIONS or config.get("use_residual"):
        raise UnsupportedModelError(
            f"{folder}: a dense layer with {activation!r:.40}; known are {', '.join(ACTIVATIONS)}, no residual"
        )
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelIntegrityError(f"{weights} is missing (a pickled .bin file is not read)")
    check_safetensors(weights)
    width_in = whole_number(config, "in_features", path, low=1, high=1 << 20)
    width_out = whole_number(config, "out_features", path, low=1, high=1 << 20)
    if width_in is None or width_out is None:
        raise ModelIntegrityError(f"{path}: no in_features or no out_features")
    return DenseSpec(folder=folder, activation=activation), (width_in, width_out)


def _inside(folder: Path, name: str) -> Path:
    """A folder in the folder. Links to single files are another matter: the Hugging Face cache is made of them."""
    if not name:
        return folder
    path = folder / name
    try:
        is_inside = path.resolve().is_relative_to(folder.resolve()) and ".." not in Path(name).parts
    except (OSError, ValueError, RuntimeError):
        # A NUL, or a loop of links.
        is_inside = False
    if not is_inside or Path(name).is_absolute() or len(name) > LONGEST_NAME:
        raise ModelIntegrityError(f"{folder}: the path {name!r:.80} leads out of the model's folder")
    return path
