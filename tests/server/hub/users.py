"""People who use the Hub with unmodified programs, each from a machine of their own: their folder, variables, token."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

from tests.server.processes import Running, running

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass
class User:
    """Somebody's machine.

    Attributes:
        server: they use.
        folder: all that they have.
        token: theirs.
        name: by which the server knows them.
        programs: folder with the `python` and the `hf` that they run.
    """

    server: Running
    folder: Path
    token: str
    name: str = "alice"
    programs: Path = field(default_factory=lambda: Path(sys.executable).parent)

    @property
    def variables(self) -> dict[str, str]:
        """None of ours, and those that a user of a server sets."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("EMBEDHUB_", "HF_"))}
        return kept | {
            "HF_ENDPOINT": self.server.address,
            "HF_HOME": str(self.folder / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "EMBEDHUB_HOME": str(self.folder / "home"),
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }

    def run(self, *words: str, folder: Path | None = None, variables: Mapping[str, str] | None = None) -> str:
        """Standard output of a program that must succeed."""
        result = subprocess.run(
            words,
            capture_output=True,
            text=True,
            cwd=folder or self.folder,
            env=self.variables | dict(variables or {}),
            timeout=120,
            check=False,
        )
        assert result.returncode == 0, f"{words}: {result.stdout}{result.stderr}"
        return result.stdout

    def hf(self, *words: str) -> str:
        """Hugging Face's command line."""
        return self.run(str(self.programs / "hf"), *words)

    def python(self, code: str, *words: str) -> str:
        """A program in Python."""
        return self.run(str(self.programs / "python"), "-c", code, *words)

    @contextmanager
    def session(self) -> Iterator["Session"]:
        """A Python of theirs that goes on for several tests; they are logged in."""
        variables = self.variables | {"HF_TOKEN": self.token}
        # A new process: libraries read variables when they are imported, and those of this one have been.
        with ProcessPoolExecutor(1, get_context("spawn"), _begin, (variables, str(self.folder))) as pool:
            yield Session(pool)


@dataclass(frozen=True)
class Session:
    """Runs functions of a test's module elsewhere; they import there what they use."""

    pool: ProcessPoolExecutor

    def __call__(
        self, function: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
    ) -> _Result:
        """Its result; what it raises is raised here."""
        return self.pool.submit(function, *arguments, **named).result(timeout=120)


def _begin(variables: Mapping[str, str], folder: str) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)


def user(server: Running, folder: Path, name: str = "alice", scope: str = "write") -> User:
    """Somebody with a token of that scope and an empty folder, which is made."""
    folder.mkdir(exist_ok=True)
    return User(server, folder, server.accounts().create_token(name, scope)[0], name)


@contextmanager
def served_to_alice(folder: Path, model: Path) -> Iterator[User]:
    """alice, and a server for as long as the block runs."""
    with running(folder, model) as server:
        yield user(server, folder / "alice")
