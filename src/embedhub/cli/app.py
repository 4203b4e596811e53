"""The command `embedhub`: reads the words of the command line, and turns every error into one line.

Knows which command stands for what; each lives in a file of its own beside this one, and loads what it needs when it
runs, so that `embedhub --help` is quick.
"""

import io
import logging
import signal
import sys
import traceback
from typing import Annotated

import typer

from embedhub import __version__
from embedhub.cli import datasets, hub, models, people, remote, serve, tokens
from embedhub.errors import EmbedhubError

app = typer.Typer(
    name="embedhub",
    help="Embed texts fast on a CPU, keep them as datasets, search them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("embed")(datasets.embed)
app.command("search")(datasets.search)
app.command("export")(datasets.export)
app.command("push")(remote.push)
app.command("pull")(remote.pull)
app.command("serve")(serve.serve)
app.add_typer(models.app, name="models")
app.add_typer(tokens.app, name="token")
app.add_typer(people.users, name="user")
app.add_typer(people.organisations, name="org")
app.add_typer(hub.app, name="hub")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"embedhub {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Embed texts fast on a CPU, keep them as datasets, search them.

    --debug, anywhere on the line, prints the traceback of an error. Settings are environment variables; see
    docs/settings.md.
    """


class _Interrupted(BaseException):
    """Ctrl-C. A name of our own, because the library below has its own, mute way with KeyboardInterrupt."""


def main() -> None:
    """Run the command line; exits with 0, the error's own status, 2 for a wrong call or 130 when interrupted."""
    if sys.stdout is None:
        sys.exit("error: standard output is closed")
    words = [word for word in sys.argv[1:] if word != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character shows a question mark.
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGINT, _interrupt)
    # What rooms have to tell people goes to standard error; other libraries only when it is a warning.
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    debugging = len(words) < len(sys.argv) - 1
    logging.getLogger("embedhub").setLevel(logging.DEBUG if debugging else logging.INFO)
    try:
        app(args=words)
    except _Interrupted:
        again = "; the same command continues where this one stopped" if words[:1] == ["embed"] else ""
        typer.echo(f"interrupted{again}", err=True)
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the last net: whatever it is, one line and a status
        if debugging:
            traceback.print_exc()
        message = " ".join(str(error).split()) or type(error).__name__
        expected = isinstance(error, EmbedhubError | OSError | MemoryError)
        hint = "" if expected else f" ({type(error).__name__}; this is a bug, --debug shows where)"
        typer.echo(f"error: {message}{hint}", err=True)
        sys.exit(error.exit_status if isinstance(error, EmbedhubError) else 1 if expected else 70)


def _interrupt(signum: int, frame: object) -> None:
    raise _Interrupted
