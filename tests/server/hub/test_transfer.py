"""huggingface_hub, its command line and its file system against a server: files there and back, also over bad lines."""

import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.server.hub.interruptions import breaking_line
from tests.server.hub.users import Session, User, served_to_alice, user
from tests.server.processes import eventually

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[User]:
    with served_to_alice(tmp_path_factory.mktemp("hub"), tiny_folder) as alice:
        alice.hf("auth", "login", "--token", alice.token)
        yield alice


@pytest.fixture(scope="module")
def session(alice: User) -> Iterator[Session]:
    with alice.session() as session:
        yield session


@pytest.fixture(scope="module")
def idle(alice: User) -> Iterator[tuple[HTTPConnection, float]]:
    """A connection on which something was asked, and when."""
    connection = HTTPConnection("127.0.0.1", alice.server.port, timeout=30)
    connection.request("GET", "/health/live")
    assert connection.getresponse().read()
    yield connection, time.monotonic()
    connection.close()


@pytest.fixture(scope="module")
def folder(alice: User, idle: object) -> Path:
    """200 small files and 3 large ones."""
    del idle
    made = alice.folder / "folder"
    for number in range(200):
        path = made / f"{number % 7}" / f"ü {number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * number)
    for number in range(3):
        (made / f"large-{number}.safetensors").write_bytes(random.Random(number).randbytes(2 * MEGABYTE + number))
    return made


def content(folder: Path) -> dict[str, bytes]:
    """Files by their path, without those that the server and the client put there."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {
        str(path): (folder / path).read_bytes() for path in paths if path.parts[0] not in (".cache", ".gitattributes")
    }


def test_a_folder_there_and_back_by_command(alice: User, folder: Path) -> None:
    told = alice.hf("upload", "alice/folder", str(folder), "in/it", "--commit-message", "All of it", "--private")
    assert f"{alice.server.address}/alice/folder" in told
    alice.hf("download", "alice/folder", "--local-dir", "back")
    assert content(alice.folder / "back" / "in" / "it") == content(folder)
    # And some of it, into the cache.
    words = ("download", "alice/folder", "--include", "in/it/3/*", "--exclude", "*13.txt")
    place = Path(alice.hf(*words, "--quiet").strip())
    some = {path: text for path, text in content(folder).items() if path.startswith("3/") and "13." not in path}
    assert content(place) == {f"in/it/{path}": text for path, text in some.items()}


def test_more_than_a_xorb_of_bytes_that_do_not_shrink(alice: User) -> None:
    # The first xorb is full: 64 MiB of chunks, and what describes them comes on top.
    sent = alice.folder / "large.bin"
    sent.write_bytes(random.Random(0).randbytes(70 * MEGABYTE))
    before = alice.server.told().count("/v1/xorbs/")
    alice.hf("upload", "alice/large", str(sent))
    assert alice.server.told().count("/v1/xorbs/") - before >= 2
    place = Path(alice.hf("download", "alice/large", "large.bin", "--quiet").strip())
    assert place.read_bytes() == sent.read_bytes()


def test_a_folder_that_is_there_is_not_sent_again(alice: User, folder: Path) -> None:
    before = commits(alice, "alice/folder")
    alice.hf("upload", "alice/folder", str(folder), "in/it")
    assert commits(alice, "alice/folder") == before


def commits(alice: User, id: str) -> int:
    response = httpx.get(
        f"{alice.server.address}/api/models/{id}/commits/main", headers={"Authorization": f"Bearer {alice.token}"}
    )
    return int(response.headers["x-total-count"])


def _downloaded_twice() -> dict[str, Any]:
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    api = HfApi()
    api.create_repo("alice/files")
    api.upload_file(path_or_fileobj=b"first", path_in_repo="a.txt", repo_id="alice/files")
    api.upload_file(path_or_fileobj=b"\0" * 5000, path_in_repo="b.bin", repo_id="alice/files")
    first = Path(hf_hub_download("alice/files", "a.txt"))
    again = Path(hf_hub_download("alice/files", "a.txt"))
    local = Path(hf_hub_download("alice/files", "b.bin", local_dir="local"))
    api.upload_file(path_or_fileobj=b"second", path_in_repo="a.txt", repo_id="alice/files")
    newer = Path(hf_hub_download("alice/files", "a.txt"))
    old = Path(hf_hub_download("alice/files", "a.txt", revision=first.parent.name))
    some = Path(snapshot_download("alice/files", allow_patterns="*.bin"))
    return {
        "same": again == first,
        "texts": [first.read_text(), newer.read_text(), old.read_text()],
        "local": local.stat().st_size,
        "some": sorted(path.name for path in some.iterdir()),
        "exists": [api.file_exists("alice/files", "a.txt"), api.file_exists("alice/files", "c.txt")],
    }


def test_what_is_there_is_not_fetched_again(alice: User, session: Session) -> None:
    found = session(_downloaded_twice)
    assert found["same"]
    assert found["texts"] == ["first", "second", "first"]
    assert found["local"] == 5000
    assert "b.bin" in found["some"]
    assert found["exists"] == [True, False]
    asked = re.findall(r"GET /alice/files/resolve/\S+/a\.txt", alice.server.told())
    assert len(asked) == 2, "once for each version"


def test_conditions_and_ranges(alice: User, session: Session) -> None:
    session(_with_an_empty_file)
    with httpx.Client(base_url=alice.server.address, headers={"Authorization": f"Bearer {alice.token}"}) as client:
        for path in ("empty.txt", "ten.txt", "ten.safetensors"):
            whole = client.get(f"/alice/ranges/resolve/main/{path}")
            known = client.get(f"/alice/ranges/resolve/main/{path}", headers={"If-None-Match": whole.headers["etag"]})
            assert (known.status_code, known.content) == (304, b"")
            assert known.headers["etag"] == whole.headers["etag"]
            part = client.get(f"/alice/ranges/resolve/main/{path}", headers={"Range": "bytes=0-3"})
            if whole.content:
                assert (part.status_code, part.content) == (206, b"0123")
                assert part.headers["content-range"] == "bytes 0-3/10"
            else:
                # Nothing has no range, but its size is to be had, which is what is asked for.
                assert (part.status_code, part.headers["content-range"]) == (200, "bytes */0")


def _with_an_empty_file() -> None:
    from huggingface_hub import CommitOperationAdd, HfApi

    files = {"empty.txt": b"", "ten.txt": b"0123456789", "ten.safetensors": b"0123456789"}
    api = HfApi()
    api.create_repo("alice/ranges")
    api.create_commit(
        "alice/ranges", [CommitOperationAdd(path, file) for path, file in files.items()], commit_message="a"
    )


def _downloaded_over(endpoint: str, content: bytes) -> bytes:
    from huggingface_hub import HfApi, hf_hub_download

    api = HfApi()
    api.create_repo("alice/far")
    api.upload_file(path_or_fileobj=content, path_in_repo="far.bin", repo_id="alice/far")
    return Path(hf_hub_download("alice/far", "far.bin", endpoint=endpoint)).read_bytes()


def test_a_download_goes_on_where_the_line_broke(alice: User, session: Session) -> None:
    content = random.Random(9).randbytes(25 * MEGABYTE)
    with breaking_line(alice.server.port) as line:
        # The client keeps what it has by pieces of 10 megabytes.
        line.limits = [12 * MEGABYTE, 11 * MEGABYTE]
        found = session(_downloaded_over, line.address, content)
    assert found == content
    begun = [int(start) for request in line.requests for start in re.findall(rb"[Rr]ange: bytes=(\d+)-", request)]
    assert begun == [10 * MEGABYTE, 20 * MEGABYTE]
    assert sum(line.answered) < (12 + 11 + 5) * MEGABYTE + 100_000


def _cards() -> dict[str, Any]:
    from huggingface_hub import DatasetCard, DatasetCardData, ModelCard, ModelCardData, create_repo, metadata_update

    create_repo("alice/carded", repo_type="dataset")
    create_repo("alice/carded")
    data = DatasetCardData(license="mit", tags=["embeddings"], pretty_name="Carded", size_categories="n<1K")
    DatasetCard(f"---\n{data.to_yaml()}\n---\n# Carded\n").push_to_hub("alice/carded")
    model = ModelCardData(license="apache-2.0", pipeline_tag="feature-extraction", datasets=["alice/carded"])
    ModelCard(f"---\n{model.to_yaml()}\n---\n# A model\n").push_to_hub("alice/carded")
    metadata_update("alice/carded", {"tags": ["embeddings", "more"]}, repo_type="dataset", overwrite=True)
    dataset = DatasetCard.load("alice/carded")
    problem = ""
    try:
        ModelCard("---\nlicense: {a: b}\n---\n").push_to_hub("alice/carded")
    except ValueError as error:
        problem = str(error)
    return {
        "dataset": dataset.data.to_dict(),
        "text": dataset.text.strip(),
        "model": ModelCard.load("alice/carded").data.to_dict(),
        "problem": problem,
    }


def test_cards(session: Session) -> None:
    found = session(_cards)
    assert found["dataset"]["tags"] == ["embeddings", "more"]
    assert found["dataset"]["license"] == "mit"
    assert found["text"] == "# Carded"
    assert found["model"]["pipeline_tag"] == "feature-extraction"
    assert "must be a string" in found["problem"]


def _as_a_file_system() -> dict[str, Any]:
    from huggingface_hub import HfFileSystem, create_repo

    create_repo("alice/disk", repo_type="dataset")
    system: Any = HfFileSystem()
    root = "datasets/alice/disk"
    with system.open(f"{root}/data/a.csv", "w") as file:
        file.write("text\none\n")
    with system.open(f"{root}/data/large.bin", "wb") as file:
        file.write(random.Random(1).randbytes(MEGABYTE))
    system.cp_file(f"{root}/data/a.csv", f"{root}/copies/a.csv")
    system.cp_file(f"{root}/data/large.bin", f"{root}/copies/large.bin")
    with system.open(f"{root}/data/large.bin", "rb", block_size=1000) as file:
        file.seek(500_000)
        piece = file.read(100)
    found: dict[str, Any] = {
        "ls": sorted(system.ls(root, detail=False)),
        "glob": sorted(system.glob(f"{root}/**/*.csv")),
        "text": system.read_text(f"{root}/copies/a.csv"),
        "piece": piece == random.Random(1).randbytes(MEGABYTE)[500_000:500_100],
        "size": system.info(f"{root}/copies/large.bin")["size"],
        "there": [
            system.exists(f"{root}/nothing"),
            system.isdir(f"{root}/data"),
            system.isfile(f"{root}/data/a.csv"),
        ],
        "du": system.du(f"{root}/data"),
    }
    system.rm(f"{root}/data", recursive=True)
    system.rm_file(f"{root}/copies/a.csv")
    system.invalidate_cache()
    found["left"] = sorted(system.find(root))
    missing = ""
    try:
        system.ls(f"{root}/data")
    except FileNotFoundError as error:
        missing = type(error).__name__
    return found | {"missing": missing}


def test_as_a_file_system(session: Session) -> None:
    root = "datasets/alice/disk"
    assert session(_as_a_file_system) == {
        "ls": [f"{root}/.gitattributes", f"{root}/copies", f"{root}/data"],
        "glob": [f"{root}/copies/a.csv", f"{root}/data/a.csv"],
        "text": "text\none\n",
        "piece": True,
        "size": MEGABYTE,
        "there": [False, True, True],
        "du": MEGABYTE + 9,
        "left": [f"{root}/.gitattributes", f"{root}/copies/large.bin"],
        "missing": "FileNotFoundError",
    }


def test_logging_in_with_a_code(alice: User, tmp_path: Path) -> None:
    newcomer = User(alice.server, tmp_path, token="")
    log = tmp_path / "log"
    with log.open("wb") as told:
        login = subprocess.Popen(
            [str(newcomer.programs / "hf"), "auth", "login"],
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
            env=newcomer.variables | {"PYTHONUNBUFFERED": "1"},
            cwd=tmp_path,
        )
    try:
        assert eventually(lambda: re.search(r"[A-Z]{4}-[A-Z]{4}\n", log.read_text()) or login.poll() is not None, 30)
        found = re.search(r"enter the code: (\S+)", log.read_text())
        assert found, log.read_text()
        assert f"{alice.server.address}/device?user_code={found[1]}" in log.read_text()
        command = (sys.executable, "-m", "embedhub", "token", "approve", found[1], "--user", "newcomer")
        # On the server's machine.
        alice.run(*command, variables={"EMBEDHUB_HOME": str(alice.server.home)})
        assert login.wait(timeout=30) == 0, log.read_text()
    finally:
        login.kill()
        login.wait()
    assert "newcomer" in newcomer.hf("auth", "whoami")


def test_a_repository_of_somebody_else(alice: User, tmp_path: Path, folder: Path) -> None:
    bob = user(alice.server, tmp_path / "bob", "bob")
    with pytest.raises(AssertionError, match=r"Repository Not Found|RepositoryNotFound|not found"):
        bob.run(str(bob.programs / "hf"), "download", "alice/folder", variables={"HF_TOKEN": bob.token})


def test_a_connection_outlives_a_pause(idle: tuple[HTTPConnection, float]) -> None:
    connection, since = idle
    # For five seconds clients in Python use a connection again; a server that ends it just then answers with an error.
    assert eventually(lambda: time.monotonic() > since + 5.5, 6)
    connection.request("GET", "/health/live")
    assert connection.getresponse().status < 500
