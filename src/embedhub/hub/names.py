"""What things in the Hub may be called: namespaces, repositories, branches, tags, paths of files. Pure.

Knows the rules of the Hugging Face Hub for repositories and those of git for references (`git check-ref-format`), and
nothing of what there is. Names are compared without case; how somebody first wrote one is how it is shown.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from embedhub.errors import HubNameError, HubPathError

_LONGEST_NAME = 96
_LONGEST_PATH = 1000
_LONGEST_REFERENCE = 200

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")

# First parts of addresses that have another meaning.
_RESERVED = """
    admin api cas datasets decode device docs embed embed_all embeddings health healthz hf-inference hub info jobs
    kernels lfs login logout metrics models new oauth organizations ping pipeline playground predict rerank search
    settings similarity spaces static tokenize tokens users v1 v2 web
"""

RESERVED = frozenset(_RESERVED.split())

_REFERENCE = re.compile(
    r"(?!/)(?!.*//)(?!.*\.\.)(?!.*@\{)(?!@$)(?!\.)(?!.*/\.)(?!-)[^\x00-\x20\x7f~^:?*\[\\]+(?<!/)(?<!\.)", re.DOTALL
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Kind(StrEnum):
    """What a repository holds."""

    MODEL = "model"
    DATASET = "dataset"
    SPACE = "space"

    @property
    def plural(self) -> str:
        """As in the addresses of the API: `models`."""
        return f"{self}s"

    @property
    def prefix(self) -> str:
        """What stands before a repository's name in its address: `datasets/`; nothing for models."""
        return "" if self is Kind.MODEL else f"{self}s/"


@dataclass(frozen=True, slots=True)
class RepositoryName:
    """Kind, namespace and name of a repository; `str` is `namespace/name`."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def check_namespace(name: str) -> str:
    """The name of a user or an organisation, as it is.

    Raises:
        HubNameError: it cannot be one.
    """
    if name.lower() in RESERVED:
        raise HubNameError(f"{name!r} has another meaning in addresses; choose another name")
    return _check_name(name)


def repository_name(kind: Kind, id: str) -> RepositoryName:
    """The parts of `namespace/name`.

    Raises:
        HubNameError: it is no name of a repository.
    """
    namespace, slash, name = id.partition("/")
    if not slash:
        raise HubNameError(f"{id!r:.100}: a repository is named namespace/name")
    if name.lower().endswith((".git", ".ipynb")):
        raise HubNameError(f"{id!r:.100}: a repository's name does not end in .git or .ipynb")
    return RepositoryName(kind, _check_name(namespace), _check_name(name))


def _check_name(name: str) -> str:
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name) or "--" in name or ".." in name:
        raise HubNameError(
            f"{name!r:.110}: a name has letters, digits, _, - and ., {_LONGEST_NAME} at most, neither -- nor .., and "
            "neither - nor . at its ends"
        )
    return name


def check_reference(name: str) -> str:
    """The name of a branch or tag, as it is.

    Raises:
        HubNameError: git would not have it, or it looks like a commit or a full reference.
    """
    parts = name.split("/")
    if (
        len(name.encode("utf-8", "surrogatepass")) > _LONGEST_REFERENCE
        or not _REFERENCE.fullmatch(name)
        or any(part.endswith(".lock") for part in parts)
        or parts[0] == "refs"
        or name == "HEAD"
        or _COMMIT.fullmatch(name)
        or not name.isprintable()
    ):
        raise HubNameError(f"{name!r:.100} is no name for a branch or tag; git's rules are in `git check-ref-format`")
    return name


def is_reference(name: str) -> bool:
    """Whether git could have a reference of that full name, such as `refs/heads/main`."""
    return name.startswith("refs/") and _REFERENCE.fullmatch(name) is not None


def check_path(path: str) -> str:
    """The path of a file or folder in a repository, without a slash at its end.

    Raises:
        HubPathError: it is absolute, leads out of the repository or into git's own folder, or cannot be written.
    """
    plain = path.removesuffix("/")
    parts = plain.split("/")
    try:
        length = len(plain.encode())
    except UnicodeEncodeError:
        length = _LONGEST_PATH + 1
    if (
        length > _LONGEST_PATH
        or "\\" in plain
        or any(ord(character) < 0x20 or ord(character) == 0x7F for character in plain)
        or any(part in ("", ".", "..") or _is_git_folder(part) for part in parts)
    ):
        raise HubPathError(
            f"{path!r:.100} is no path for a file: relative, with /, without .., .git, \\ and control characters, "
            f"{_LONGEST_PATH} bytes at most"
        )
    return plain


def _is_git_folder(part: str) -> bool:
    """Whether some file system takes it for `.git`: without case, with dots or spaces behind, as a short name."""
    folded = "".join(character for character in part if character.isprintable()).casefold()
    return folded.rstrip(". ").split(":")[0] in (".git", "git~1")
