"""Models in repositories of our own Hub, read where they lie.

Knows which files of a commit a model needs and that large files are named by their checksum. Refuses to know who may
read a repository: whoever asks has asked that before.
"""

from collections.abc import Collection
from dataclasses import replace

from embedhub.config import Settings
from embedhub.errors import HubError, ModelIntegrityError, ModelNotFoundError, UnsupportedModelError
from embedhub.hub.derived import Derived
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository
from embedhub.models.cache import stated_sha256
from embedhub.models.checksums import combined
from embedhub.models.selection import encoder_prefix, needed_files, weights_of
from embedhub.models.spec import ModelSpec, read_spec

_MAIN = "main"


def find_hosted(id: str, revision: str | None, settings: Settings) -> ModelSpec:
    """The model of that name in the Hub under our home folder, private ones included.

    Raises:
        ModelNotFoundError: there is none, or not at that revision.
        ModelError: it is damaged or cannot be used.
    """
    hub = Hub(settings.home)
    if not hub.root.is_dir():
        raise ModelNotFoundError("own Hub (not there)")
    try:
        repository = hub.repositories.find(Kind.MODEL, id)
        with hub.open(repository) as git:
            commit = git.resolve(revision or _MAIN)
        return read_hosted(Derived(hub, settings.derived_mb << 20), repository, commit)
    except HubError as error:
        if error.code in ("repository_not_found", "revision_not_found"):
            raise ModelNotFoundError("own Hub (not there)") from error
        raise ModelIntegrityError(f"own Hub: {error}") from error
    finally:
        hub.close()


def read_hosted(derived: Derived, repository: Repository, commit: str) -> ModelSpec:
    """The model in a commit.

    Raises:
        UnsupportedModelError: there is no text encoder in it.
        ModelError: it is damaged or cannot be used.
        HubError: a file of it is missing, or the disk refuses.
    """
    folder = derived.files(repository, commit, _model_files)
    if not any(folder.iterdir()):
        raise UnsupportedModelError(f"{repository.id} is no text encoder: no config.json, or no weights")
    derived.make_room(keep=folder.parent)
    try:
        spec = read_spec(folder, id=repository.id, revision=commit, source="hosted")
    except ModelIntegrityError as error:
        # Nobody elsewhere can do anything with our paths.
        raise ModelIntegrityError(str(error).replace(str(folder), repository.id)) from error
    sums = [stated_sha256(path) for path in spec.weights_files]
    known = [each for each in sums if each is not None]
    return replace(spec, expected_sha256=combined(known)) if len(known) == len(sums) else spec


def _model_files(paths: Collection[str]) -> list[str]:
    if encoder_prefix(paths) is None or not weights_of(paths):
        return []
    return needed_files(paths)
