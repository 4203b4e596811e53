"""Nothing phones home: not embedhub, not a library it brings along."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

# Every way out of a Python process goes through one of these audit events.
# Written at once and to a file, because libraries like to do this in child processes.
_WATCH = """
import sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"):
        if "AF_UNIX" not in repr(arguments):
            with open(sys.argv[1] + "/seen.txt", "a") as file:
                print(event, arguments[1:], file=file)
sys.addaudithook(watch)
"""

_WORK = """
from pathlib import Path
from embedhub import EmbeddedDataset, Model
from embedhub.datasets import BuildOptions, InputRequest
from embedhub.runtime.embedding import EmbedRequest, embed_file
folder = Path(sys.argv[1])
(folder / "t.txt").write_text("the one\\nan it\\n")
model = Model(sys.argv[2])
from embedhub.engine.backends.openvino import has_fast_int8
Model(sys.argv[2], dtype="int8" if has_fast_int8() else "f32").encode("the one")
embed_file(EmbedRequest(InputRequest(folder / "t.txt"), folder / "out", BuildOptions()), lambda: model)
assert EmbeddedDataset.load(folder / "out").search("the one")[0]["row"] == 0
"""


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return kept | {"HOME": str(tmp_path), "EMBEDHUB_HOME": str(tmp_path / "home")} | more


def run(code: str, tmp_path: Path, model: Path, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, str(tmp_path), str(model)]
    return subprocess.run(
        command, env=environment(tmp_path, **more), capture_output=True, text=True, timeout=90, check=False
    )


def seen(tmp_path: Path) -> str:
    file = tmp_path / "seen.txt"
    return file.read_text() if file.is_file() else ""


def test_huggingface_hub_is_imported_where_it_is_quietened() -> None:
    for path in (Path(__file__).parents[1] / "src").rglob("*.py"):
        imports = re.search(r"^\s*(import|from) huggingface_hub\b", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert bool(imports) == (path.name == "quiet_hub.py"), path


def test_the_watch_sees_connections_of_children_too(tmp_path: Path, tiny_folder: Path) -> None:
    code = """
import multiprocessing, socket
def connect():
    socket.socket(socket.AF_INET).connect_ex(("127.0.0.1", 9))
multiprocessing.get_context("fork").Process(target=connect).run()
process = multiprocessing.get_context("fork").Process(target=connect)
process.start()
process.join()
"""
    run(_WATCH + code, tmp_path, tiny_folder)
    assert seen(tmp_path).count("socket.connect") == 2


def test_no_connection_while_embedding_and_searching(tmp_path: Path, tiny_folder: Path) -> None:
    result = run(_WATCH + _WORK, tmp_path, tiny_folder)
    assert result.returncode == 0, result.stderr
    assert seen(tmp_path) == ""


def test_offline_means_not_even_a_try(tmp_path: Path, tiny_folder: Path) -> None:
    result = run(_WATCH + "from embedhub import Model\nModel()", tmp_path, tiny_folder, HF_HUB_OFFLINE="1")
    assert "tried: " in result.stderr
    assert seen(tmp_path) == ""


def test_openvino_telemetry_is_never_loaded(tmp_path: Path, tiny_folder: Path) -> None:
    # openvino depends on openvino-telemetry, which sends when it is imported by openvino's model converter.
    assert importlib.util.find_spec("openvino_telemetry") is not None
    report = "print([name for name in sys.modules if 'telemetry' in name or 'openvino.tools' in name])"
    result = run("import sys\n" + _WORK + report, tmp_path, tiny_folder)
    assert result.stdout.strip() == "[]", result.stderr
    # It keeps the consent and a user id in this folder of the home.
    assert not (tmp_path / "intel").exists()
