"""`embedhub hub check`, `gc` and `backup`: the Hub kept whole, lean and twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedhub.cli.datasets import JsonOption
from embedhub.config import settings
from embedhub.errors import HubError

if TYPE_CHECKING:
    from embedhub.hub.hosting import Hub

app = typer.Typer(help="This machine's Hub: check it, remove garbage, back it up.", no_args_is_help=True)


@app.command("check")
def check(
    json: JsonOption = False,
    deep: Annotated[bool, typer.Option("--deep", help="Read every large file and compare its sha256.")] = False,
) -> None:
    """Tell what is damaged, a line each; the exit status is 0 if nothing is. The server may run."""
    from embedhub.cli.output import RESULTS, print_json, say
    from embedhub.hub.check import check as findings_of

    damaged = leftovers = 0
    told = []
    with _opened() as hub:
        for finding in findings_of(hub, deep=deep):
            damaged += finding.is_damage
            leftovers += not finding.is_damage
            if json:
                told.append(asdict(finding))
            else:
                RESULTS.print(str(finding), markup=False)
        repositories = len(hub.repositories.all()) if not damaged and hub.connections.path.exists() else 0
    if json:
        print_json({"clean": not damaged, "findings": told})
    elif damaged:
        say(f"{damaged} damaged; docs/hub/keeping.md says how a backup is brought back")
    else:
        say(f"clean: {repositories} repositories" + ("; `embedhub hub gc` removes leftovers" if leftovers else ""))
    if damaged:
        raise typer.Exit(HubError.exit_status)


@app.command("gc")
def collect(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    json: JsonOption = False,
) -> None:
    """Remove what nothing has referred to for a day (git's own objects: two weeks). The server may run."""
    from embedhub.cli.output import print_fields, print_json, say
    from embedhub.hub.garbage import collect as collected_of

    with _opened() as hub:
        collected = collected_of(hub, dry_run=dry_run)
    fields = asdict(collected)
    if json:
        print_json(fields)
        return
    for line in fields.pop("spared"):
        say(f"stays: {line}")
    print_fields({name.replace("_", " "): value for name, value in fields.items()})
    if dry_run:
        say("nothing was removed")


@app.command("backup")
def back_up(
    folder: Annotated[Path, typer.Argument(help="Where to; over an earlier copy it is quick.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Copy everything that people own to a folder, whole. The server may run."""
    from embedhub.cli.output import print_json, say
    from embedhub.hub.backup import back_up as copied_of

    with _opened() as hub:
        copied = copied_of(hub, folder)
    if json:
        print_json(asdict(copied))
    else:
        files = f"{copied.repositories} repositories and {copied.large_files} large files"
        say(f"{files} are in {folder}; {copied.new_bytes:,} bytes were new")


@contextmanager
def _opened() -> Iterator["Hub"]:
    from embedhub.hub.hosting import Hub

    hub = Hub(settings().home)
    try:
        yield hub
    finally:
        hub.close()
