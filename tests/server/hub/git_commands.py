"""The real git, as somebody with no settings of their own runs it against a server of ours."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git command on this machine")


@dataclass(frozen=True)
class Git:
    """Runs git in a folder.

    Attributes:
        folder: where.
        settings: of git, by name.
    """

    folder: Path
    settings: tuple[tuple[str, str], ...] = ()

    def __call__(self, *arguments: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Its result; with `check` it must succeed."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=self.surroundings() | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"git {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done

    def start(self, *arguments: str, **named: Any) -> subprocess.Popen[bytes]:
        """It at work, in a group of processes of its own."""
        return subprocess.Popen(
            ["git", *arguments], cwd=self.folder, env=self.surroundings(), start_new_session=True, **named
        )

    def surroundings(self) -> dict[str, str]:
        """Variables for it."""
        made = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "ann",
            "GIT_AUTHOR_EMAIL": "ann@example.org",
            "GIT_COMMITTER_NAME": "ann",
            "GIT_COMMITTER_EMAIL": "ann@example.org",
            "GIT_CONFIG_COUNT": str(len(self.settings)),
        }
        for position, (name, value) in enumerate(self.settings):
            made |= {f"GIT_CONFIG_KEY_{position}": name, f"GIT_CONFIG_VALUE_{position}": value}
        return made

    def head(self, revision: str = "HEAD") -> str:
        """Hash of a revision."""
        return self("rev-parse", revision).stdout.strip()

    def commit(self, files: dict[str, str | bytes], message: str = "a commit") -> str:
        """Write files and commit them; gives the hash."""
        for path, content in files.items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        self("add", "--all")
        self("commit", "--quiet", "--message", message)
        return self.head()


def clone(address: str, folder: Path, *flags: str) -> Git:
    """A clone in a folder that is not there yet."""
    Git(folder.parent)("clone", "--quiet", *flags, address, folder.name)
    return Git(folder)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """What git said of something that failed."""
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr
