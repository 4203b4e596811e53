"""`embedhub push` and `pull`: folders to a Hub and from one."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedhub.cli.datasets import JsonOption
from embedhub.config import settings

if TYPE_CHECKING:
    from embedhub.config import Settings


class RepositoryKind(StrEnum):
    """What a repository holds."""

    DATASET = "dataset"
    MODEL = "model"


RevisionOption = Annotated[
    str | None, typer.Option(help="Branch, tag or commit; else main.", metavar="NAME", show_default=False)
]
EndpointOption = Annotated[
    str | None, typer.Option(help="Address of the Hub; else HF_ENDPOINT.", metavar="URL", show_default=False)
]


def push(
    directory: Annotated[Path, typer.Argument(help="Folder of a dataset or a model.", show_default=False)],
    repository: Annotated[
        str, typer.Argument(help="namespace/name; the namespace can be left out: it is yours.", show_default=False)
    ],
    kind: Annotated[
        RepositoryKind | None, typer.Option("--type", help="Else what the folder looks like.", show_default=False)
    ] = None,
    private: Annotated[
        bool | None, typer.Option(help="Who sees a repository that is made by this.", show_default=False)
    ] = None,
    message: Annotated[str | None, typer.Option("--message", help="Of the commit.", show_default=False)] = None,
    revision: RevisionOption = None,
    endpoint: EndpointOption = None,
    json: JsonOption = False,
) -> None:
    """Send a dataset or a model to a Hub: this one (`embedhub serve`), the public one, or another."""
    from embedhub.cli.output import print_json
    from embedhub.runtime import remote

    _quiet_unless_terminal()
    chosen = str(kind) if kind else remote.kind_of_folder(directory)
    address = remote.push(
        directory,
        repository,
        kind=chosen,
        config=_settings(endpoint),
        private=private,
        message=message,
        revision=revision,
    )
    if json:
        print_json({"repository": repository, "type": chosen, "url": address})
    else:
        typer.echo(address)


def pull(
    repository: Annotated[str, typer.Argument(help="namespace/name.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder; else the repository's name.", show_default=False)
    ] = None,
    kind: Annotated[RepositoryKind, typer.Option("--type", help="What it holds.")] = RepositoryKind.DATASET,
    revision: RevisionOption = None,
    endpoint: EndpointOption = None,
) -> None:
    """Fetch a dataset or a model from a Hub into a folder."""
    from embedhub.runtime import remote

    _quiet_unless_terminal()
    folder = out or Path(repository.rpartition("/")[2])
    typer.echo(remote.pull(repository, folder, kind=str(kind), config=_settings(endpoint), revision=revision))


def _settings(endpoint: str | None) -> "Settings":
    from dataclasses import replace

    return replace(settings(), endpoint=endpoint.rstrip("/")) if endpoint else settings()


def _quiet_unless_terminal() -> None:
    """No bars in a pipe."""
    if not sys.stderr.isatty():
        from embedhub.models.quiet_hub import disable_progress_bars

        disable_progress_bars()
