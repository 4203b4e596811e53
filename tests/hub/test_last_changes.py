"""Who changed a path last, by pages: as git says, and as a walk without memory says."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pygit2
import pytest
from tests.hub.repositories_of_tests import commit, commit_tree, make_tree, new_repository, run_git, tree_of

from embedhub.errors import HubError
from embedhub.hub import history, last_changes
from embedhub.hub.git import MAIN, GitRepository
from embedhub.hub.history import Commit
from embedhub.hub.reading import GitReader
from embedhub.hub.trees import read_tree

FOLDERS = ("", "a/", "a/b/", "a/b/c/", "a.b/", "d/")


@pytest.fixture
def git(tmp_path: Path) -> Iterator[GitRepository]:
    with new_repository(tmp_path / "x.git", {"README.md": "hello"}) as repository:
        yield repository


def _changed(git: GitRepository, random_: random.Random, number: int) -> dict[str, str | None]:
    """Changes of which each is one, and some of which replace a file by a folder or the other way round."""
    there = list(git.paths(git.resolve("main")))
    changes: dict[str, str | None] = {}
    for each in range(random_.randint(1, 4)):
        if there and random_.random() < 0.3:
            changes[random_.choice(there)] = None
        else:
            changes[random_.choice(FOLDERS) + random_.choice("abdxyz")] = f"{number} {each}"
    files = [path for path, new in changes.items() if new is not None]
    return {path: new for path, new in changes.items() if not any(other.startswith(f"{path}/") for other in files)}


def _history(git: GitRepository, seed: int, length: int, *, merges: bool = False) -> str:
    random_ = random.Random(seed)
    heads = [git.resolve("main")]
    for number in range(length):
        head = commit(git, _changed(git, random_, number))
        if merges and random_.random() < 0.3:
            # Some of them bring nothing, some bring all of another state.
            tree = tree_of(git, random_.choice([head, random_.choice(heads)]))
            parents = [head, random_.choice(heads)] if random_.random() < 0.5 else [random_.choice(heads), head]
            head = git.commit(MAIN, tree, parents, "merge", "alice", expected=head)
        heads.append(head)
    return heads[-1]


def _by_history(git: GitReader, head: str, paths: list[str], most_commits: int = 2000) -> dict[str, Commit]:
    return history.last_commits(git.repository, git._pygit_commit(head), paths, most_commits)


def _paths(git: GitReader, head: str) -> list[str]:
    return [entry.path for entry in git.entries(head, recursive=True)]


@pytest.mark.parametrize("seed", range(6))
def test_as_git_says(git: GitRepository, seed: int) -> None:
    head = _history(git, seed, 40)
    paths = _paths(git, head)
    random.Random(seed).shuffle(paths)
    for start in range(0, len(paths), 3):
        page = paths[start : start + 3]
        found = git.last_commits(head, page)
        said = {
            path: run_git(git.folder, "log", "-1", "--format=%H", head, "--", path).decode().strip() for path in page
        }
        assert {path: each.id for path, each in found.items()} == said
        assert found == _by_history(git, head, page)


@pytest.mark.parametrize("seed", range(6))
def test_pages_of_any_commits_in_any_order_with_merges(git: GitRepository, seed: int) -> None:
    head = _history(git, seed, 30, merges=True)
    random_ = random.Random(seed)
    commits = [each.id for each in git.log(head)]
    for _ in range(60):
        at = random_.choice([head, random_.choice(commits)])
        there = ["", "never", "a/never", "README.md/x", "a//b", "\0", "x/", *_paths(git, random_.choice(commits))]
        page = random_.sample(there, min(len(there), random_.randint(1, 6)))
        most_commits = random_.choice([0, 1, 2, 5, 20, 2000])
        assert git.last_commits(at, page, most_commits) == _by_history(git, at, page, most_commits), (
            page,
            most_commits,
        )


def test_submodules_rights_and_names_that_no_one_can_read(git: GitRepository) -> None:
    blob, other = git.write_blob(b"x"), git.write_blob(b"y")
    trees = (
        [("100644", blob, b"run.sh"), ("100644", blob, b"x\xfe"), ("160000", "1" * 40, b"sub")],
        [("100755", blob, b"run.sh"), ("100644", blob, b"x\xfe"), ("100644", other, b"x\xff")],
        [("100755", blob, b"run.sh"), ("100644", other, b"x\xff"), ("160000", "2" * 40, b"sub")],
        [("040000", make_tree(git, ("100644", blob, b"a")), b"run.sh"), ("100644", blob, b"sub")],
        [("040000", make_tree(git, ("100755", blob, b"a")), b"run.sh"), ("160000", "1" * 40, b"sub")],
    )
    for made in [commit_tree(git, make_tree(git, *entries)) for entries in trees]:
        paths = ["run.sh", "run.sh/a", "x\ufffd", "sub", "README.md"]
        assert git.last_commits(made, paths) == _by_history(git, made, paths)


def test_each_page_looks_no_further_than_it_must(git: GitRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[bytes] = []

    def read(repository: pygit2.Repository, tree: bytes) -> bytes:
        reads.append(tree)
        return read_tree(repository, tree)

    monkeypatch.setattr(last_changes, "read_tree", read)
    head = commit(git, {f"data/{number}": "0" for number in range(50)} | {"other/x": "0"})
    for number in range(50):
        head = commit(git, {f"data/{number}": "1"})
    assert git.last_commits(head, ["README.md"])["README.md"].title == "initial commit"
    # The top folder alone, once for each of its versions and once more where a stride begins.
    assert len(reads) < 60
    reads.clear()
    git.last_commits(head, ["data/49", "data/48"])
    assert len(reads) <= 4
    for number in range(50):
        git.last_commits(head, [f"data/{number}"])
    assert len(reads) < 70
    reads.clear()
    for number in range(50):
        git.last_commits(head, [f"data/{number}"])
    assert reads == []


def test_many_threads_ask_at_once(git: GitRepository) -> None:
    head = _history(git, 7, 60, merges=True)
    paths = _paths(git, head)
    said = _by_history(git, head, paths)
    wrong: list[object] = []

    def ask(seed: int) -> None:
        mine = random.Random(seed).sample(paths, len(paths))
        with GitReader(git.folder) as reader:
            for start in range(0, len(mine), 2):
                page = mine[start : start + 2]
                found = reader.last_commits(head, page)
                if found != {path: said[path] for path in page}:
                    wrong.append(page)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("most", [0, 30, 150])
def test_what_is_kept_is_bounded(git: GitRepository, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(last_changes, "_MOST_KEPT", most)
    monkeypatch.setattr(last_changes, "_MOST_WALKS", 3)
    head = _history(git, 3, 40)
    for at in [each.id for each in git.log(head)][::4]:
        for _ in range(2):
            paths = _paths(git, at)
            assert git.last_commits(at, paths) == _by_history(git, at, paths)
            assert len(last_changes._walks) <= 3
            assert sum(walk.kept for walk in last_changes._walks.values()) <= most


def test_a_branch_that_was_moved_back_and_a_repository_in_the_place_of_another(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with new_repository(tmp_path / "x.git", {"a": text}) as git:
            first = git.resolve("main")
            assert git.last_commits(first, ["a"])["a"].id == first
            second = commit(git, {"a": "2"})
            assert git.last_commits(second, ["a"])["a"].id == second
            git.set_reference(MAIN, first, expected=second)
            third = commit(git, {"b": "3"})
            found = git.last_commits(third, ["a", "b"])
            assert (found["a"].id, found["b"].id) == (first, third)
        (tmp_path / "x.git").rename(tmp_path / text)


def test_damage_is_told_and_mended(git: GitRepository) -> None:
    commit(git, {"d/x": "1"})
    lost = git.entry(git.resolve("main"), "d")
    assert lost is not None
    commit(git, {"d/x": "2", "d/y": "2"})
    head = commit(git, {"d/x": "3"})
    path = git.folder / "objects" / lost.oid[:2] / lost.oid[2:]
    content = path.read_bytes()
    path.unlink()
    with GitReader(git.folder) as reader:
        for _ in range(2):
            with pytest.raises(HubError, match="hub check"):
                reader.last_commits(head, ["d/x", "d/y"])
    path.write_bytes(content)
    with GitReader(git.folder) as reader:
        assert reader.last_commits(head, ["d/x", "d/y"]) == _by_history(reader, head, ["d/x", "d/y"])
