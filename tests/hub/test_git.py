"""Revisions, references, histories; and that git itself agrees with what was written."""

import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.hub.repositories_of_tests import commit, make_tree, new_repository, run_git, tree_of

from embedhub.errors import HubConflictError, HubError, HubNameError, RevisionNotFoundError, StaleParentError
from embedhub.hub import git as git_module
from embedhub.hub.git import MAIN, GitRepository
from embedhub.hub.pointers import Pointer
from embedhub.hub.reading import GitReader
from embedhub.hub.rewriting import forget


@pytest.fixture
def git(tmp_path: Path) -> Iterator[GitRepository]:
    with new_repository(tmp_path / "x.git", {"README.md": "hello"}) as repository:
        yield repository


def test_git_itself_finds_nothing_wrong(git: GitRepository) -> None:
    commit(git, {"data/a": "1"}, "Title\n\nMore of it")
    git.create_branch("feature/x", git.resolve("main"))
    git.create_tag("v1", git.resolve("main"), "the first", "alice")
    git.create_tag("v2", git.resolve("main"), "", "alice")
    assert run_git(git.folder, "fsck", "--strict", "--no-dangling") == b""
    assert run_git(git.folder, "log", "-1", "--format=%an %ae %B", "v1").decode().split() == (
        ["alice", "alice@users.noreply.embedhub", "Title", "More", "of", "it"]
    )
    assert list((git.folder / "hooks").iterdir()) == []


def test_many_small_files_at_once_lie_in_one_pack(git: GitRepository) -> None:
    large = {f"large-{number}": os.urandom(40_000).hex() for number in range(2)}
    files = {f"{number % 7}/{number}": f"file {number}" for number in range(1500)} | large
    made = commit(git, files)
    assert len(list((git.folder / "objects").glob("pack/*.pack"))) == 1
    loose = list((git.folder / "objects").glob("??/*"))
    # The two that are long, and what was there before.
    assert len(loose) < 10
    assert not list((git.folder / "objects").glob("pack/tmp_*"))
    assert run_git(git.folder, "fsck", "--strict", "--no-dangling") == b""
    with GitReader(git.folder) as fresh:
        assert {entry.path for entry in fresh.entries(made, recursive=True) if not entry.is_folder} >= set(files)
    # What lies in a pack is there to be referred to again.
    again = commit(git, {**files, "one-more": "1"})
    assert run_git(git.folder, "diff", "--name-only", made, again) == b"one-more\n"


def test_revisions(git: GitRepository) -> None:
    first = git.resolve("main")
    second = commit(git, {"a": "1"})
    git.create_branch("feature/x", first)
    git.create_tag("v1", first, "annotated", "alice")
    for revision, wanted in (
        ("main", second),
        ("HEAD", second),
        ("refs/heads/main", second),
        ("feature/x", first),
        ("v1", first),
        ("refs/tags/v1", first),
        (second, second),
        (second[:7], second),
    ):
        assert git.resolve(revision) == wanted
    # A branch stands before a tag of the same name.
    git.create_tag("main", first, "", "alice")
    assert git.resolve("main") == second


@pytest.mark.parametrize(
    "revision",
    ["", "nothing", "HEAD~1", "main~1", "main^", "main^{tree}", "main:README.md", "@", "-main", "refs/heads", "refs/",
     "refs/heads/nothing", "refs/../HEAD", "../x", "main\0", "main\n", "\udcff", "a" * 100_000, "0" * 40, "0" * 7,
     "HEAD@{0}", ":/init", "heads/main", "*"],
)  # fmt: skip
def test_what_is_no_revision(git: GitRepository, revision: str) -> None:
    with pytest.raises(RevisionNotFoundError, match="Invalid rev id"):
        git.resolve(revision)


def test_files_and_folders_are_no_revisions(git: GitRepository) -> None:
    head = git.resolve("main")
    for hash in (git.file(head, "README.md").oid, tree_of(git, head)):
        for length in (7, 40):
            with pytest.raises(RevisionNotFoundError):
                git.resolve(hash[:length])
        with pytest.raises(RevisionNotFoundError):
            git.read_commit(hash)


def test_history(git: GitRepository) -> None:
    made = [git.resolve("main"), *(commit(git, {"a": str(each)}, f"number {each}\n\nbody") for each in range(5))]
    assert [each.id for each in git.log("main")] == made[::-1]
    assert [each.id for each in git.log("main", skip=1, limit=2)] == [made[4], made[3]]
    assert git.count("main") == 6
    head = git.read_commit(made[-1])
    assert (head.title, head.message, head.authors, head.parents) == ("number 4", "body", ("alice",), (made[-2],))
    assert git.read_commit(made[0]).title == "initial commit"


def test_messages_and_names_that_are_no_utf8(git: GitRepository) -> None:
    head = git.resolve("main")
    raw = f"tree {tree_of(git, head)}\nauthor Jos".encode() + b"\xe9 <j@x> 1700000000 +0100\n"
    raw += b"committer x <x@x> 1700000000 +0100\n\nCaf\xe9\n\nmore"
    made = run_git(git.folder, "hash-object", "-t", "commit", "-w", "--stdin", input=raw).decode().strip()
    found = git.read_commit(made)
    assert (found.title, found.authors, found.message, found.date) == ("Caf\ufffd", ("Jos\ufffd",), "more", 1700000000)


def test_a_message_ends_where_git_thinks_it_does(git: GitRepository) -> None:
    assert git.read_commit(commit(git, {"a": "1"}, "a\0b")).title == "ab"


def test_who_changed_a_path_last(git: GitRepository) -> None:
    first = git.resolve("main")
    second = commit(git, {"a/x": "1", "b/y": "1"})
    third = commit(git, {"a/x": "2"})
    fourth = commit(git, {"z": "1"})
    found = git.last_commits(fourth, ["a", "a/x", "b", "b/y", "README.md", "z", ""])
    assert {path: by.id for path, by in found.items()} == {
        "a": third,
        "a/x": third,
        "b": second,
        "b/y": second,
        "README.md": first,
        "z": fourth,
        "": fourth,
    }
    # Not further back than it was told to: then the last one that was looked at has to stand for it.
    assert git.last_commits(fourth, ["README.md"], most_commits=2)["README.md"].id == second


def test_a_commit_that_others_overtook_is_refused(git: GitRepository) -> None:
    head = git.resolve("main")
    commit(git, {"a": "1"})
    with pytest.raises(StaleParentError):
        git.commit(MAIN, tree_of(git, head), [head], "late", "bob", expected=head)
    with pytest.raises(StaleParentError):
        git.set_reference(MAIN, head, expected=None)
    assert git.read_commit(git.resolve("main")).title == "more"


def test_of_many_at_once_one_wins_and_none_is_lost(git: GitRepository) -> None:
    def write(number: int) -> None:
        with GitRepository(git.folder) as mine:
            while True:
                try:
                    commit(mine, {f"file-{number}": "x"})
                    return
                except StaleParentError:
                    continue

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert git.count("main") == 9
    assert {f"file-{number}" for number in range(8)} < set(git.paths(git.resolve("main")))


def test_gits_own_lock_is_kept(git: GitRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_module, "_LOCK_SECONDS", 0.05)
    lock = git.folder / "refs/heads/main.lock"
    lock.touch()
    for change in (lambda: commit(git, {"a": "1"}), lambda: git.delete_reference(MAIN)):
        with pytest.raises(HubConflictError, match="locked"):
            change()
    lock.unlink()
    commit(git, {"a": "1"})


def test_a_name_in_the_way_of_another_is_refused_at_once(git: GitRepository) -> None:
    head = git.resolve("main")
    git.create_branch("block", head)
    git.create_tag("lock", head, "", "alice")
    for message in ("", "annotated"):
        with pytest.raises(HubConflictError, match="in its way"):
            git.create_tag("lock/x", head, message, "alice")
    for name in ("block/x", "main/x"):
        with pytest.raises(HubConflictError, match="in its way"):
            git.create_branch(name, head)
    git.create_branch("deep/er", head)
    with pytest.raises(HubConflictError, match="in its way"):
        git.create_branch("deep", head)
    git.delete_reference("refs/heads/deep/er")
    git.create_branch("deep", head)


def test_branches_and_tags_are_made_once(git: GitRepository) -> None:
    first, second = git.resolve("main"), commit(git, {"a": "1"})
    git.create_branch("b", first)
    with pytest.raises(HubConflictError, match="Reference refs/heads/b already exists"):
        git.create_branch("b", second)
    git.create_branch("b", second, overwrite=True)
    assert git.resolve("b") == second
    git.create_tag("t", first, "", "alice")
    for message in ("", "m"):
        with pytest.raises(HubConflictError, match="Tag reference exists already"):
            git.create_tag("t", second, message, "alice")
    for name in ("refs/heads/x", "..", "", "a b"):
        with pytest.raises(HubNameError):
            git.create_branch(name, first)
        with pytest.raises(HubNameError):
            git.create_tag(name, first, "", "alice")


def test_references_go(git: GitRepository) -> None:
    git.create_branch("b", git.resolve("main"))
    run_git(git.folder, "pack-refs", "--all")
    git.delete_reference("refs/heads/b")
    with pytest.raises(RevisionNotFoundError):
        git.delete_reference("refs/heads/b")
    with pytest.raises(RevisionNotFoundError):
        git.delete_reference("refs/heads/\0")
    assert [reference.name for reference in git.references()] == [MAIN]


def test_a_reference_to_something_else_is_not_shown(git: GitRepository) -> None:
    blob = git.write_blob(b"x")
    run_git(git.folder, "update-ref", "refs/tags/blob", blob)
    run_git(git.folder, "symbolic-ref", "refs/heads/dangling", "refs/heads/nothing")
    assert [reference.name for reference in git.references()] == [MAIN]


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="hub check"):
        GitReader(tmp_path)


def test_large_files_are_forgotten_in_every_branch(git: GitRepository) -> None:
    first = git.resolve("main")
    secret, kept = Pointer("a" * 64, 10), Pointer("b" * 64, 20)
    text = bytes(secret).decode()
    commit(git, {"x/secret.bin": text, "y": "1"}, "adds it")
    commit(git, {"kept.bin": bytes(kept).decode(), "only/in/here/copy.bin": text}, "adds more")
    git.create_branch("old", git.resolve("main"))
    commit(git, {"x/secret.bin": None, "only/in/here/copy.bin": None}, "removes it")
    git.create_branch("clean", first)
    git.create_tag("v1", git.resolve("old"), "annotated", "alice")
    forget(git, {secret.sha256})
    for reference in git.references():
        for each in git.log(reference.name):
            assert secret.sha256 not in {pointer.sha256 for _, pointer in git.large_files(each.id, set())}
    assert list(git.paths(git.resolve("old"))) == ["README.md", "kept.bin", "y"]
    assert [each.title for each in git.log("main")] == ["removes it", "adds more", "adds it", "initial commit"]
    # What never had it stays what it was.
    assert git.resolve("clean") == list(git.log("main"))[-1].id == first
    assert git.resolve("v1") == git.resolve("old")
    assert run_git(git.folder, "fsck", "--strict", "--no-dangling") == b""
    before = git.references()
    forget(git, {secret.sha256, "c" * 64})
    assert git.references() == before


def test_everything_may_be_forgotten(tmp_path: Path) -> None:
    secret = Pointer("a" * 64, 10)
    with new_repository(tmp_path / "x.git", {"d\u00fc/a.bin": bytes(secret).decode()}) as git:
        blob = git.write_blob(bytes(secret))
        tree = make_tree(git, ("100644", blob, b"x\xff.bin"))
        git.create_branch("b", git.commit_object(tree, [], "m", "alice"))
        forget(git, {secret.sha256})
        assert [list(git.entries(reference.commit)) for reference in git.references()] == [[], []]


def test_names_of_references_are_not_kept(git: GitRepository) -> None:
    """pygit2's `lookup_reference` counts a name once more than it lets go of it."""
    git.create_branch("b", git.resolve("main"))
    for name in ("refs/heads/b", "refs/heads/nothing", "refs/tags/\ud800", "main"):
        git.target(name)
        before = sys.getrefcount(name)
        for _ in range(10):
            git.target(name)
        assert sys.getrefcount(name) == before

    def asked() -> int:
        for number in range(500):
            with suppress(RevisionNotFoundError):
                git.resolve(f"some-branch-{number}")
            git.resolve("main")
            git.references()
        gc.collect()
        return sys.getallocatedblocks()

    asked()
    assert asked() - asked() > -100


def test_a_reference_is_found_by_no_other_name(git: GitRepository) -> None:
    head = git.resolve("main")
    for name in ("refs/refs/heads/x", "refs/tags/refs/heads/x", "refs/heads/refs/heads/x"):
        run_git(git.folder, "update-ref", name, head)
    assert git.target("refs/heads/x") is None
    run_git(git.folder, "update-ref", "refs/heads/x", git.resolve("main"))
    assert git.target("refs/heads/x") == head
    run_git(git.folder, "symbolic-ref", "refs/heads/symbolic", "refs/heads/x")
    assert git.target("refs/heads/symbolic") == head
    for name in ("HEAD", "main", "heads/main", head, head[:9], f"refs/heads/main-g{head[:9]}"):
        assert git.target(name) is None
