"""Folders of a repository: listed by pages, changed in places, and hostile ones that only git can make."""

import random
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pygit2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.hub.repositories_of_tests import commit, commit_tree, make_tree, new_repository, run_git, tree_of

from embedhub.errors import EntryNotFoundError, HubContentError, HubError
from embedhub.hub.git import GitRepository
from embedhub.hub.pointers import Pointer
from embedhub.hub.trees import FILE, Entry

LARGE = Pointer("ab" * 32, 5_000_000_000)


@pytest.fixture
def git(tmp_path: Path) -> Iterator[GitRepository]:
    with new_repository(tmp_path / "x.git", {"README.md": "hello"}) as repository:
        yield repository


def _listed(git: GitRepository, commit: str, path: str = "", *, recursive: bool = True) -> list[str]:
    return [entry.path for entry in git.entries(commit, path, recursive=recursive)]


def test_files_folders_and_large_files(git: GitRepository) -> None:
    head = commit(git, {"data/a.txt": "aaa", "data/deep/b.bin": bytes(LARGE).decode(), "z": ""})
    assert _listed(git, head) == ["README.md", "data", "data/a.txt", "data/deep", "data/deep/b.bin", "z"]
    assert _listed(git, head, recursive=False) == ["README.md", "data", "z"]
    assert _listed(git, head, "data", recursive=False) == ["data/a.txt", "data/deep"]
    # A file lists itself.
    assert _listed(git, head, "data/a.txt") == ["data/a.txt"]
    large = git.file(head, "data/deep/b.bin")
    assert (large.size, large.pointer, large.etag) == (LARGE.size, LARGE, LARGE.sha256)
    assert large.pointer_size == len(bytes(LARGE))
    small = git.file(head, "data/a.txt")
    assert (small.size, small.pointer, small.pointer_size) == (3, None, 0)
    assert small.oid == small.etag == run_git(git.folder, "hash-object", "--stdin", input=b"aaa").decode().strip()
    assert list(git.paths(head)) == [entry.path for entry in git.files(head)]
    assert (git.size(head), git.size(head, "data"), git.size(head, "z")) == (LARGE.size + 8, LARGE.size + 3, 0)


@pytest.mark.parametrize(
    "path",
    ["nothing", "data/nothing", "README.md/x", "/README.md", "README.md/", "data/", "./README.md", "../x", ".", "..",
     "data//a.txt", "README.md\0", "\0", "x" * 100_000, "a/" * 20_000 + "a", "\udcff", "data\\a.txt", ".git/config"],
)  # fmt: skip
def test_paths_where_nothing_lies(git: GitRepository, path: str) -> None:
    head = commit(git, {"data/a.txt": "a"})
    assert git.entry(head, path) is None
    with pytest.raises(EntryNotFoundError):
        list(git.entries(head, path))
    with pytest.raises(EntryNotFoundError):
        git.size(head, path)


def test_a_folder_is_no_file(git: GitRepository) -> None:
    head = commit(git, {"data/a.txt": "a"})
    with pytest.raises(EntryNotFoundError):
        git.file(head, "data")


@settings(deadline=None, max_examples=15)
@given(st.lists(st.sampled_from("ab.-é0"), min_size=1, max_size=3), st.integers(1, 7), st.booleans(), st.integers(0))
def test_pages_have_everything_once(names: list[str], limit: int, recursive: bool, seed: int) -> None:
    random_ = random.Random(seed)
    paths = {
        "/".join(random_.choice(names) + random_.choice(["", "x", ".y"]) for _ in range(random_.randint(1, 4)))
        for _ in range(12)
    }
    # No path may be both a file and a folder.
    paths = {path for path in paths if not any(other.startswith(f"{path}/") for other in paths)}
    paths = {path for path in paths if not {"", ".", ".."}.intersection(path.split("/"))}
    with tempfile.TemporaryDirectory() as folder, new_repository(Path(folder) / "x.git") as git:
        head = commit(git, dict.fromkeys(paths, "x")) if paths else git.resolve("main")
        whole = list(git.entries(head, recursive=recursive))
        pages: list[Entry] = []
        while page := list(
            islice(git.entries(head, recursive=recursive, after=pages[-1].path if pages else ""), limit)
        ):
            pages += page
        assert pages == whole
        shown = run_git(git.folder, "ls-tree", "-z", "--name-only", *["-r", "-t"][: 2 * recursive], head).decode()
        assert [entry.path for entry in whole] == shown.split("\0")[:-1]


def test_pages_of_a_folder(git: GitRepository) -> None:
    head = commit(git, {f"data/{name}/{number}": "" for name in "abc" for number in range(3)} | {"zz": ""})
    assert [e.path for e in git.entries(head, "data", recursive=True, after="data/b/1")] == [
        "data/b/2",
        "data/c",
        "data/c/0",
        "data/c/1",
        "data/c/2",
    ]
    assert [e.path for e in git.entries(head, "data", after="data/b")] == ["data/c"]
    assert list(git.entries(head, "data", recursive=True, after="data/nothing")) == []
    assert list(git.entries(head, "zz", after="zz")) == []


def test_names_that_are_no_utf8_are_shown_and_found_as_shown(git: GitRepository) -> None:
    blob, other = git.write_blob(b"latin"), git.write_blob(b"other")
    inner = make_tree(git, ("100644", blob, b"caf\xe9.txt"))
    # Two that are shown alike: the first stands for both.
    tree = make_tree(git, ("040000", inner, b"d\xff"), ("100644", blob, b"x\xfe"), ("100644", other, b"x\xff"))
    head = commit_tree(git, tree)
    assert _listed(git, head) == ["d\ufffd", "d\ufffd/caf\ufffd.txt", "x\ufffd"]
    assert git.read(git.file(head, "d\ufffd/caf\ufffd.txt")) == b"latin"
    assert git.read(git.file(head, "x\ufffd")) == b"latin"
    assert git.entry(head, "y\ufffd") is None
    assert git.entry(head, "x\ufffd/y") is None
    assert [entry.path for entry in git.entries(head, recursive=True, after="d\ufffd/caf\ufffd.txt")] == ["x\ufffd"]
    assert git.last_commits(head, ["d\ufffd/caf\ufffd.txt"])["d\ufffd/caf\ufffd.txt"].id == head


def test_links_are_files_and_lead_nowhere(git: GitRepository) -> None:
    target = git.write_blob(b"/etc/passwd")
    folder = git.write_blob(b"..")
    head = commit_tree(git, make_tree(git, ("120000", target, b"link"), ("120000", folder, b"up")))
    assert git.read(git.file(head, "link")) == b"/etc/passwd"
    assert git.entry(head, "up/README.md") is None
    assert _listed(git, head) == ["link", "up"]


def test_submodules_are_not_there(git: GitRepository) -> None:
    blob = git.write_blob(b"x")
    head = commit_tree(git, make_tree(git, ("100755", blob, b"run.sh"), ("160000", "1" * 40, b"sub")))
    assert _listed(git, head) == list(git.paths(head)) == ["run.sh"]
    assert git.entry(head, "sub") is None
    assert git.size(head) == 1


def test_a_tree_that_unfolds_without_end_is_read_by_pages(git: GitRepository) -> None:
    tree = make_tree(git, *[("100644", git.write_blob(b"x"), b"%d" % each) for each in range(10)])
    for _ in range(12):
        tree = make_tree(git, *[("040000", tree, b"%d" % each) for each in range(10)])
    head = commit_tree(git, tree)
    # 10 to the 13th files: whoever touches each of them never comes back.
    assert len(list(islice(git.entries(head, recursive=True), 1000))) == 1000
    path = "/".join("9" * 12)
    assert [e.path for e in islice(git.entries(head, recursive=True, after=path), 1)] == [f"{path}/0"]
    assert git.size(head) == 10**13
    assert list(git.large_files(head, set())) == []
    assert git.last_commits(head, [path])[path].id == head


def test_folders_nested_without_end(git: GitRepository) -> None:
    tree = tree_of(git, git.resolve("main"))
    for _ in range(2500):
        made = git.repository.TreeBuilder()
        made.insert("d", pygit2.Oid(hex=tree), 0o040000)
        tree = str(made.write())
    head = commit_tree(git, tree)
    deepest = max(len(entry.path) for entry in git.entries(head, recursive=True))
    assert 4000 < deepest < 5000
    assert git.size(head) == 5


def test_an_edit_writes_no_more_than_it_must(git: GitRepository) -> None:
    head = commit(git, {"a/b/c": "1", "a/d": "2", "e/f": "3"})
    git.written.clear()
    tree = git.edit_tree(tree_of(git, head), {"a/b/c": (git.write_blob(b"9"), FILE)})
    assert len(git.written) == 4  # the blob, a/b, a and the top
    after = commit_tree(git, tree)
    assert git.read_text(after, "a/b/c") == "9"
    assert git.read_text(after, "e/f") == "3"


def test_what_is_left_empty_goes(git: GitRepository) -> None:
    head = commit(git, {"a/b/c": "1"})
    assert _listed(git, commit(git, {"a/b/c": None})) == ["README.md"]
    assert head != git.resolve("main")
    assert _listed(git, commit(git, {"README.md": None, "nothing/at/all": None})) == []


def test_a_file_makes_way_for_a_folder_and_back(git: GitRepository) -> None:
    assert _listed(git, commit(git, {"README.md/x": "1"})) == ["README.md", "README.md/x"]
    assert _listed(git, commit(git, {"README.md": "2"})) == ["README.md"]
    with pytest.raises(HubContentError, match="at once"):
        commit(git, {"a": "1", "a/b": "2"})


def test_a_missing_object_is_an_error_that_says_what_to_do(git: GitRepository) -> None:
    head = commit_tree(git, make_tree(git, ("100644", "1" * 40, b"gone"), ("040000", "2" * 40, b"lost")))
    with pytest.raises(HubError, match="hub check"):
        list(git.entries(head))
    with pytest.raises(HubError, match="hub check"):
        list(git.paths(head))


def test_many_paths_at_once_are_what_each_is_by_itself(git: GitRepository) -> None:
    blob = git.write_blob(b"x")
    inner = make_tree(git, ("100644", blob, b"caf\xe9"), ("100644", blob, b"b"), ("160000", "1" * 40, b"sub"))
    entries = [("040000", inner, b"%d" % each) for each in range(10)] + [("040000", inner, b"d\xff")]
    head = commit_tree(git, make_tree(git, *entries, ("100644", blob, b"a"), ("100644", blob, b"a b")))
    shown = [entry.path for entry in git.entries(head, recursive=True)]
    odd = [
        "",
        "/",
        "a/",
        "a/b",
        "b",
        "0/b/c",
        "nothing/b",
        "0//b",
        "\0",
        "0/sub",
        "\udcff",
        "x" * 5000,
        "0/caf",
        "\ufffd",
    ]
    paths = [*shown, *odd, *[f"{path}/b" for path in shown]]
    for seed in range(5):
        some = random.Random(seed).sample(paths, 8 * seed + 8)
        found = {path: git.entry(head, path) for path in some if path}
        assert git.entries_at(head, some) == {path: entry for path, entry in found.items() if entry is not None}
        assert git.existing(head, some) == git.entries_at(head, some).keys()
    assert len(git.entries_at(head, paths)) == len(shown) == 11 * 3 + 2
