"""The files of hosted datasets: which of a commit they are, what errors call them, and whether they may be read here.

Knows the places that are kept for a commit. Refuses to know what is asked of a dataset.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from embedhub.datasets import StoredDataset
from embedhub.datasets.shards import read_through
from embedhub.errors import DatasetError
from embedhub.hub.repositories import Repository
from embedhub.hub.staging import hub_storage_errors
from embedhub.runtime.apart import Apart

_CARD = "README.md"
_ROWS = (".parquet", ".csv", ".tsv", ".jsonl", ".json", ".csv.gz", ".jsonl.gz")

_SEEN_THROUGH = "seen-through"


def dataset_files(paths: Collection[str]) -> list[str]:
    """Of a commit's files those that hold rows or say how they are divided."""
    return sorted(path for path in paths if path == _CARD or path.lower().endswith(_ROWS))


@contextmanager
def named(folder: Path, repository: Repository) -> Iterator[None]:
    """Errors that call a dataset by its name: nobody elsewhere can do anything with our paths."""
    try:
        yield
    except DatasetError as error:
        raise type(error)(str(error).replace(str(folder), repository.id)) from error


def see_through(stored: StoredDataset, apart: Apart, kept: Path) -> None:
    """Read an embedded dataset once a commit in a process that may end of it, so that it can be read in this one.

    Args:
        stored: which only had its footers read.
        apart: where it is read.
        kept: the folder of what is kept for the commit.

    Raises:
        DatasetError: it is broken, or a row group of it unfolds to more than this server reads.
    """
    mark = kept / _SEEN_THROUGH
    if not mark.is_file():
        apart.run(str(stored.path), read_through, [shard.path for shard in stored.shards])
        with hub_storage_errors():
            mark.touch()
