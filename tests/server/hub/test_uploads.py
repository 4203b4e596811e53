"""Uploads that go well: by the real client over Xet, by LFS in one piece and in parts, as plain commits."""

import asyncio
import io
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download
from tests.server.hub.hosts import Hosted, large, sha256_of, small

from embedhub.hub.repositories import Repository
from embedhub.server.hub import lfs
from embedhub.server.hub.exchange import Exchange

CONTENT = random.Random(1).randbytes(3_000_000)


@pytest.fixture
def repository(hosted_hub: Hosted) -> Repository:
    return hosted_hub.new()


@pytest.fixture
def api(hosted_hub: Hosted) -> HfApi:
    return HfApi(endpoint=hosted_hub.address, token=hosted_hub.tokens["alice"])


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own
def test_what_the_real_client_uploads_is_what_it_downloads(
    hosted_hub: Hosted, repository: Repository, api: HfApi, tmp_path: Path
) -> None:
    (tmp_path / "big.npy").write_bytes(CONTENT)
    (tmp_path / "again.npy").write_bytes(CONTENT[1000:] + b"more")
    operations = [
        CommitOperationAdd("big.npy", str(tmp_path / "big.npy")),  # by Xet
        CommitOperationAdd("again.npy", str(tmp_path / "again.npy")),  # mostly the same chunks
        CommitOperationAdd("bytes.bin", CONTENT[:500]),
        CommitOperationAdd("empty.npy", b""),
        CommitOperationAdd("words.txt", b"words\n"),
        CommitOperationAdd("deep/er/words.txt", b"words\n"),
    ]
    api.create_commit(repository.id, operations, commit_message="by Xet", repo_type="dataset")
    # A file that is not on a disk lets the client take LFS.
    stream = [CommitOperationAdd("stream.npy", io.BytesIO(CONTENT[::-1]))]
    made = api.create_commit(repository.id, stream, commit_message="by LFS", repo_type="dataset")
    expected = {
        "big.npy": CONTENT,
        "again.npy": CONTENT[1000:] + b"more",
        "stream.npy": CONTENT[::-1],
        "bytes.bin": CONTENT[:500],
        "empty.npy": b"",
        "words.txt": b"words\n",
        "deep/er/words.txt": b"words\n",
    }
    for path, content in expected.items():
        local = hf_hub_download(
            repository.id,
            path,
            repo_type="dataset",
            endpoint=hosted_hub.address,
            token=hosted_hub.tokens["alice"],
            cache_dir=tmp_path / "cache",
        )
        assert Path(local).read_bytes() == content, path
    with hosted_hub.hub.open(repository) as git:
        kept = {entry.path: entry.pointer is not None for entry in git.files(made.oid)}
    assert kept == {path: path.endswith((".npy", ".bin")) and path != "empty.npy" for path in expected} | {
        ".gitattributes": False
    }
    again = api.create_commit(
        repository.id,
        [CommitOperationDelete("deep/"), CommitOperationAdd("big.npy", CONTENT[:-1])],
        commit_message="less",
        repo_type="dataset",
        parent_commit=made.oid,
    )
    with hosted_hub.hub.open(repository) as git:
        assert git.entry(again.oid, "deep") is None
        assert [each.id for each in git.log("main")][:2] == [again.oid, made.oid]
    assert hosted_hub.damage() == []


@pytest.mark.parametrize("parts", ["in order", "the other way round", "one twice"])
def test_a_large_file_in_parts(hosted_hub: Hosted, repository: Repository, parts: str) -> None:
    """Small parts, signed as larger ones would be."""
    claims: dict[str, str | int] = {
        "repository": repository.uuid,
        "sha256": sha256_of(CONTENT),
        "size": len(CONTENT),
        "upload": hosted_hub.hub.uploads.begin(),
        "part_bytes": 1 << 20,
    }
    token = hosted_hub.hub.signer.sign("lfs-part", claims, 60)
    pieces = [(number + 1, CONTENT[number << 20 :][: 1 << 20]) for number in range(3)]
    if parts == "the other way round":
        pieces.reverse()
    if parts == "one twice":
        pieces.insert(0, (2, b"broken off"))
    etags = {}
    for number, piece in pieces:
        answer = hosted_hub.client.put(f"{hosted_hub.address}/lfs/parts/{token}/{number}", content=piece)
        assert answer.status_code == 200
        etags[number] = answer.headers["etag"]
    body = {"oid": claims["sha256"], "parts": [{"partNumber": n, "etag": etags[n]} for n in sorted(etags)]}
    for _ in range(2):  # a client whose line broke asks again
        assert hosted_hub.client.post(f"{hosted_hub.address}/lfs/complete/{token}", json=body).status_code == 200
    assert hosted_hub.commit(repository, large("a.bin", CONTENT)).status_code == 200
    assert hosted_hub.resolve(repository, "a.bin").content == CONTENT


def test_who_can_is_told_to_send_in_parts(hosted_hub: Hosted, repository: Repository) -> None:
    size = lfs._PART_BYTES * 2 + 1
    path = f"/datasets/{repository.id}.git/info/lfs/objects/batch"
    body = {"operation": "upload", "objects": [{"oid": "a" * 64, "size": size}]}
    told = hosted_hub.ask("POST", path, json=body | {"transfers": ["basic", "multipart"]}).json()
    upload = told["objects"][0]["actions"]["upload"]
    assert told["transfer"] == "multipart"
    assert sorted(upload["header"]) == ["1", "2", "3", "chunk_size"]
    assert int(upload["header"]["chunk_size"]) == lfs._PART_BYTES
    told = hosted_hub.ask("POST", path, json=body | {"transfers": ["basic"]}).json()
    assert told["transfer"] == "basic"
    assert told["objects"][0]["actions"]["upload"]["header"] == {}


def test_what_is_here_is_not_sent_again(hosted_hub: Hosted, repository: Repository) -> None:
    content = b"sent once" * 1000
    (told,) = hosted_hub.batch(repository, content)
    assert hosted_hub.client.put(told["actions"]["upload"]["href"], content=content).status_code == 200
    verify = told["actions"]["verify"]
    answer = hosted_hub.client.post(verify["href"], headers=verify["header"], json={"oid": told["oid"], "size": 9000})
    assert answer.status_code == 200
    (told,) = hosted_hub.batch(repository, content)
    assert "actions" not in told
    first = hosted_hub.commit(repository, large("a.bin", content), small("b.txt", b"b")).json()["commitOid"]
    # A client that repeats a commit hears of the one that is there.
    again = hosted_hub.commit(repository, large("a.bin", content), small("b.txt", b"b")).json()["commitOid"]
    assert first == again


def test_a_plan_says_how_each_file_is_to_be_sent(hosted_hub: Hosted, repository: Repository) -> None:
    assert hosted_hub.commit(repository, small("old.txt", b"old")).status_code == 200
    files = [
        {"path": "a.npy", "size": 5, "sample": ""},
        {"path": "a.txt", "size": 5, "sample": ""},
        {"path": "long.txt", "size": 10_000_001, "sample": ""},
        {"path": "empty.npy", "size": 0, "sample": ""},
        {"path": "old.txt", "size": 3, "sample": ""},
        {"path": "no.log", "size": 3, "sample": ""},
    ]
    path = f"/api/datasets/{repository.id}/preupload/main"
    told = hosted_hub.ask("POST", path, json={"files": files, "gitIgnore": "*.log\n"}).json()["files"]
    assert [each["uploadMode"] for each in told] == ["lfs", "regular", "lfs", "regular", "regular", "regular"]
    assert [each["shouldIgnore"] for each in told] == [False] * 5 + [True]
    assert [bool(each["oid"]) for each in told] == [False] * 4 + [True, False]
    attributes = {"files": files[:2], "gitAttributes": "*.txt filter=lfs diff=lfs merge=lfs -text\n"}
    told = hosted_hub.ask("POST", path, json=attributes).json()["files"]
    assert [each["uploadMode"] for each in told] == ["regular", "lfs"]


@pytest.mark.parametrize(
    ("just_asked", "computes", "waits"), [(False, False, 0), (True, False, 3), (True, True, 5)], ids=str
)
def test_an_upload_waits_for_whoever_just_asked(
    monkeypatch: pytest.MonkeyPatch, just_asked: bool, computes: bool, waits: int
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    service = SimpleNamespace(computed_within=lambda seconds: just_asked, computes=computes)
    asyncio.run(Exchange._let_texts_pass(SimpleNamespace(service=service)))  # type: ignore[arg-type]
    assert waited == [0.001] * waits
