"""The rows of hosted datasets, embedded or not, for people who look at them: the rooms `hub` and `datasets`.

Knows how the files of a commit are divided into configurations and splits, by the card or by their names, and keeps
what takes long (statistics, other formats as Parquet) beside the commit's files. Refuses to know HTTP and who may look.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from embedhub.datasets.statistics import statistics_of
from embedhub.datasets.tables import Page, convert, page_of
from embedhub.errors import DatasetNotFoundError, EntryNotFoundError, HubContentError
from embedhub.hub.cards import read_card
from embedhub.hub.derived import Derived
from embedhub.hub.repositories import Repository
from embedhub.hub.staging import hub_storage_errors
from embedhub.runtime.apart import Apart
from embedhub.runtime.hosted_files import dataset_files, named
from embedhub.storage import unfinished_files, whole_file

DEFAULT = "default"

_CARD = "README.md"
_TABLES = "tables"

# A split by a word in the file's path.
_SPLITS: Mapping[str, re.Pattern[str]] = {
    "validation": re.compile(r"(?<![a-z])(validation|valid|val|dev)(?![a-z])"),
    "test": re.compile(r"(?<![a-z])(test|testing|eval|evaluation)(?![a-z])"),
}

# Files of one format only make a dataset; the first that there is.
_FORMATS = (".parquet", ".csv", ".csv.gz", ".tsv", ".jsonl", ".jsonl.gz", ".json")

Splits = Mapping[str, Mapping[str, list[str]]]


class HostedTables:
    """The tables of a Hub's datasets. Threads may share it.

    Args:
        derived: the files of commits, and where what is made of them is kept.
        apart: where files are read.
    """

    def __init__(self, derived: Derived, apart: Apart) -> None:
        self._derived = derived
        self._apart = apart

    def splits(self, repository: Repository, commit: str) -> Splits:
        """For each configuration its splits, for each of these the paths of its files.

        Raises:
            DatasetNotFoundError: there are no files with rows.
        """
        return _splits(self._derived.files(repository, commit, dataset_files), repository)

    def page(self, repository: Repository, commit: str, config: str, split: str, offset: int, length: int) -> Page:
        """Some rows of a split; empty names take the first of each.

        Raises:
            EntryNotFoundError: there is no such configuration or split.
            DatasetError: a file is broken, or they do not fit together.
        """
        root = self._derived.files(repository, commit, dataset_files)
        paths = _chosen(_splits(root, repository), config, split, repository)
        with named(root, repository):
            return self._apart.run(
                repository.id, page_of, self._as_parquet(repository, commit, root, paths), offset, length
            )

    def statistics(self, repository: Repository, commit: str, config: str, split: str) -> dict[str, Any]:
        """A split's statistics, made once a commit; errors as of `page`."""
        root, paths, name = self._statistics_file(repository, commit, config, split)

        def write(place: Path) -> None:
            with named(root, repository):
                made = self._apart.run(repository.id, statistics_of, self._as_parquet(repository, commit, root, paths))
            with whole_file(place) as file:
                file.write(json.dumps(made).encode())

        made: dict[str, Any] = json.loads(self._kept(repository, commit, name, write).read_bytes())
        return made

    def has_statistics(self, repository: Repository, commit: str, config: str, split: str) -> bool:
        """Whether a split's statistics are made already; errors as of `page`."""
        _, _, name = self._statistics_file(repository, commit, config, split)
        return (self._derived.folder(repository, commit) / _TABLES / name).is_file()

    def _statistics_file(
        self, repository: Repository, commit: str, config: str, split: str
    ) -> tuple[Path, list[str], str]:
        """The folder of the commit's files, a split's, and the name under which its statistics are kept."""
        root = self._derived.files(repository, commit, dataset_files)
        # Of the files and not of the names, so that nobody's inventions leave a trace.
        paths = _chosen(_splits(root, repository), config, split, repository)
        return root, paths, f"statistics-{hashlib.sha256(json.dumps(paths).encode()).hexdigest()[:16]}.json"

    def _as_parquet(self, repository: Repository, commit: str, root: Path, paths: Sequence[str]) -> list[Path]:
        """The files, or what was made of them once a commit."""
        return [
            root / path
            if path.endswith(".parquet")
            else self._kept(
                repository,
                commit,
                f"{hashlib.sha256(path.encode()).hexdigest()[:16]}.parquet",
                partial(self._apart.run, f"{repository.id}/{path}", convert, root / path),
            )
            for path in paths
        ]

    def _kept(self, repository: Repository, commit: str, name: str, write: Callable[[Path], None]) -> Path:
        """A file beside the commit's own, written if it is not there; who wants the same waits for one writer."""
        folder = self._derived.folder(repository, commit) / _TABLES
        place = folder / name
        if not place.is_file():
            with hub_storage_errors():
                folder.mkdir(exist_ok=True)
                with FileLock(folder / f"{name}.lock"):
                    if not place.is_file():
                        for left in unfinished_files(place):
                            left.unlink(missing_ok=True)
                        write(place)
            self._derived.make_room(keep=folder.parent)
        return place


def _splits(root: Path, repository: Repository) -> Splits:
    paths = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != _CARD)
    card = root / _CARD
    try:
        head = read_card(card.read_text(encoding="utf-8", errors="replace")) if card.is_file() else {}
    except HubContentError:
        head = {}
    found = _by_card(head.get("configs"), paths) or {DEFAULT: _by_name(paths)}
    if not any(found.values()):
        raise DatasetNotFoundError(f"{repository.id} has no Parquet, csv or jsonl file: there are no rows to show")
    return found


def _by_card(configs: Any, paths: list[str]) -> dict[str, dict[str, list[str]]]:
    """As the card's head divides them; nothing where it does not, or names no file that is there."""
    found: dict[str, dict[str, list[str]]] = {}
    for config in configs if isinstance(configs, list) else []:
        if not isinstance(config, dict):
            continue
        files = config.get("data_files")
        entries = files if isinstance(files, list) else [files]
        splits: dict[str, list[str]] = {}
        for entry in entries:
            split = entry.get("split", "train") if isinstance(entry, dict) else "train"
            patterns = entry.get("path") if isinstance(entry, dict) else entry
            for pattern in patterns if isinstance(patterns, list) else [patterns]:
                matching = [path for path in paths if isinstance(pattern, str) and fnmatchcase(path, pattern)]
                if matching:
                    splits.setdefault(str(split), []).extend(_of_one_format(matching))
        if splits:
            found[str(config.get("config_name", DEFAULT))] = splits
    return found


def _by_name(paths: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in _of_one_format(paths):
        split = next((name for name, words in _SPLITS.items() if words.search(path.lower())), "train")
        found.setdefault(split, []).append(path)
    return dict(sorted(found.items(), key=lambda each: each[0] != "train"))


def _of_one_format(paths: list[str]) -> list[str]:
    for ending in _FORMATS:
        found = [path for path in paths if path.lower().endswith(ending)]
        if found:
            return found
    return []


def _chosen(splits: Splits, config: str, split: str, repository: Repository) -> list[str]:
    chosen = splits.get(config or next(iter(splits)))
    if chosen is None:
        raise EntryNotFoundError(f"{repository.id} has no configuration {config:.100}; it has: {', '.join(splits)}")
    paths = chosen.get(split or next(iter(chosen)))
    if paths is None:
        raise EntryNotFoundError(f"{repository.id} has no split {split:.100}; it has: {', '.join(chosen)}")
    return paths
