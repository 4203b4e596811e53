"""huggingface_hub as people still have it, by the commands of its time: `make test-clients` installs each version."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.server.hub.users import User, served_to_alice

pytestmark = pytest.mark.clients

ENVIRONMENTS = Path(__file__).parents[3] / ".venv-clients"

# What differs: how a repository is made.
CREATE = {
    "1.33.0": ("hf", "repo", "create", "older-{version}", "--type", "dataset"),
    "0.36.2": ("hf", "repo", "create", "older-{version}", "--repo-type", "dataset"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[User]:
    with served_to_alice(tmp_path_factory.mktemp("hub"), tiny_folder) as alice:
        yield alice


@pytest.fixture(params=list(CREATE))
def client(request: pytest.FixtureRequest, server: User, tmp_path: Path) -> User:
    """alice, with a client of that version, logged in."""
    programs = ENVIRONMENTS / request.param / "bin"
    assert programs.is_dir(), f"{programs} is missing: make test-clients installs it"
    alice = replace(server, folder=tmp_path, programs=programs)
    alice.run(str(programs / "hf"), "auth", "login", "--token", alice.token)
    return alice


@pytest.fixture
def folder(client: User) -> Path:
    """Small files, and one that is large."""
    made = client.folder / "folder"
    (made / "data").mkdir(parents=True)
    for number in range(5):
        (made / "data" / f"{number}.txt").write_text(str(number))
    (made / "large.bin").write_bytes(random.Random(1).randbytes(11 << 20))
    (made / "README.md").write_text("---\nlicense: mit\n---\n# Older\n")
    return made


def content(folder: Path) -> dict[str, bytes]:
    """Files by their path, without those that the server and the client put there."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {
        str(path): (folder / path).read_bytes() for path in paths if path.parts[0] not in (".cache", ".gitattributes")
    }


def test_there_and_back(client: User, folder: Path) -> None:
    version = client.programs.parent.name
    program, *words = [word.format(version=version) for word in CREATE[version]]
    client.run(str(client.programs / program), *words)
    id = f"alice/older-{version}"
    told = client.hf("upload", id, "folder", ".", "--repo-type", "dataset")
    assert f"{client.server.address}/datasets/{id}" in told
    client.hf("download", id, "--repo-type", "dataset", "--local-dir", "back")
    assert content(client.folder / "back") == content(folder)


def test_a_large_folder(client: User, folder: Path) -> None:
    id = f"alice/large-{client.programs.parent.name}"
    words = ("upload-large-folder", id, "folder", "--repo-type", "dataset", "--no-report", "--num-workers", "2")
    client.hf(*words)
    code = f"from huggingface_hub import snapshot_download; print(snapshot_download({id!r}, repo_type='dataset'))"
    assert content(Path(client.python(code).strip())) == content(folder)


@pytest.mark.parametrize("client", ["0.36.2"], indirect=True)
def test_the_first_command_of_all(client: User, folder: Path) -> None:
    program = str(client.programs / "huggingface-cli")
    assert "alice" in client.run(program, "whoami")
    client.run(program, "repo", "create", "first", "--type", "dataset", "-y")
    client.run(program, "upload", "alice/first", "folder/large.bin", "large.bin", "--repo-type", "dataset")
    place = client.run(program, "download", "alice/first", "large.bin", "--repo-type", "dataset").split()[-1]
    assert Path(place).read_bytes() == (folder / "large.bin").read_bytes()
