"""`@huggingface/hub` for JavaScript under Node: one program leads a repository's life, and tells what it saw."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.server.hub.users import User, served_to_alice
from tests.server.test_javascript import output

pytestmark = pytest.mark.clients

REPOSITORY = "alice/from_javascript"


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[User]:
    with served_to_alice(tmp_path_factory.mktemp("hub"), tiny_folder) as alice:
        yield alice


@pytest.fixture(scope="module")
def told(node: str, alice: User, tiny_folder: Path) -> Any:
    """What the program was told."""
    variables = {"SERVER": alice.server.address, "TOKEN": alice.token, "OWNER": alice.name, "MODEL": str(tiny_folder)}
    return output(node, "hub.mjs", alice.folder, **variables)


def oid(size: int, seed: int) -> str:
    """The sha256 of the program's bytes: states of a small random generator, one after the other."""
    count = -(-size // 4)
    # All states at once: the k-th is a·seed + b with a = m^k and b = c·(1 + m + … + m^(k-1)), all of 32 bits.
    with np.errstate(over="ignore"):
        factors = np.full(count, 1664525, np.uint32).cumprod(dtype=np.uint32)
        sums = np.concatenate([[np.uint32(1)], factors[:-1]]).cumsum(dtype=np.uint32)
        states = factors * np.uint32(seed) + sums * np.uint32(1013904223)
    return hashlib.sha256(states.astype("<u4").tobytes()[:size]).hexdigest()


LARGE = {"size": 12_000_001, "oid": oid(12_000_001, 1)}
PARTED = {"size": (64 << 20) + 12_345, "oid": oid((64 << 20) + 12_345, 2)}


def test_who_and_where(told: Any, alice: User) -> None:
    assert told["who"] == {"type": "user", "name": "alice", "orgs": [], "role": "write"}
    assert told["created"] == {"repoUrl": f"{alice.server.address}/datasets/{REPOSITORY}", "id": REPOSITORY}
    assert told["first"] == [".gitattributes", "README.md"]
    commit = told["uploaded"]["commit"]
    assert commit["url"] == f"{alice.server.address}/datasets/{REPOSITORY}/commit/{commit['oid']}"


def test_what_was_uploaded_is_listed(told: Any) -> None:
    files = {file["path"]: file for file in told["files"]}
    assert {path: (file["size"], file["last"]) for path, file in files.items() if file["type"] == "file"} == {
        ".gitattributes": (files[".gitattributes"]["size"], "initial commit"),
        "README.md": (58, "A card"),
        "data/large.bin": (LARGE["size"], "Add 3 files"),
        "data/parted.bin": (PARTED["size"], "Add 1 files"),
        "data/same.bin": (LARGE["size"], "Two at once"),
        "empty.txt": (0, "Add 3 files"),
        "folder/within/ü & é.txt": (7, "Add 3 files"),
    }
    assert [path for path, file in files.items() if file["type"] == "directory"] == ["data", "folder", "folder/within"]
    large = {path: file["oid"] for path, file in files.items() if "oid" in file}
    assert large == {"data/large.bin": LARGE["oid"], "data/parted.bin": PARTED["oid"], "data/same.bin": LARGE["oid"]}
    assert told["sent"] == 0, "a file that is there was sent again"
    assert told["paths"] == [["README.md", "file"], ["data", "directory"]]
    assert told["commits"] == ["Two at once", "Add 1 files", "Add 3 files", "A card", "initial commit"]
    assert told["count"] == 5


def test_progress_is_shown(told: Any) -> None:
    phases = ["preuploading", "uploadingLargeFiles", "committing"]
    assert told["events"] == {"phases": phases, "states": ["hashing", "uploading"]}


def test_downloads(told: Any) -> None:
    assert told["info"] == {"size": LARGE["size"], "etag": f'"{LARGE["oid"]}"', "xet": None}
    assert told["missing"] is None
    assert told["exists"] == [True, True, False]
    assert told["downloads"] == {
        "card": True,
        "odd": "within\n",
        "empty": 0,
        "large": True,
        "parted": True,
        "range": True,
        "pointer": "version https://git-lfs.github.com/spec/v1",
        "nothing": None,
    }
    assert told["snapshot"] == {"large": True, "empty": 0}


def test_branches(told: Any) -> None:
    branches = told["branches"]
    assert (branches["there"], branches["main"], branches["bare"]) == (True, False, 0)
    assert branches["twice"]["statusCode"] == 409
    assert branches["gone"]["statusCode"] == 404


def test_repositories_are_found(told: Any, tiny_folder: Path) -> None:
    assert told["hidden"]["statusCode"] == 401
    assert told["dataset"] == {"name": REPOSITORY, "private": True}
    assert told["datasets"] == [REPOSITORY]
    model = told["model"]
    assert (model["name"], model["private"], model["library"]) == ("alice/javascript_model", False, "transformers")
    assert len(model["sha"]) == 40
    assert told["models"] == ["alice/javascript_model"]
    weights = load_file(tiny_folder / "model.safetensors")
    assert told["parameters"] == {"F32": sum(each.size for each in weights.values())}


def test_what_was_deleted_is_gone(told: Any) -> None:
    assert told["left"] == [".gitattributes", "README.md", "data/large.bin", "empty.txt"]
    assert told["gone"] is False


@pytest.mark.parametrize(
    ("what", "status", "words"),
    [
        ("file", 404, "A file with this name doesn't exist: never.txt"),
        ("path", 422, "'../out.txt' is no path for a file"),
        ("parent", 412, "The branch was updated since you opened this page"),
        ("token", 401, "Invalid credentials"),
        ("other", 403, "you may not make repositories in somebody"),
    ],
)
def test_errors_say_why(told: Any, what: str, status: int, words: str) -> None:
    assert told["errors"][what]["statusCode"] == status
    assert words in told["errors"][what]["message"]


def test_a_name_that_is_taken(told: Any) -> None:
    assert told["again"]["statusCode"] == 409
    assert f"A dataset repository called {REPOSITORY} already exists" in told["again"]["message"]
