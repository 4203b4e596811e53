"""git's own program, for what libgit2 does not do: verify a whole repository, and pack it.

Knows how it is called so that nobody's configuration changes what it does. Refuses to know why.
"""

import os
import shutil
import subprocess
from pathlib import Path

# Packing a repository of millions of files takes minutes.
_LONGEST_SECONDS = 6 * 3600


def has_git() -> bool:
    """Whether it is installed."""
    return shutil.which("git") is not None


def run_git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of git in a bare repository.

    Args:
        folder: of the repository.
        words: the command and its options.
    """
    program = shutil.which("git")
    assert program is not None
    surroundings = {
        "PATH": os.defpath,
        "LC_ALL": "C",
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }
    return subprocess.run(
        # A backup may have been brought back by another user.
        [program, "-c", "safe.directory=*", "--git-dir", str(folder), *words],
        capture_output=True,
        text=True,
        errors="replace",
        env=surroundings,
        stdin=subprocess.DEVNULL,
        timeout=_LONGEST_SECONDS,
        check=False,
    )
