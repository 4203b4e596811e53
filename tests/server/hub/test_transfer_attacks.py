"""Uploads and downloads under attack: what is refused, with which status, and that nothing of it is kept."""

import gzip
import io
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import lz4.frame
import pytest
from tests.hub import xet_files as write
from tests.server.hub.hosts import Hosted, hosted, large, sha256_of, small
from tests.server.processes import eventually

from embedhub.errors import RequestTooLargeError
from embedhub.hub.repositories import Repository
from embedhub.server.hub import commit

SECRET = b"the private file of bob" * 100


@pytest.fixture(scope="module")
def repository(hosted_hub: Hosted) -> Repository:
    """Alice's, public."""
    made = hosted_hub.new()
    assert hosted_hub.commit(made, small("here.txt", b"here\n")).status_code == 200
    return made


@pytest.fixture(scope="module")
def private(hosted_hub: Hosted) -> Repository:
    """Bob's, private, with a large file."""
    made = hosted_hub.new("bob", "private")
    hosted_hub.upload(made, SECRET, "bob")
    assert hosted_hub.commit(made, large("secret.bin", SECRET), user="bob").status_code == 200
    return made


@pytest.fixture
def unchanged(hosted_hub: Hosted, repository: Repository) -> Iterator[None]:
    """The test leaves no commit, no large file, no link, no file on its way."""

    def state() -> object:
        with hosted_hub.hub.open(repository) as git:
            references = git.references()
        staged = [path.name for path in hosted_hub.hub.blobs.staging.folder.glob("unfinished-*")]
        return references, list(hosted_hub.hub.blobs), hosted_hub.hub.holdings.of(repository.uuid), staged

    before = state()
    yield
    assert eventually(lambda: state() == before), (before, state())


def batch_path(repository: Repository) -> str:
    return f"/datasets/{repository.id}.git/info/lfs/objects/batch"


def place_of(hosted_hub: Hosted, repository: Repository, content: bytes) -> str:
    (told,) = hosted_hub.batch(repository, content)
    place: str = told["actions"]["upload"]["href"]
    return place


# -- large files by LFS


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("sent", [b"short", b"x" * 1000, b"y" * 1001, b""])
def test_other_bytes_than_announced_are_not_kept(hosted_hub: Hosted, repository: Repository, sent: bytes) -> None:
    answer = hosted_hub.client.put(place_of(hosted_hub, repository, b"y" * 1000), content=sent)
    assert answer.status_code == 400
    assert answer.headers["x-error-code"] == "hub_content"


def test_git_lfs_can_show_why(hosted_hub: Hosted, repository: Repository) -> None:
    kind = "application/vnd.git-lfs+json"
    body = {"operation": "erase", "objects": []}
    answer = hosted_hub.ask("POST", batch_path(repository), json=body, headers={"accept": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (400, kind)
    assert "'erase' is not known" in answer.json()["message"]


@pytest.mark.parametrize(
    "objects",
    [
        [{"oid": "0" * 64, "size": -1}],
        [{"oid": "0" * 64, "size": 1 << 60}],
        [{"oid": "0" * 64}],
        [{"oid": 5, "size": 1}],
        [{"oid": "0" * 64, "size": 1}] * 1001,
        "x",
    ],
)
def test_a_batch_of_nonsense_is_refused(hosted_hub: Hosted, repository: Repository, objects: object) -> None:
    for operation in ("upload", "download"):
        body = {"operation": operation, "objects": objects}
        assert hosted_hub.ask("POST", batch_path(repository), json=body).status_code == 400


@pytest.mark.parametrize("oid", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "../../../etc/passwd", "0" * 63 + "/"])
def test_an_oid_that_is_no_sha256_is_told_by_itself(hosted_hub: Hosted, repository: Repository, oid: str) -> None:
    for operation in ("upload", "download"):
        body = {"operation": operation, "objects": [{"oid": oid, "size": 1}]}
        answer = hosted_hub.ask("POST", batch_path(repository), json=body)
        assert answer.status_code == 200
        assert answer.json()["objects"][0]["error"]["code"] == 422


@pytest.mark.parametrize(
    "body", [{"operation": "delete", "objects": []}, {"operation": "upload", "objects": [], "hash_algo": "md5"}, [], 7]
)
def test_an_unknown_batch_is_refused(hosted_hub: Hosted, repository: Repository, body: object) -> None:
    assert hosted_hub.ask("POST", batch_path(repository), json=body).status_code == 400


@pytest.mark.usefixtures("unchanged")
def test_an_address_is_good_for_one_thing_and_a_while(hosted_hub: Hosted, repository: Repository) -> None:
    content = b"one thing" * 50
    place = place_of(hosted_hub, repository, content)
    base, _, token = place.rpartition("/")
    signer = hosted_hub.hub.signer
    claims: dict[str, Any] = {"repository": repository.uuid, "sha256": sha256_of(content), "size": len(content)}
    claims |= {"upload": "0" * 32, "part_bytes": 100}
    payload, _, signature = token.partition(".")
    forged = [
        f"{base}/{token[:-1]}{'A' if token[-1] != 'A' else 'B'}",
        f"{base}/{payload[:-2]}AA.{signature}",
        f"{base}/{payload}",
        f"{base}/{payload}.",
        f"{base}/.{signature}",
        f"{base}/%00",
        f"{base}/{'x' * 3000}",
        f"{base}/%F0%9F%98%80.%F0%9F%98%80",
        f"{base}/{signer.sign('lfs-upload', claims, -1)}",
        *(f"{base}/{signer.sign(purpose, claims, 60)}" for purpose in ("lfs-part", "lfs-download", "xet")),
        f"{hosted_hub.address}/lfs/parts/{token}/1",
    ]
    for address in forged:
        answer = hosted_hub.client.put(address, content=content)
        assert answer.status_code == 403, address
        assert answer.headers["x-error-code"] == "signature"
    for address in (place, f"{base}/{signer.sign('lfs-part', claims, 60)}"):
        assert hosted_hub.client.get(address).status_code == 403
    body = {"oid": sha256_of(content), "parts": []}
    for address in (place.replace("/objects/", "/complete/"), f"{hosted_hub.address}/lfs/complete/x"):
        assert hosted_hub.client.post(address, json=body).status_code == 403


def test_an_address_of_a_deleted_repository_leads_nowhere(hosted_hub: Hosted) -> None:
    gone = hosted_hub.new()
    kept = b"kept for a while"
    hosted_hub.upload(gone, kept)
    (told,) = hosted_hub.batch(gone, kept, operation="download")
    place = place_of(hosted_hub, gone, b"late")
    assert hosted_hub.client.get(told["actions"]["download"]["href"]).content == kept
    hosted_hub.hub.repositories.delete(gone)
    assert hosted_hub.client.get(told["actions"]["download"]["href"]).status_code == 404
    answer = hosted_hub.client.put(place, content=b"late")
    assert answer.status_code == 404
    assert answer.headers["x-error-code"] == "RepoNotFound"


def test_a_large_file_that_is_missing_is_told_and_can_be_sent_again(hosted_hub: Hosted) -> None:
    mine = hosted_hub.new()
    content = b"lost and found" * 100
    hosted_hub.upload(mine, content)
    assert hosted_hub.commit(mine, large("a.bin", content)).status_code == 200
    (told,) = hosted_hub.batch(mine, content, operation="download")
    hosted_hub.hub.blobs.remove(sha256_of(content))
    for answer in (hosted_hub.client.get(told["actions"]["download"]["href"]), hosted_hub.resolve(mine, "a.bin")):
        assert answer.status_code in (400, 404, 500)
        assert "check" in answer.json()["error"]
    hosted_hub.upload(mine, content)
    assert hosted_hub.resolve(mine, "a.bin").content == content


def part_address(hosted_hub: Hosted, repository: Repository, content: bytes, part_bytes: int) -> tuple[str, str]:
    claims: dict[str, Any] = {"repository": repository.uuid, "sha256": sha256_of(content), "size": len(content)}
    claims |= {"upload": hosted_hub.hub.uploads.begin(), "part_bytes": part_bytes}
    token = hosted_hub.hub.signer.sign("lfs-part", claims, 60)
    return f"{hosted_hub.address}/lfs/parts/{token}", f"{hosted_hub.address}/lfs/complete/{token}"


@pytest.mark.usefixtures("unchanged")
def test_parts_that_do_not_make_the_whole_are_refused(hosted_hub: Hosted, repository: Repository) -> None:
    content = bytes(range(250)) * 4
    parts, complete = part_address(hosted_hub, repository, content, 400)
    client = hosted_hub.client
    for number in ("0", "10001", "-1", "x", "1e3", "%31%00", "9" * 30):
        assert client.put(f"{parts}/{number}", content=b"x").status_code in (400, 404), number
    assert client.put(f"{parts}/1", content=b"x" * 401).status_code == 400
    etags = [client.put(f"{parts}/{n + 1}", content=content[n * 400 :][:400]).headers["etag"] for n in range(3)]
    right = [{"partNumber": number + 1, "etag": etag} for number, etag in enumerate(etags)]
    oid = sha256_of(content)
    wrong: list[object] = [
        {"oid": oid, "parts": right[:2]},
        {"oid": oid, "parts": right[::-1]},
        {"oid": oid, "parts": [*right, right[2]]},
        {"oid": oid, "parts": [right[0], right[1], {"partNumber": 3, "etag": etags[0]}]},
        {"oid": oid, "parts": [right[0], right[1], {"partNumber": 4, "etag": etags[0]}]},
        {"oid": oid, "parts": [{"partNumber": -1, "etag": "x"}]},
        {"oid": oid, "parts": []},
        {"oid": "0" * 64, "parts": right},
        {"oid": oid, "parts": right * 5000},
        {"parts": right},
        [],
    ]
    for body in wrong:
        assert client.post(complete, json=body).status_code in (400, 413), body
    # Other bytes of the same length: the hash of the whole decides.
    other = client.put(f"{parts}/3", content=b"x" * 200).headers["etag"]
    assert client.post(complete, json={"oid": oid, "parts": [*right[:2], {"partNumber": 3, "etag": other}]}).is_error


# -- the files of others


@pytest.mark.usefixtures("unchanged")
def test_to_know_the_sha256_of_a_private_file_opens_nothing(
    hosted_hub: Hosted, repository: Repository, private: Repository
) -> None:
    sha256 = sha256_of(SECRET)
    (told,) = hosted_hub.batch(repository, SECRET)
    assert "upload" in told["actions"]  # as if it were not here
    (told,) = hosted_hub.batch(repository, SECRET, operation="download")
    assert told["error"]["code"] == 404
    verify = batch_path(repository).replace("batch", "verify")
    assert hosted_hub.ask("POST", verify, json={"oid": sha256, "size": len(SECRET)}).status_code == 404
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(SECRET)}\n".encode()
    for line in (large("mine.bin", SECRET), small("mine.bin", pointer), small("a/mine.txt", pointer)):
        answer = hosted_hub.commit(repository, line)
        assert answer.status_code == 400, line
        assert "does not exist" in answer.json()["error"]
    for user in ("alice", "reader", ""):
        for answer in (
            hosted_hub.resolve(private, "secret.bin", user),
            hosted_hub.ask("POST", batch_path(private), user, json={"operation": "download", "objects": []}),
            hosted_hub.ask("POST", batch_path(private), user, json={"operation": "upload", "objects": []}),
            hosted_hub.ask("GET", f"/api/datasets/{private.id}/xet-write-token/main", user),
            hosted_hub.ask("POST", f"/api/datasets/{private.id}/preupload/main", user, json={"files": []}),
            hosted_hub.commit(private, small("a", b"a"), user=user),
        ):
            assert answer.status_code in (401, 404), answer.url
            assert answer.headers["x-error-code"] in ("RepoNotFound", "unauthorized")
            assert sha256 not in answer.text
    assert hosted_hub.resolve(private, "secret.bin", "bob").content == SECRET


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("user", "status"), [("bob", 403), ("reader", 403), ("", 401)])
def test_who_may_not_write_does_not(hosted_hub: Hosted, repository: Repository, user: str, status: int) -> None:
    assert hosted_hub.commit(repository, small("a", b"a"), user=user).status_code == status
    path = f"/api/datasets/{repository.id}/preupload/main"
    assert hosted_hub.ask("POST", path, user, json={"files": []}).status_code == status
    assert hosted_hub.ask("GET", f"/api/datasets/{repository.id}/xet-write-token/main", user).status_code == status


@pytest.mark.parametrize("token", ["hf_wrong", "Basic", "x" * 5000, "\xe9"])
def test_a_token_that_is_none_is_refused(hosted_hub: Hosted, repository: Repository, token: str) -> None:
    headers = {b"authorization": f"Bearer {token}".encode("latin-1")}
    answer = hosted_hub.client.get(
        f"{hosted_hub.address}/datasets/{repository.id}/resolve/main/here.txt", headers=headers
    )
    assert answer.status_code == 401


# -- commits

PATHS = (
    "..",
    "../a",
    "a/../b",
    "a/..",
    ".",
    "./a",
    "a//b",
    "/a",
    "",
    "a\\b",
    "..\\a",
    "a\0b",
    "a\nb",
    ".git/config",
    ".git",
    "a/.GIT/hooks/pre-receive",
    ".git /x",
    "git~1/x",
    ".g\u200cit/config",
    "x" * 1001,
    "\x7f",
)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("path", PATHS)
def test_paths_that_lead_elsewhere_are_refused(hosted_hub: Hosted, repository: Repository, path: str) -> None:
    lines: list[dict[str, Any]] = [small(path, b"x"), large(path, b"x")]
    lines += [{"key": key, "value": {"path": path}} for key in ("deletedFile", "deletedFolder")]
    for line in lines:
        answer = hosted_hub.commit(repository, line)
        assert answer.status_code == 422, line
        assert answer.headers["x-error-code"] == "hub_path"


@pytest.mark.usefixtures("unchanged")
def test_impossible_commits_are_refused(hosted_hub: Hosted, repository: Repository) -> None:
    def file(**value: object) -> dict[str, Any]:
        return {"key": "file", "value": {"path": "a", "content": "", "encoding": "base64"} | value}

    cases: list[tuple[list[dict[str, Any]], int]] = [
        ([small("a", b"x"), small("a/b", b"x")], 400),
        ([small("a/b", b"x"), small("a", b"x")], 400),
        ([file(content="!!!!")], 400),
        ([file(content="abc")], 400),
        ([file(content="\u00e9")], 400),
        ([file(encoding="rot13")], 400),
        ([file(content=5)], 400),
        ([file(path=None)], 400),
        ([{"key": "file"}], 400),
        ([{"key": "file", "value": []}], 400),
        ([{"key": "chmod", "value": {"path": "a"}}], 400),
        ([{"key": "lfsFile", "value": {"path": "a", "oid": "0" * 64, "algo": "md5"}}], 400),
        ([{"key": "lfsFile", "value": {"path": "a", "oid": "../../x"}}], 400),
        ([large("a", b"never sent")], 400),
        ([{"key": "deletedFile", "value": {"path": "nowhere"}}], 404),
        ([{"key": "deletedFolder", "value": {"path": "here.txt/x"}}], 404),
        ([{"key": "header", "value": {"summary": "again"}}], 400),
    ]
    for lines, status in cases:
        assert hosted_hub.commit(repository, *lines).status_code == status, lines
    for header in ({"summary": ""}, {"summary": None}, {"summary": 5}, {"parentCommit": 7}):
        assert hosted_hub.commit(repository, small("a", b"x"), header=header).status_code == 400, header
    for parent in ("0" * 40, "main", "HEAD"):
        answer = hosted_hub.commit(repository, small("a", b"x"), header={"parentCommit": parent})
        assert answer.status_code == 412
        assert "Please refresh and try again" in answer.json()["error"]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n\n",
        b"{}",
        b"[]",
        b"null",
        b"{" * 100_000,
        b'{"key":"header","value":' + b"[" * 100_000,
        b'{"key":"header","value":{"summary":"a"}}\n{"key":"file","value":' + b'{"a":' * 50_000,
        b'{"key":"header","value":{"summary":"\xff"}}',
        b'{"key":"file","value":{"path":"a","content":""}}',
        gzip.compress(b'{"key":"header","value":{"summary":"a"}}', mtime=0),
        b"\x00" * 1000,
    ],
)
def test_a_commit_of_nonsense_is_refused(hosted_hub: Hosted, repository: Repository, body: bytes) -> None:
    path = f"/api/datasets/{repository.id}/commit/main"
    for headers in ({}, {"content-encoding": "gzip"}):
        assert hosted_hub.ask("POST", path, content=body, headers=headers).status_code in (400, 415)


@pytest.mark.usefixtures("unchanged")
def test_commits_without_end_are_refused(hosted_hub: Hosted, repository: Repository) -> None:
    path = f"/api/datasets/{repository.id}/commit/main"
    head = b'{"key":"header","value":{"summary":"a"}}\n'
    endless = head + b'{"key":"file","value":{"path":"a","content":"' + b"A" * 14_000_000
    many = head + b'{"key":"deletedFile","value":{"path":"here.txt"}}\n' * 100_001
    for body in (endless, many):
        assert hosted_hub.ask("POST", path, content=body).status_code == 413


@pytest.mark.usefixtures("unchanged")
def test_what_is_no_branch_cannot_be_committed_to(hosted_hub: Hosted, repository: Repository) -> None:
    hub = hosted_hub.hub
    with hub.change(repository) as git:
        head = git.resolve("main")
    for revision, status in ((head, 400), (head[:10], 400), ("nowhere", 404), ("refs%2Fheads%2Fnowhere", 404)):
        answer = hosted_hub.commit(repository, small("a", b"x"), revision=revision)
        assert answer.status_code == status, (revision, answer.text)
    other = hosted_hub.new()
    with hub.change(other) as git:
        git.create_tag("v1", git.resolve("main"), "", "alice")
    for revision in ("v1", "refs%2Ftags%2Fv1"):
        assert hosted_hub.commit(other, small("a", b"x"), revision=revision).status_code == 400
    for revision in ("..", "HEAD", "a%00b", "%2E%2E%2Fx", "refs%2F..%2F..%2Fconfig", "x" * 5000, "main%0Ax"):
        assert hosted_hub.commit(other, small("a", b"x"), revision=revision).status_code in (400, 404)


# -- xorbs and shards


def cas(hosted_hub: Hosted, repository: Repository) -> tuple[str, dict[str, str]]:
    told = hosted_hub.ask("GET", f"/api/datasets/{repository.id}/xet-write-token/main").json()
    return told["casUrl"], {"authorization": f"Bearer {told['accessToken']}"}


@pytest.mark.usefixtures("unchanged")
def test_xorbs_and_shards_that_are_none_are_refused(
    hosted_hub: Hosted, repository: Repository, private: Repository
) -> None:
    del private
    place, token = cas(hosted_hub, repository)
    client = hosted_hub.client

    def send(path: str, content: bytes, headers: dict[str, str] = token) -> int:
        return client.post(f"{place}{path}", content=content, headers=headers).status_code

    good = write.xorb(b"chunk" * 100)
    name = write.name(b"chunk" * 100)
    for path in ("/v1/xorbs/default/nothash", f"/v1/xorbs/default/{name[:-1]}", "/v1/xorbs/default/..%2F..%2Fx"):
        assert send(path, good) == 400
    for content in (b"", b"nonsense", good[:-1], write.chunk_of(b"x", 0, 5), write.chunk_of(b"x" * 9, 1, 100_000_000)):
        assert send(f"/v1/xorbs/default/{name}", content) == 400
    # A bomb: it is let in, and found when it is opened.
    bomb = write.chunk_of(lz4.frame.compress(bytes(50_000_000)), 1, 1000)
    assert send(f"/v1/xorbs/default/{name}", bomb) in (200, 400)
    segment = [(name, 1000, 0, 1)]
    shards = [
        b"",
        b"nonsense",
        write.shard(write.file(segment, sha256_of(b"x"))),
        write.shard(write.file([("0" * 64, 500, 0, 1)], sha256_of(SECRET))),
        write.shard(write.file([(name, 1 << 31, 0, 1 << 31)] * 200, sha256_of(SECRET))),
        write.shard(write.file(segment, sha256_of(SECRET)))[:-80],
    ]
    for content in shards:
        # Each refusal ends the address: the client starts from nothing.
        place, token = cas(hosted_hub, repository)
        assert send("/v1/shards", content, token) == 400
    # The bytes decide, not what is said of them.
    assert send(f"/v1/xorbs/default/{name}", good, token) == 200
    assert send("/v1/shards", write.shard(write.file([(name, 500, 0, 1)], sha256_of(SECRET))), token) == 400


@pytest.mark.usefixtures("unchanged")
def test_a_token_for_xorbs_is_for_one_repository_and_one_upload(hosted_hub: Hosted, repository: Repository) -> None:
    place, token = cas(hosted_hub, repository)
    other, foreign = cas(hosted_hub, hosted_hub.new())
    content = write.xorb(b"mine")
    path = f"/v1/xorbs/default/{write.name(b'mine')}"
    signer = hosted_hub.hub.signer
    _, uuid, epoch = place.rsplit("/", 2)
    claims: dict[str, Any] = {"repository": uuid, "epoch": epoch}
    alice = {"authorization": f"Bearer {hosted_hub.tokens['alice']}"}
    cases: list[tuple[str, dict[str, str], int]] = [
        (place, {}, 401),
        (place, alice, 401),
        (place, foreign, 403),
        (other, token, 403),
        (f"{place}0", token, 403),
        (place, {"authorization": f"Bearer {signer.sign('xet', claims, -1)}"}, 401),
        (place, {"authorization": f"Bearer {signer.sign('lfs-upload', claims, 60)}"}, 401),
    ]
    for address, headers, status in cases:
        for end, body in ((path, content), ("/v1/shards", b"x")):
            assert hosted_hub.client.post(address + end, content=body, headers=headers).status_code == status, address


# -- downloads


@pytest.fixture(scope="module")
def files(hosted_hub: Hosted) -> tuple[Repository, dict[str, bytes]]:
    """A small and a large file."""
    made = hosted_hub.new()
    content = {"small.dat": bytes(range(256)) * 3, "large.dat": bytes(range(255, -1, -1)) * 400}
    hosted_hub.upload(made, content["large.dat"])
    lines = small("small.dat", content["small.dat"]), large("large.dat", content["large.dat"])
    assert hosted_hub.commit(made, *lines).status_code == 200
    return made, content


@pytest.mark.parametrize("name", ["small.dat", "large.dat"])
def test_ranges(hosted_hub: Hosted, files: tuple[Repository, dict[str, bytes]], name: str) -> None:
    repository, contents = files
    content = contents[name]
    size = len(content)
    parts = {
        "bytes=0-0": (0, 1),
        "bytes=5-9": (5, 10),
        "bytes=5-": (5, size),
        "bytes=-5": (size - 5, size),
        f"bytes=-{size * 2}": (0, size),
        f"bytes=0-{size * 2}": (0, size),
        f"bytes={size - 1}-": (size - 1, size),
        "bytes= 5 - 9": (5, 10),
    }
    for asked, (first, end) in parts.items():
        answer = hosted_hub.resolve(repository, name, headers={"range": asked})
        assert answer.status_code == 206, asked
        assert answer.content == content[first:end]
        assert answer.headers["content-range"] == f"bytes {first}-{end - 1}/{size}"
    for asked in (f"bytes={size}-", f"bytes={size}-{size}", "bytes=-0", f"bytes={10**17}-"):
        answer = hosted_hub.resolve(repository, name, headers={"range": asked})
        assert answer.status_code == 416, asked
        assert answer.headers["content-range"] == f"bytes */{size}"
    # What is no range, or several, is as if it had not been asked.
    for asked in (
        "bytes=9-5",
        "bytes=a-b",
        "bytes=",
        "bytes=-",
        "items=0-5",
        "bytes=0-1,4-5",
        "bytes=--5",
        f"bytes=0-{'9' * 40}",
    ):
        answer = hosted_hub.resolve(repository, name, headers={"range": asked})
        assert answer.status_code == 200, asked
        assert answer.content == content


@pytest.mark.parametrize("name", ["small.dat", "large.dat"])
def test_conditions(hosted_hub: Hosted, files: tuple[Repository, dict[str, bytes]], name: str) -> None:
    repository, contents = files
    whole = hosted_hub.resolve(repository, name)
    etag = whole.headers["etag"]
    for known in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        for method in ("GET", "HEAD"):
            answer = hosted_hub.resolve(repository, name, headers={"if-none-match": known}, method=method)
            assert answer.status_code == 304, known
            assert answer.content == b""
            assert answer.headers["etag"] == etag
    for known in (etag.strip('"'), '"x"', f'"x{etag[1:]}', ""):
        assert hosted_hub.resolve(repository, name, headers={"if-none-match": known}).status_code == 200, known
    for condition, status in ((etag, 206), ('"x"', 200), (f"W/{etag}", 200), ("Mon, 01 Jan 2024 00:00:00 GMT", 200)):
        headers = {"range": "bytes=0-4", "if-range": condition}
        answer = hosted_hub.resolve(repository, name, headers=headers)
        assert answer.status_code == status, condition
        assert answer.content == (contents[name][:5] if status == 206 else contents[name])


@pytest.mark.parametrize("name", ["small.dat", "large.dat", "nowhere"])
def test_head_is_get_without_the_bytes(
    hosted_hub: Hosted, files: tuple[Repository, dict[str, bytes]], name: str
) -> None:
    repository, _ = files
    head, get = (hosted_hub.resolve(repository, name, method=method) for method in ("HEAD", "GET"))
    assert head.status_code == get.status_code
    assert head.content == b""
    varying = {"date", "x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in get.headers.items() if k not in varying
    }
    # Ranges are of GET alone.
    ranged = hosted_hub.resolve(repository, name, method="HEAD", headers={"range": "bytes=0-4"})
    assert ranged.status_code == get.status_code
    assert ranged.headers["content-length"] == get.headers["content-length"]


def test_a_connection_is_used_again_at_once(hosted_hub: Hosted, files: tuple[Repository, dict[str, bytes]]) -> None:
    """The next request may come before the server has noticed that the file is out."""
    repository, contents = files
    for _ in range(40):
        for name, content in contents.items():
            assert hosted_hub.resolve(repository, name).content == content


@pytest.mark.parametrize(
    "name", ["a.html", "a.svg", "a.xhtml", "a.xml", "a.js", "a.pdf", "a.htm", "a.HTML", "a.json", "a.txt", "a", "a.swf"]
)
@pytest.mark.parametrize("send", [small, large])
def test_nothing_is_shown_as_a_page_of_this_server(
    hosted_hub: Hosted, name: str, send: Callable[[str, bytes], dict[str, Any]]
) -> None:
    mine = hosted_hub.new()
    content = b"<html><script>alert(1)</script>"
    hosted_hub.upload(mine, content)
    assert hosted_hub.commit(mine, send(name, content)).status_code == 200
    for answer in (
        hosted_hub.resolve(mine, name),
        hosted_hub.resolve(mine, name, method="HEAD"),
        hosted_hub.ask("GET", f"/datasets/{mine.id}/raw/main/{name}"),
        hosted_hub.ask("GET", f"/api/datasets/{mine.id}/resolve/main/{name}"),
    ):
        assert answer.status_code == 200
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in ("text/plain", "application/octet-stream", "application/json"), kind
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]


def test_a_name_cannot_break_out_of_its_header(hosted_hub: Hosted) -> None:
    mine = hosted_hub.new()
    name = "a\"; filename=evil.html; x='\u00fc \u2028.txt"
    assert hosted_hub.commit(mine, small(name, b"x")).status_code == 200
    answer = hosted_hub.ask("GET", f"/datasets/{mine.id}/resolve/main/{quote(name, safe='')}")
    assert answer.content == b"x"
    assert answer.headers["content-disposition"].count(";") == 1


# -- clients that stall


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    """A server that waits for a second only, and takes no large commits."""
    folder = tmp_path_factory.mktemp("impatient") / "in"
    with hosted(folder, EMBEDHUB_BODY_SECONDS="1", EMBEDHUB_MAX_COMMIT_MB="1") as made:
        yield made


def half_sent(address: str, method: str, path: str, sent: bytes, length: int, token: str = "") -> socket.socket:
    host, _, port = address.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    authorization = f"authorization: Bearer {token}\r\n" if token else ""
    head = f"{method} {path} HTTP/1.1\r\nhost: {host}\r\n{authorization}content-length: {length}\r\n\r\n"
    connection.sendall(head.encode() + sent)
    return connection


def test_half_a_body_leaves_nothing(impatient: Hosted) -> None:
    mine = impatient.new()
    content = b"z" * 3_000_000
    place = place_of(impatient, mine, content).removeprefix(impatient.address)
    staged = impatient.hub.blobs.staging.folder
    commit = f"/api/datasets/{mine.id}/commit/main"
    requests = [("PUT", place, content[:2_000_000], len(content)), ("POST", commit, b'{"key":"hea', 100)]
    for closes in (True, False):
        for method, path, sent, length in requests:
            with half_sent(impatient.address, method, path, sent, length, impatient.tokens["alice"]) as connection:
                if closes:
                    connection.close()
                else:
                    assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
            assert eventually(lambda: not list(staged.glob("unfinished-*")))
    assert list(impatient.hub.blobs) == []
    assert impatient.hub.holdings.of(mine.uuid) == {}


def test_who_does_not_read_is_left(impatient: Hosted) -> None:
    mine = impatient.new()
    content = bytes(30_000_000)
    impatient.upload(mine, content)
    assert impatient.commit(mine, large("a.bin", content)).status_code == 200
    path = f"/datasets/{mine.id}/resolve/main/a.bin"
    with half_sent(impatient.address, "GET", path, b"", 0, impatient.tokens["alice"]) as connection:
        time.sleep(2.5)
        received = 0
        while piece := _received(connection):
            received += len(piece)
        assert 0 < received < len(content)
    assert impatient.resolve(mine, "a.bin").content == content


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 20)
    except ConnectionResetError:
        return b""


def test_a_commit_that_is_too_large_is_refused(impatient: Hosted) -> None:
    mine = impatient.new()
    lines = [small(f"{number}.txt", b"x" * 100_000) for number in range(15)]
    answer = impatient.commit(mine, *lines)
    assert answer.status_code == 413
    assert "EMBEDHUB_MAX_COMMIT_MB" in answer.json()["error"]
    with impatient.hub.open(mine) as git:
        assert git.count("main") == 1


def test_a_commit_may_have_as_many_operations_as_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "_MOST_OPERATIONS", 2)
    header, operation = b'{"key":"header","value":{}}\n', b'{"key":"deletedFile","value":{}}\n'
    assert len(list(commit._lines(io.BytesIO(header + 2 * operation)))) == 3
    with pytest.raises(RequestTooLargeError, match="2 operations at most"):
        list(commit._lines(io.BytesIO(header + 3 * operation)))
