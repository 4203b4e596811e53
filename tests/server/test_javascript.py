"""huggingface.js, versions 2 and 4, and Transformers.js under Node: `make test-clients` installs and runs them."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.checkpoints import write_classifier
from tests.models.fake_hub import FakeHub, files_of
from tests.server.conftest import Start

from embedhub import Classifier, Model
from embedhub.choices import OnnxForm
from embedhub.config import DEFAULT_MODEL, Settings
from embedhub.engine.export.repository import write_repository

PROGRAMS = Path(__file__).parent / "javascript"
QUESTIONS = Path(__file__).parents[2] / "examples" / "medicare_faq.txt"
TEXTS = ["one text", "another"]

pytestmark = pytest.mark.clients


@contextmanager
def started(node: str, program: str, folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A program that runs in a folder of its own."""
    # The token is to come from the folder's `.env`.
    surroundings = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
    process = subprocess.Popen(
        [node, str(PROGRAMS / program)],
        cwd=folder,
        env=surroundings | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def printed(process: subprocess.Popen[str]) -> Any:
    """What a program printed last, once it has ended well."""
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return json.loads(out.splitlines()[-1])


def output(node: str, program: str, folder: Path, **environment: str) -> Any:
    with started(node, program, folder, **environment) as process:
        return printed(process)


@pytest.mark.parametrize(
    ("program", "path"),
    [
        ("seed.mjs", "/"),
        ("seed.mjs", f"/models/{DEFAULT_MODEL}"),
        ("seed.mjs", f"/models/{DEFAULT_MODEL}/pipeline/feature-extraction"),
        ("seed_2.mjs", f"/models/{DEFAULT_MODEL}"),
        ("seed_2.mjs", f"/pipeline/feature-extraction/{DEFAULT_MODEL}"),
    ],
)
def test_a_program_of_the_hosted_api(
    node: str, server: str, default_model: Model, tmp_path: Path, program: str, path: str
) -> None:
    (tmp_path / ".env").write_text("HF_TOKEN=hf_not_a_real_token\n")
    vector = output(node, program, tmp_path, ENDPOINT=server + path)
    np.testing.assert_allclose(vector, default_model.encode("this is a huggingface test"), atol=1e-5)


@pytest.mark.parametrize("version", ["4", "auto", "2"])
def test_models_by_name(node: str, server: str, default_model: Model, tmp_path: Path, version: str) -> None:
    found = output(node, "by_model.mjs", tmp_path, SERVER=server, MODEL=DEFAULT_MODEL, VERSION=version)
    vectors = default_model.encode(TEXTS)
    np.testing.assert_allclose(found["similarities"], vectors @ vectors[0], atol=1e-5)
    np.testing.assert_allclose(found["text"], vectors[0], atol=1e-5)
    np.testing.assert_allclose(found["texts"], vectors, atol=1e-5)
    # It asked what the model can do before it posted.
    assert found["asked"][0] == f"/api/models/{DEFAULT_MODEL}"


def test_errors_are_told(node: str, server: str, tmp_path: Path) -> None:
    found = output(node, "errors.mjs", tmp_path, SERVER=server)
    told = {
        "unknown": "nobody/nothing",
        "empty": "inputs is empty",
        "wide": "384",
        "labels": "text classification",
        "version2": "nobody/nothing",
    }
    assert list(found) == list(told)
    for name, words in told.items():
        assert words in found[name], name


@pytest.mark.parametrize("wait", ["", "true", "false"])
def test_a_model_that_is_being_loaded_is_not_asked_for_in_a_hot_loop(
    node: str, start_server: Start, tmp_path: Path, tiny_folder: Path, wait: str
) -> None:
    with FakeHub() as hub:
        hub.publish("acme/tiny", files_of(tiny_folder))
        hub.held.add("model.safetensors")
        home = {"EMBEDHUB_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
        server = start_server("--model", str(tiny_folder), "--allow-models", "acme/*", HF_ENDPOINT=hub.endpoint, **home)
        with started(node, "loading.mjs", tmp_path, ENDPOINT=f"{server}/models/acme/tiny", WAIT=wait) as process:
            assert process.stderr is not None
            for _ in range(3 if wait == "false" else 1):
                assert process.stderr.readline().startswith("request")
            assert hub.reached.wait(20)
            hub.release.set()
            found = printed(process)
    assert found["width"] == 32
    if wait == "false":
        # Each refusal takes a second.
        assert 3 <= found["requests"] <= found["seconds"] + 2
    else:
        assert found["requests"] == 1


class _Quiet(SimpleHTTPRequestHandler):
    """A server of files as anybody has one."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what went wrong shows in the answer."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder's files over HTTP; gives the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as files:
        thread = threading.Thread(target=files.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{files.server_port}/"
        finally:
            files.shutdown()
            thread.join()


def test_an_exported_model_in_transformers_js(
    node: str, default_model: Model, offline: Settings, tmp_path: Path
) -> None:
    write_repository(default_model.spec, tmp_path / "local" / "exported", offline, list(OnnxForm))
    inputs = [*QUESTIONS.read_text().splitlines(), "How do premiums work? " * 100]
    ask = {"model": "local/exported", "inputs": inputs, "pooling": "mean", "normalize": default_model.spec.normalize}
    with served(tmp_path) as address:
        found = output(node, "transformers.mjs", tmp_path, SERVER=address, ASK=json.dumps(ask))
    vectors = default_model.encode(inputs)
    assert found["longest"] == default_model.spec.max_tokens
    np.testing.assert_allclose(found["fp32"][:-1], vectors[:-1], atol=1e-5)
    # Transformers.js drops the last [SEP] of a text that it cuts.
    assert np.dot(found["fp32"][-1], vectors[-1]) > 0.995
    cosines = (np.array(found["q8"]) * vectors).sum(axis=1)
    assert cosines.min() > 0.98
    assert np.abs(np.array(found["q8"]) - vectors).max() > 1e-3, "this was not computed in 8 bits"


def test_an_exported_classifier_in_transformers_js(node: str, offline: Settings, tmp_path: Path) -> None:
    classifier = Classifier(write_classifier(tmp_path / "model", labels=2), dtype="f32", config=offline)
    write_repository(classifier.spec, tmp_path / "local" / "exported", offline, list(OnnxForm))
    pairs = [("the one", "not this, but that!"), ("a", "b")]
    ask = {"model": "local/exported", "inputs": list(zip(*pairs, strict=True))}
    with served(tmp_path) as address:
        found = output(node, "transformers.mjs", tmp_path, SERVER=address, ASK=json.dumps(ask))
    np.testing.assert_allclose(found["fp32"], classifier.logits(pairs), atol=1e-5)
    np.testing.assert_allclose(found["q8"], classifier.logits(pairs), atol=0.2)
