"""A process that loads a model, uses it and forks; its children use it too, each with a hard time limit."""

import subprocess
import sys
from pathlib import Path

# Children end as those of multiprocessing do (at once) or as a server's workers do (as any program ends), and the last
# one never uses the model.
_CODE = """
import os, signal, sys
import numpy as np
from embedhub import Model
from embedhub.config import read_settings

signal.alarm(60)
model = Model(sys.argv[1], dtype="f32", config=read_settings({"EMBEDHUB_HOME": sys.argv[2], "HF_HUB_OFFLINE": "1"}))
texts = [f"the one {number}" for number in range(200)]
many, lone = model.encode(texts), model.encode("a")


def check():
    for _ in range(2):
        assert np.abs(model.encode(texts) - many).max() < 1e-5
        assert np.abs(model.encode("a") - lone).max() < 1e-5


def grandchild():
    check()
    wait(child(check, sys.exit))


def child(work, leave):
    process = os.fork()
    if process == 0:
        signal.alarm(30)
        work()
        leave(0)
    return process


def wait(process):
    status = os.waitpid(process, 0)[1]
    assert status == 0, f"a child ended with status {status}"


for work, leave in ((check, os._exit), (check, sys.exit), (grandchild, sys.exit), (lambda: None, sys.exit)):
    wait(child(work, leave))
check()
print("same vectors everywhere")
"""


def vectors_in_forks(folder: Path, home: Path) -> str:
    """What such a process says about the model in `folder`, errors included."""
    command = [sys.executable, "-W", "ignore", "-c", _CODE, str(folder), str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    return done.stdout.strip() or done.stderr
