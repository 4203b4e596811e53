"""What was asked for: a folder or an id, at a revision or at the newest.

Knows how ids and revisions are spelled, and that both become names of folders: what could lead out of the folder of
models, or make two ids share one, is no id. Refuses to look anywhere.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from embedhub.config import Settings
from embedhub.errors import ModelNotFoundError

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_ID = re.compile(rf"(?:{_PART}/)?{_PART}")

# Branches and tags (also `refs/pr/1`), commits, and versions of packages.
_REVISION_PART = r"[A-Za-z0-9_+][A-Za-z0-9_.+-]*"
_REVISION = re.compile(rf"{_REVISION_PART}(?:/{_REVISION_PART})*")

# Stands for the slash in names of folders, here as in the Hugging Face cache; so no id may hold it.
_SEPARATOR = "--"


@dataclass(frozen=True)
class Wanted:
    """A model asked for, spelled as it may be.

    Attributes:
        id: `organisation/name`, or what the caller wrote for a folder.
        revision: branch, tag, commit or package version; None takes what is here, else the newest.
        settings: where to look and whether the network may be used.
        folder: the folder, when there is one of that name; then nothing else is looked at.
    """

    id: str
    revision: str | None
    settings: Settings
    folder: Path | None = None


def read_wanted(id: str, revision: str | None, settings: Settings) -> Wanted:
    """Understand `id`, `id@revision` or a folder.

    Raises:
        ModelNotFoundError: it is none of these.
    """
    folder = _existing_folder(id)
    if folder is not None:
        return Wanted(id, None, settings, folder)
    name, at, behind = id.partition("@")
    chosen = behind if at else revision
    if not is_model_id(name):
        raise ModelNotFoundError(f"{id!r} is neither a folder nor a model id such as organisation/name")
    if chosen is not None and not is_revision(chosen):
        raise ModelNotFoundError(f"{chosen!r} is no revision of {name}: no branch, tag or commit is spelled so")
    return Wanted(name, chosen, settings)


def is_model_id(id: str) -> bool:
    """Whether that is spelled like an id; the rules are those of the Hugging Face Hub."""
    return _ID.fullmatch(id) is not None and _SEPARATOR not in id and ".." not in id and not id.endswith(".git")


def is_revision(revision: str) -> bool:
    """Whether that is spelled like a branch, a tag, a commit or a version."""
    return _REVISION.fullmatch(revision) is not None and ".." not in revision and len(revision) <= 200


def folder_name(id: str) -> str:
    """The name of an id's folder; no two ids share one."""
    return id.replace("/", _SEPARATOR)


def id_of_folder(name: str) -> str | None:
    """The id whose folder has that name, or None when it is not the name of one."""
    id = name.replace(_SEPARATOR, "/", 1)
    return id if is_model_id(id) else None


def _existing_folder(name: str) -> Path | None:
    if not name.strip():
        return None
    try:
        path = Path(name).expanduser()
        return path if path.is_dir() else None
    except (OSError, ValueError, RuntimeError):
        # Too long for the file system, a NUL, or the home of a user that does not exist.
        return None
