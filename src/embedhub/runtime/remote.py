"""Folders sent to a Hub and fetched from one: this project's, the public one, any that speaks its API.

Knows which files of a folder belong into a repository, by way of huggingface_hub. Refuses to know terminals.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pyarrow.parquet as pq

from embedhub.config import Settings
from embedhub.datasets import read_dataset
from embedhub.datasets.source import SUFFIXES
from embedhub.errors import DatasetNotFoundError, InputError, InputNotFoundError, RemoteHubError, SettingError
from embedhub.storage import storage_errors

_Result = TypeVar("_Result")

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*")

# What this project, git and the Hub's client keep in a folder for themselves.
_PRIVATE = [".embedhub/**", ".cache/**", ".git/**", "**/.*.unfinished"]

_KINDS = ("dataset", "model")

_SPLIT = re.compile(r"(?:^|/)train[-_.0-9]")

# Rows held at once while shards are joined.
_JOINED_ROWS = 8192


def is_repository_id(word: str) -> bool:
    """Whether a word can be `namespace/name`, and is no path of something that is here."""
    return bool(_ID.fullmatch(word)) and not Path(word).exists()


def kind_of_folder(folder: Path) -> str:
    """`model` or `dataset`, by what lies in a folder.

    Raises:
        SettingError: there is no such folder.
    """
    if not folder.is_dir():
        raise SettingError(f"{folder} is no folder; `embedhub embed` makes one of a file of texts")
    is_model = any((folder / name).is_file() for name in ("config.json", "modules.json"))
    return "model" if is_model else "dataset"


def push(
    folder: Path,
    id: str,
    *,
    kind: str,
    config: Settings,
    private: bool | None = None,
    message: str | None = None,
    revision: str | None = None,
) -> str:
    """Send a folder to a repository, which is made if it is not there; gives the commit's address.

    Files of the repository's `data` folder that the folder no longer has are removed there.

    Args:
        folder: an embedded dataset, or a model.
        id: `namespace/name`; without a namespace it is the token's owner's.
        kind: `dataset` or `model`.
        config: says which Hub, and the token.
        private: for a repository that is made; None leaves that to the Hub.
        message: of the commit.
        revision: the branch; None is main.

    Raises:
        DatasetError: the dataset is not finished.
        RemoteHubError: the Hub refuses or cannot be reached; the same command continues.
    """
    if kind == "dataset" and (folder / "data").is_dir():
        # One that is not finished must not be believed to be; another dataset is none of ours to judge.
        with suppress(DatasetNotFoundError):
            read_dataset(folder)
    from embedhub.models.quiet_hub import huggingface_hub

    api = huggingface_hub.HfApi(endpoint=config.endpoint, token=_token(config))

    def send() -> str:
        made = api.create_repo(id, repo_type=kind, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(made.repo_id, branch=revision, repo_type=kind, exist_ok=True)
        return str(
            api.upload_folder(
                repo_id=made.repo_id,
                folder_path=folder,
                repo_type=kind,
                revision=revision,
                commit_message=message or f"Upload {kind} with embedhub",
                ignore_patterns=_PRIVATE,
                delete_patterns=["data/*.parquet"] if kind == "dataset" else None,
            )
        )

    return _asked(send, config, id)


def pull(id: str, folder: Path, *, kind: str, config: Settings, revision: str | None = None) -> Path:
    """Fetch a repository into a folder; what is there already is not fetched again.

    Raises:
        RemoteHubError: the Hub refuses, or cannot be reached and the folder is not there.
    """
    if config.offline:
        if folder.is_dir():
            return folder
        raise RemoteHubError(f"{id} is not here, and HF_HUB_OFFLINE forbids to fetch it")
    from embedhub.models.quiet_hub import huggingface_hub

    def fetch() -> str:
        return str(
            huggingface_hub.snapshot_download(
                id,
                repo_type=kind,
                revision=revision,
                local_dir=folder,
                endpoint=config.endpoint,
                token=_token(config),
            )
        )

    return Path(_asked(fetch, config, id))


def hosted_dataset(id: str, config: Settings, revision: str | None = None) -> Path:
    """The folder of a dataset of the Hub, fetched or brought up to date, kept under EMBEDHUB_HOME."""
    return pull(id, _kept(id, config, revision), kind="dataset", config=config, revision=revision)


@contextmanager
def hosted_input(id: str, config: Settings, revision: str | None = None) -> Iterator[Path]:
    """A file with the texts of a dataset of the Hub: its one file, or the shards of its split `train` joined.

    Raises:
        RemoteHubError: the Hub refuses or cannot be reached.
        InputNotFoundError: it has no file of texts.
        InputError: it has several, and nothing says which.
    """
    folder = hosted_dataset(id, config, revision)
    files = sorted(path for path in folder.rglob("*") if _is_input(path.relative_to(folder)))
    if len(files) > 1:
        # A dataset has a part to learn from and others to test with.
        files = [path for path in files if _SPLIT.search(path.relative_to(folder).as_posix())] or files
    if not files:
        raise InputNotFoundError(f"{id} has no file of texts: {', '.join(sorted(SUFFIXES))}")
    if len(files) == 1:
        yield files[0]
        return
    if any(path.suffix != ".parquet" for path in files):
        names = ", ".join(path.relative_to(folder).as_posix() for path in files[:10])
        raise InputError(f"{id} has several files of texts ({names}): fetch it with `embedhub pull` and name one")
    with TemporaryDirectory(prefix="embedhub-") as scratch:
        joined = Path(scratch) / f"{id.partition('/')[2]}.parquet"
        with storage_errors(f"no space left under {scratch} to join the shards of {id}"):
            _join(files, joined)
        yield joined


def _is_input(path: Path) -> bool:
    if any(part.startswith(".") for part in path.parts):
        return False
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    # Names of files that every repository has, beside its data.
    return bool(suffixes) and suffixes[-1] in SUFFIXES and path.name not in ("dataset_infos.json", "config.json")


def _join(files: list[Path], joined: Path) -> None:
    with pq.ParquetFile(files[0]) as first:
        schema = first.schema_arrow
    with pq.ParquetWriter(joined, schema) as writer:
        for path in files:
            with pq.ParquetFile(path) as file:
                if file.schema_arrow.names != schema.names:
                    raise InputError(f"{path.name} has other columns than {files[0].name}")
                for batch in file.iter_batches(_JOINED_ROWS):
                    writer.write_batch(batch.cast(schema))


def _kept(id: str, config: Settings, revision: str | None) -> Path:
    name = id.replace("/", "--") + (f"@{re.sub(r'[^A-Za-z0-9._-]', '_', revision)}" if revision else "")
    return config.home / "datasets" / name


def _token(config: Settings) -> str | bool:
    return config.hub_token or False


def _asked(ask: Callable[[], _Result], config: Settings, id: str) -> _Result:
    from embedhub.models.quiet_hub import errors

    try:
        return ask()
    except errors.RepositoryNotFoundError as error:
        way_out = "the token may not see it" if config.hub_token else "set HF_TOKEN if it is private"
        raise RemoteHubError(f"{config.endpoint} has no {id}, or {way_out}") from error
    except (errors.HFValidationError, errors.HfHubHTTPError) as error:
        raise RemoteHubError(f"{config.endpoint}: {_reason(error)}") from error
    except OSError as error:
        if error.filename is not None or error.errno is not None:
            raise
        raise RemoteHubError(f"{config.endpoint} cannot be reached: {_reason(error)}") from error
    except Exception as error:
        # The client's own HTTP library differs by version, and so do its errors.
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2", "requests", "httpcore"):
            raise
        raise RemoteHubError(f"{config.endpoint} cannot be reached: {_reason(error)}") from error


def _reason(error: Any) -> str:
    said = getattr(error, "server_message", None) or str(error).strip() or type(error).__name__
    return str(said).splitlines()[0]
