"""Folders by pages, single paths and sizes, with the real client and with hostile questions."""

import subprocess
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import RepoFile, RepoFolder, snapshot_download
from huggingface_hub.errors import RemoteEntryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_file_system import HfFileSystem
from tests.server.hub.place import Place

from embedhub.hub.git import MAIN
from embedhub.hub.pointers import Pointer

LARGE = Pointer("cd" * 32, 123_456_789)


def test_tree(stage: Place) -> None:
    made = stage.make("alice/tree-1", {"a.txt": "aaa", "data/b.txt": "bb", "data/deep/c.txt": "c", "ü/日 本.txt": ""})
    head = stage.commit(made, {"data/big.bin": bytes(LARGE).decode()}, "Big\n\nbody")
    api = stage.api()
    top = list(api.list_repo_tree(made.id, repo_type="dataset"))
    assert [(type(each), each.path) for each in top] == [
        (RepoFile, ".gitattributes"),
        (RepoFile, "a.txt"),
        (RepoFolder, "data"),
        (RepoFolder, "ü"),
    ]
    everything = list(api.list_repo_tree(made.id, repo_type="dataset", recursive=True, expand=True, revision=head))
    by_path = {each.path: each for each in everything}
    assert len(everything) == len(by_path) == 9
    big = by_path["data/big.bin"]
    assert isinstance(big, RepoFile)
    assert big.lfs is not None
    assert (big.size, big.lfs.sha256, big.lfs.pointer_size) == (LARGE.size, LARGE.sha256, len(bytes(LARGE)))
    assert big.last_commit is not None
    assert (big.last_commit.oid, big.last_commit.title) == (head, "Big")
    data, first = by_path["data"], by_path["a.txt"]
    assert data.last_commit is not None
    assert data.last_commit.oid == head
    assert first.last_commit is not None
    assert first.last_commit.title == "initial commit"
    within = list(api.list_repo_tree(made.id, "data", repo_type="dataset", recursive=True))
    assert [each.path for each in within] == ["data/b.txt", "data/big.bin", "data/deep", "data/deep/c.txt"]
    assert [each.path for each in api.list_repo_tree(made.id, "ü", repo_type="dataset")] == ["ü/日 本.txt"]
    assert api.list_repo_files(made.id, repo_type="dataset") == [e.path for e in everything if isinstance(e, RepoFile)]


def test_spellings_of_a_folder(stage: Place) -> None:
    made = stage.make("alice/tree-2", {"data/b.txt": "bb"})
    http = stage.http()
    wanted = http.get(f"/api/datasets/{made.id}/tree/main/data").json()
    for path in ("data/", "data%2F", "/data", "//data//"):
        assert http.get(f"/api/datasets/{made.id}/tree/main/{path}").json() == wanted
    top = http.get(f"/api/datasets/{made.id}/tree/main").json()
    assert http.get(f"/api/datasets/{made.id}/tree/main/").json() == top
    for flag in ("true", "True", "1"):
        assert len(http.get(f"/api/datasets/{made.id}/tree/main?recursive={flag}").json()) == 3
    for flag in ("false", "False", "0", ""):
        assert len(http.get(f"/api/datasets/{made.id}/tree/main?recursive={flag}").json()) == 2


@pytest.mark.parametrize(
    "path",
    ["nothing", "data/nothing", "a.txt/b", "..", "../../etc/passwd", "%2e%2e/x", "data/%00", "%0d%0aX-Evil:%201",
     ".git/config", "a.txt%5Cb", "x" * 5000],
)  # fmt: skip
def test_where_nothing_lies(stage: Place, path: str) -> None:
    if not stage.api().repo_exists("alice/tree-3", repo_type="dataset"):
        stage.make("alice/tree-3", {"a.txt": "a", "data/b.txt": "b"})
    for address in ("tree", "treesize"):
        # Not through httpx's own idea of what a path is.
        url = f"{stage.server.address}/api/datasets/alice/tree-3/{address}/main/{path}"
        response = stage.http().get(url)
        assert response.status_code == 404, response.text
        if ".." not in path and "%2e" not in path:
            assert response.headers["x-error-code"] == "EntryNotFound"
        assert "x-evil" not in response.headers


def test_clients_know_what_is_not_there(stage: Place) -> None:
    made = stage.make("alice/tree-4", {"a.txt": "a"})
    with pytest.raises(RemoteEntryNotFoundError):
        list(stage.api().list_repo_tree(made.id, "nothing", repo_type="dataset"))
    for revision in ("nothing", "0" * 40):
        with pytest.raises(RevisionNotFoundError):
            list(stage.api().list_repo_tree(made.id, repo_type="dataset", revision=revision))
        with pytest.raises(RevisionNotFoundError):
            stage.api().get_paths_info(made.id, ["a.txt"], repo_type="dataset", revision=revision)


def test_a_long_folder_comes_by_pages_of_one_commit(stage: Place) -> None:
    files = {f"data/{number:04}.txt": "" for number in range(2100)}
    made = stage.make("alice/tree-5", files)
    api = stage.api()
    listing = api.list_repo_tree(made.id, repo_type="dataset", recursive=True)
    first = [each.path for each in islice(listing, 1000)]
    # Somebody pushes between two pages: the list is of what was there when it began.
    stage.commit(made, dict.fromkeys(files) | {"data/0500.txt.more": "x", "zzz": "x"})
    rest = [each.path for each in listing]
    assert [*first, *rest] == sorted([".gitattributes", "data", *files])
    stage.commit(made, {f"few/{number:03}": "" for number in range(120)})
    response = stage.http().get(f"/api/datasets/{made.id}/tree/main/few?expand=true&limit=500")
    assert len(response.json()) == 50
    assert response.links["next"]["url"].startswith(f"{stage.server.address}/api/datasets/{made.id}/tree/")
    few = list(api.list_repo_tree(made.id, "few", repo_type="dataset", expand=True))
    assert len({each.path for each in few}) == len(few) == 120


@pytest.mark.parametrize(
    "query", ["limit=x", "limit=-1", "cursor=nothing", "cursor=../x", "cursor=a.txt/b", "cursor=%00"]
)
def test_impossible_pages(stage: Place, query: str) -> None:
    if not stage.api().repo_exists("alice/tree-6", repo_type="dataset"):
        stage.make("alice/tree-6", {"a.txt": "a", "data/b.txt": "b"})
    response = stage.http().get(f"/api/datasets/alice/tree-6/tree/main?{query}")
    assert response.status_code == 400
    assert "\n" not in response.json()["error"]
    outside = stage.http().get("/api/datasets/alice/tree-6/tree/main/data?cursor=a.txt")
    assert outside.status_code == 400


def test_paths_info(stage: Place) -> None:
    made = stage.make("alice/paths-1", {"a.txt": "aaa", "data/b.txt": "b", "ü&=.txt": "x"})
    head = stage.commit(made, {"data/big.bin": bytes(LARGE).decode()})
    wanted = ["a.txt", "data", "data/big.bin", "ü&=.txt", "nothing", "../x", ""]
    found = stage.api().get_paths_info(made.id, wanted, repo_type="dataset", expand=True)
    assert [each.path for each in found][:4] == ["a.txt", "data", "data/big.bin", "ü&=.txt"]
    assert {each.path: each.last_commit.oid for each in found if each.last_commit}["data/big.bin"] == head
    assert not {"nothing", "../x"}.intersection(each.path for each in found)
    http = stage.http()
    url = f"/api/datasets/{made.id}/paths-info/main"
    for body in ({"paths": ["a.txt"], "expand": False}, {"paths": "a.txt"}, {"paths": ["/a.txt/", "a.txt/"]}):
        assert {each["path"] for each in http.post(url, json=body).json()} == {"a.txt"}
    assert "lastCommit" in http.post(url, json={"paths": ["a.txt"], "expand": True}).json()[0]
    assert http.post(url, data={"paths": "a.txt"}).json()[0]["size"] == 3
    assert http.post(url, json={"paths": []}).json() == []
    assert http.post(url).json() == []


@pytest.mark.parametrize(
    ("type", "body", "status"),
    [
        ("application/json", b"{", 400),
        ("application/json", b'{"paths": 7}', 400),
        ("application/json", b'{"paths": [7]}', 400),
        ("application/x-www-form-urlencoded", b"\xff", 400),
        ("application/x-www-form-urlencoded", b"&".join([b"paths=a"] * 30_000), 400),
        ("application/x-www-form-urlencoded", b"&".join([b"paths=%d" % each for each in range(10_001)]), 413),
        ("application/x-www-form-urlencoded", b"paths=" + b"a" * (2 << 20), 413),
    ],
)
def test_hostile_paths(stage: Place, type: str, body: bytes, status: int) -> None:
    if not stage.api().repo_exists("alice/paths-2", repo_type="dataset"):
        stage.make("alice/paths-2")
    url = "/api/datasets/alice/paths-2/paths-info/main"
    assert stage.http().post(url, content=body, headers={"content-type": type}).status_code == status


def test_tree_size(stage: Place) -> None:
    made = stage.make("alice/size", {"data/b.txt": "bb"})
    stage.commit(made, {"data/big.bin": bytes(LARGE).decode()})
    http = stage.http()
    assert http.get(f"/api/datasets/{made.id}/treesize/main/data").json() == {"path": "/data", "size": LARGE.size + 2}
    assert http.get(f"/api/datasets/{made.id}/treesize/main").json()["size"] > LARGE.size + 2


def test_what_only_git_can_push(stage: Place) -> None:
    """Names that are no UTF-8, links and submodules: shown as well as can be, and a snapshot is whole."""
    made = stage.make("alice/odd", {"a.txt": "a"})
    folder = stage.hub.repositories.folder(made)
    with stage.hub.change(made) as git:
        blob = git.write_blob(b"latin")
        entries = f"100644 blob {blob}\tcaf".encode() + b"\xe9.txt\n" + f"120000 blob {blob}\tlink\n".encode()
        entries += b"160000 commit " + b"1" * 40 + b"\tsub\n"
        ran = subprocess.run(["git", "-C", folder, "mktree"], input=entries, capture_output=True, check=True)
        head = git.resolve("main")
        git.commit(MAIN, ran.stdout.decode().strip(), [head], "odd", "x", expected=head)
    assert stage.api().list_repo_files(made.id, repo_type="dataset") == ["caf\ufffd.txt", "link"]
    assert [each.rfilename for each in stage.api().dataset_info(made.id).siblings or ()] == ["caf\ufffd.txt", "link"]


def test_a_snapshot_and_a_file_system(stage: Place, tmp_path: Path) -> None:
    made = stage.make("alice/snapshot", {"a.txt": "aaa", "data/b.txt": "bb"})
    api = stage.api()
    folder = snapshot_download(
        made.id, repo_type="dataset", endpoint=api.endpoint, token=str(api.token), cache_dir=tmp_path
    )
    found = {str(path.relative_to(folder)): path.read_text() for path in Path(folder).rglob("*.txt")}
    assert found == {"a.txt": "aaa", "data/b.txt": "bb"}
    files: Any = HfFileSystem(endpoint=api.endpoint, token=str(api.token), skip_instance_cache=True)
    root = f"datasets/{made.id}"
    assert sorted(files.ls(root, detail=False)) == [f"{root}/.gitattributes", f"{root}/a.txt", f"{root}/data"]
    assert files.find(root) == [f"{root}/.gitattributes", f"{root}/a.txt", f"{root}/data/b.txt"]
    assert files.exists(f"{root}/data")
    assert not files.exists(f"{root}/nothing")
    assert files.cat_file(f"{root}/a.txt") == b"aaa"
    assert files.info(f"{root}/data/b.txt")["size"] == 2
