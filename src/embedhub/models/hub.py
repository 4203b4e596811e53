"""From a Hugging Face Hub into the Hugging Face cache.

Knows the order that makes a download safe to break off: modules.json, without which no snapshot counts as whole,
comes last, and a branch moves to a commit only when its files are there. Refuses to read a model.
"""

import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from embedhub.errors import EmbedhubError, ModelError, ModelNotFoundError, StorageFullError, UnsupportedModelError
from embedhub.models.cache import HuggingFaceCache, Snapshot
from embedhub.models.json_files import read_object, text
from embedhub.models.selection import encoder_prefix, needed_files, weights_of
from embedhub.models.wanted import Wanted
from embedhub.models.wheel import WHEELS
from embedhub.storage import is_full

logger = logging.getLogger(__name__)

_COMMIT = re.compile(r"[0-9a-f]{40}")

_TIMEOUT_SECONDS = 10

# Characters of another library's message: some are paragraphs in a line.
_SHOWN = 120


def fetch_snapshot(wanted: Wanted) -> Snapshot:
    """The model's files at the newest commit of what was asked for, in the Hugging Face cache.

    Raises:
        ModelNotFoundError: the Hub cannot be reached, or it has no such model for us.
        ModelError: it has the model, but the download broke off; what came is kept.
        UnsupportedModelError: the repository holds no text encoder.
        StorageFullError: no space left.
    """
    endpoint = wanted.settings.endpoint
    if wanted.settings.offline:
        raise ModelNotFoundError(f"{endpoint} (offline)")
    commit, names = _ask(wanted)
    cache = HuggingFaceCache(wanted.settings)
    snapshot = cache.snapshot(wanted.id, commit)
    if encoder_prefix(names) is None or not weights_of(names):
        raise UnsupportedModelError(f"{wanted.id} at {endpoint} is no text encoder: no config.json, or no weights")
    try:
        _download(wanted, cache, snapshot, names)
        if not commit.startswith(wanted.revision or "main"):
            cache.note_reference(snapshot, wanted.revision or "main")
    except EmbedhubError:
        raise
    except Exception as error:  # the library's HTTP client, and so its errors, differ by version
        if is_full(error):
            raise StorageFullError(
                f"no space left under {cache.root} for {wanted.id}; free some and pull again"
            ) from error
        # The model that has one more source must not fail here.
        kind = ModelNotFoundError if wanted.id in WHEELS and wanted.revision is None else ModelError
        raise kind(
            f"{endpoint} (the download of {wanted.id} broke off: {_first_line(error)}; "
            f"`embedhub models pull {wanted.id}` tries again)"
        ) from error
    return snapshot


def _ask(wanted: Wanted) -> tuple[str, list[str]]:
    """The commit and the names of the repository's files."""
    # Costs 0.5 s to import, and is only needed here.
    from embedhub.models.quiet_hub import huggingface_hub

    endpoint, token = wanted.settings.endpoint, wanted.settings.hub_token
    api = huggingface_hub.HfApi(endpoint=endpoint, token=token or False)
    try:
        info = api.model_info(wanted.id, revision=wanted.revision, timeout=_TIMEOUT_SECONDS)
    except Exception as error:  # as above
        raise ModelNotFoundError(f"{endpoint} ({_refusal(error, wanted, has_token=token is not None)})") from error
    commit = info.sha or ""
    if not _COMMIT.fullmatch(commit):
        raise ModelNotFoundError(f"{endpoint} (its answer for {wanted.id} names no commit)")
    return commit, [file.rfilename for file in info.siblings or ()]


def _download(wanted: Wanted, cache: HuggingFaceCache, snapshot: Snapshot, names: Iterable[str]) -> None:
    from embedhub.models.quiet_hub import huggingface_hub

    settings = wanted.settings
    request: dict[str, Any] = {
        "revision": snapshot.commit,
        "cache_dir": cache.root,
        "endpoint": settings.endpoint,
        "token": settings.hub_token or False,
        "etag_timeout": _TIMEOUT_SECONDS,
    }
    config_name = f"{encoder_prefix(names) or ''}config.json"
    config = Path(huggingface_hub.hf_hub_download(wanted.id, config_name, **request))
    files = needed_files(names, text(read_object(config), "model_type", config))
    first = [name for name in files if name != "modules.json"]
    if not _all_there(snapshot, first):
        logger.info("downloading %s from %s", wanted.id, settings.endpoint)
        huggingface_hub.snapshot_download(wanted.id, allow_patterns=first, **request)
    # The library hands back a half snapshot when the Hub fails while it asks for the list of files.
    if not _all_there(snapshot, first):
        raise ModelError(f"{settings.endpoint}: not every file of {wanted.id} came; pull it again")
    if "modules.json" in files:
        huggingface_hub.hf_hub_download(wanted.id, "modules.json", **request)
    else:
        cache.note_absent(snapshot, "modules.json")


def _all_there(snapshot: Snapshot, names: Iterable[str]) -> bool:
    return all((snapshot.folder / name).is_file() for name in names)


def _refusal(error: Exception, wanted: Wanted, *, has_token: bool) -> str:
    """Why the Hub gave nothing, in words that name the way out."""
    from embedhub.models.quiet_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return f"access must be granted first: {wanted.settings.endpoint}/{wanted.id}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{wanted.id} has no revision {wanted.revision}"
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403, 404):
        way_out = "the token was refused or may not read it" if has_token else "set HF_TOKEN if it is private"
        return f"{status or 404}: no model {wanted.id}; {way_out}"
    return f"answered {status}" if status else f"cannot be reached: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
