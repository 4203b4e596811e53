"""Models that are served without being hosted are repositories to read."""

import shutil
from pathlib import Path

import httpx
import numpy as np
import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import RepositoryNotFoundError
from tests.engine.checkpoints import write_bert
from tests.server.processes import Running

from embedhub import Model
from embedhub.config import Settings
from embedhub.models import ModelStore

ID = "acme/installed"


@pytest.fixture(scope="module")
def installed(hosting: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that the server has in its store."""
    folder = write_bert(tmp_path_factory.mktemp("installed") / "model", seed=60)

    def fill(place: Path) -> None:
        shutil.copytree(folder, place, dirs_exist_ok=True)

    ModelStore(hosting.home).install(ID, "1.0", fill)
    return folder


def test_the_real_client_loads_it(
    alice: HfApi, hosting: Running, tokens: dict[str, str], installed: Path, tmp_path: Path, offline: Settings
) -> None:
    info = alice.model_info(ID)
    assert info.sha is not None
    assert {"config.json", "model.safetensors", "tokenizer.json", "onnx/model.onnx"} <= {
        file.rfilename for file in info.siblings or ()
    }
    endpoint, token, cache = hosting.address, tokens["bob"], tmp_path / "cache"
    folder = Path(snapshot_download(ID, endpoint=endpoint, token=token, cache_dir=cache))
    assert folder.name == info.sha
    loaded = Model(folder, dtype="f32", config=offline).encode("the one")
    np.testing.assert_allclose(loaded, Model(installed, dtype="f32", config=offline).encode("the one"), atol=1e-6)
    again = hf_hub_download(ID, "config.json", revision="1.0", endpoint=endpoint, token=token, cache_dir=cache)
    assert Path(again).read_bytes() == (folder / "config.json").read_bytes()


def test_what_transformers_js_asks_for(as_bob: httpx.Client, installed: Path) -> None:
    for path in ("config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model_quantized.onnx"):
        answer = as_bob.get(f"/{ID}/resolve/main/{path}")
        assert answer.status_code == 200
        part = as_bob.get(f"/{ID}/resolve/main/{path}", headers={"range": "bytes=2-5"})
        assert (part.status_code, part.content) == (206, answer.content[2:6])
        known = as_bob.get(f"/{ID}/resolve/main/{path}", headers={"if-none-match": answer.headers["etag"]})
        assert known.status_code == 304
    missing = as_bob.get(f"/{ID}/resolve/main/generation_config.json")
    assert (missing.status_code, missing.headers["x-error-code"]) == (404, "EntryNotFound")
    nowhere = as_bob.get(f"/{ID}/resolve/elsewhere/config.json")
    assert (nowhere.status_code, nowhere.headers["x-error-code"]) == (404, "RevisionNotFound")


def test_its_folders_are_listed(alice: HfApi, installed: Path) -> None:
    top = {each.path for each in alice.list_repo_tree(ID)}
    whole = {each.path: each for each in alice.list_repo_tree(ID, recursive=True)}
    assert {"onnx", "config.json"} <= top
    assert "onnx/model.onnx" in whole
    assert "onnx/model.onnx" not in top
    assert whole["model.safetensors"].size == (installed / "model.safetensors").stat().st_size  # type: ignore[union-attr]


def test_what_lies_at_some_paths(alice: HfApi, installed: Path) -> None:
    found = alice.get_paths_info(ID, ["model.safetensors", "1_Pooling", "no/such", "model.safetensors/"])
    assert [(each.path, type(each).__name__) for each in found] == [
        ("model.safetensors", "RepoFile"),
        ("1_Pooling", "RepoFolder"),
    ]
    assert found[0].size == (installed / "model.safetensors").stat().st_size  # type: ignore[union-attr]
    assert alice.file_exists(ID, "config.json")


def test_it_cannot_be_written(alice: HfApi, installed: Path) -> None:
    with pytest.raises(RepositoryNotFoundError):
        alice.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id=ID)


def test_what_is_neither_hosted_nor_served_is_not_there(alice: HfApi, as_bob: httpx.Client) -> None:
    with pytest.raises(RepositoryNotFoundError):
        alice.model_info("acme/nowhere")
    for path in ("/acme/nowhere/resolve/main/config.json", f"/datasets/{ID}/resolve/main/config.json"):
        answer = as_bob.get(path)
        assert (answer.status_code, answer.headers["x-error-code"]) == (404, "RepoNotFound")


def test_files_may_be_asked_for_before_the_last_one_has_come(
    hosting: Running, tokens: dict[str, str], installed: Path, as_bob: httpx.Client
) -> None:
    path = f"/{ID}/resolve/main/model.safetensors"
    size = len(as_bob.get(path).content)
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {tokens['bob']}\r\n"
    with hosting.connect() as connection:
        connection.sendall(f"{request}\r\n{request}Connection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert answer.count(b"HTTP/1.1 200") == 2
    assert len(answer) > 2 * size
