"""Commits as clients ask for them: all of it or nothing, whatever is asked."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.hub.repositories_of_tests import new_repository, run_git

from embedhub.errors import EmbedhubError, EntryNotFoundError, HubContentError, HubPathError, StaleParentError
from embedhub.hub import editing, trees
from embedhub.hub.attributes import NEW_REPOSITORY, large_file_rule
from embedhub.hub.commits import ATTRIBUTES, AddFile, AddLargeFile, DeleteFile, DeleteFolder, Operation, Wanted, apply
from embedhub.hub.git import MAIN, GitRepository

SHA = "ab" * 32
SIZES = {SHA: 5_000_000_000}


@pytest.fixture
def git(tmp_path: Path) -> Iterator[GitRepository]:
    files = {ATTRIBUTES: NEW_REPOSITORY, "a.txt": "a", "data/x.txt": "x", "data/deep/y.txt": "y"}
    with new_repository(tmp_path / "x.git", files) as repository:
        yield repository


def _commit(git: GitRepository, *operations: Operation, parent: str = "") -> str:
    head = git.resolve("main")
    wanted = Wanted(operations, "title\n\nbody", "alice", parent)
    return apply(git, wanted, MAIN, base=head, expected=head, size_of=SIZES.get)


def _add(git: GitRepository, path: str, text: str) -> AddFile:
    return AddFile(path, git.write_blob(text.encode()))


def _paths(git: GitRepository) -> list[str]:
    return [path for path in git.paths(git.resolve("main")) if path != ATTRIBUTES]


def test_files_come_and_go(git: GitRepository) -> None:
    before = git.resolve("main")
    made = _commit(git, _add(git, "b.txt", "b"), _add(git, "a.txt", "new"), DeleteFile("data/x.txt"))
    assert git.resolve("main") == made
    assert _paths(git) == ["a.txt", "b.txt", "data/deep/y.txt"]
    assert git.read_text(made, "a.txt") == "new"
    said = git.read_commit(made)
    assert (said.title, said.message, said.authors, said.parents) == ("title", "body", ("alice",), (before,))


def test_large_files_become_pointers(git: GitRepository) -> None:
    made = _commit(git, AddLargeFile("data/big.bin", SHA))
    entry = git.file(made, "data/big.bin")
    assert entry.pointer is not None
    assert (entry.pointer.sha256, entry.size) == (SHA, SIZES[SHA])
    # *.bin is in the list of a new repository already.
    assert git.read_text(made, ATTRIBUTES) == NEW_REPOSITORY


@pytest.mark.parametrize("path", ["data.txt", "a b/c [1]*?.txt", "deep/er/x", "ü.txt"])
def test_a_large_file_gets_a_rule_of_its_own(git: GitRepository, tmp_path: Path, path: str) -> None:
    made = _commit(git, AddLargeFile(path, SHA))
    rule = large_file_rule(git.read_text(made, ATTRIBUTES))
    assert rule(path)
    assert not rule(f"x{path}")
    assert not rule("other.txt")
    # Git has the same opinion.
    attributes = tmp_path / "attributes"
    attributes.write_text(git.read_text(made, ATTRIBUTES))
    asked = run_git(
        git.folder, "-c", f"core.attributesFile={attributes}", "check-attr", "-z", "filter", path, f"x{path}"
    )
    assert asked.decode().split("\0")[2::3] == ["lfs", "unspecified"]


def test_rules_that_come_with_the_files_count(git: GitRepository) -> None:
    rules = "*.dat filter=lfs diff=lfs merge=lfs -text\n"
    made = _commit(git, _add(git, ATTRIBUTES, rules), AddLargeFile("x.dat", SHA))
    assert git.read_text(made, ATTRIBUTES) == rules


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (AddLargeFile("big.bin", "cd" * 32), HubContentError),
        (AddLargeFile("../big.bin", SHA), HubPathError),
        (AddLargeFile(".git/hooks/x", SHA), HubPathError),
        (DeleteFile("nothing"), EntryNotFoundError),
        (DeleteFile("a.txt/x"), EntryNotFoundError),
        (DeleteFolder("nothing"), EntryNotFoundError),
        (DeleteFile("..\\a.txt"), HubPathError),
        (DeleteFile(""), HubPathError),
        (DeleteFolder("/"), HubPathError),
    ],
)
def test_what_is_refused_changes_nothing(git: GitRepository, operation: Operation, error: type[EmbedhubError]) -> None:
    before = git.resolve("main")
    with pytest.raises(error):
        _commit(git, _add(git, "b.txt", "b"), operation, _add(git, "c.txt", "c"))
    assert git.resolve("main") == before


def test_words_that_clients_look_for(git: GitRepository) -> None:
    with pytest.raises(EntryNotFoundError, match="A file with this name doesn't exist"):
        _commit(git, DeleteFile("nothing"))
    with pytest.raises(HubContentError, match="LFS pointer pointed to a file that does not exist"):
        _commit(git, AddLargeFile("x", "0" * 64))
    with pytest.raises(StaleParentError, match="The branch was updated since you opened this page"):
        _commit(git, _add(git, "b", "b"), parent="0" * 40)


def test_folders_go_with_all_that_is_in_them(git: GitRepository) -> None:
    _commit(git, DeleteFolder("data/deep"))
    assert _paths(git) == ["a.txt", "data/x.txt"]
    # Clients say "file" of folders too.
    _commit(git, DeleteFile("data/"))
    assert _paths(git) == ["a.txt"]


def test_a_later_word_on_the_same_path_counts(git: GitRepository) -> None:
    _commit(git, _add(git, "n", "1"), DeleteFile("n"), _add(git, "m", "1"), _add(git, "m", "2"))
    assert _paths(git) == ["a.txt", "data/deep/y.txt", "data/x.txt", "m"]
    assert git.read_text(git.resolve("main"), "m") == "2"
    _commit(git, DeleteFolder("data"), _add(git, "data/z.txt", "z"))
    assert _paths(git) == ["a.txt", "data/z.txt", "m"]
    _commit(git, _add(git, "data/new/q", "q"), DeleteFolder("data"))
    assert _paths(git) == ["a.txt", "m"]


def test_a_commit_that_is_repeated_is_the_one_that_is_there(git: GitRepository) -> None:
    made = _commit(git, _add(git, "b", "b"))
    assert _commit(git, _add(git, "b", "b")) == made
    assert git.count("main") == 2


def test_a_parent_may_be_shortened(git: GitRepository) -> None:
    before = git.resolve("main")
    _commit(git, _add(git, "b", "b"), parent=before[:7])
    with pytest.raises(StaleParentError):
        _commit(git, _add(git, "c", "c"), parent=before)


def test_a_commit_beside_its_base(git: GitRepository) -> None:
    head = git.resolve("main")
    wanted = Wanted((_add(git, "b", "b"),), "m", "bob")
    made = apply(git, wanted, "refs/pr/1", base=head, expected=None, size_of=SIZES.get)
    assert (git.resolve("refs/pr/1"), git.resolve("main")) == (made, head)
    # Nothing changes, and yet a new reference has to stand for something.
    empty = apply(git, Wanted((), "m", "bob"), "refs/pr/2", base=head, expected=None, size_of=SIZES.get)
    assert git.resolve("refs/pr/2") == empty != head


def test_whatever_order_of_operations_is_done_one_after_the_other(tmp_path: Path) -> None:
    """Against a dictionary: what is deleted goes with all that is in it, also if this very commit put it there."""
    names = ["a", "a.b", "a/b", "a/b/c", "a/b/d", "a0", "a/b0/c", "d", "d/e", "d-"]
    for seed in range(60):
        random_ = random.Random(seed)
        base = {name: "old" for name in random_.sample(names, 4) if random_.random() < 0.8}
        base = {name: old for name, old in base.items() if not any(other.startswith(f"{name}/") for other in base)}
        with new_repository(tmp_path / f"{seed}.git", {ATTRIBUTES: "", **base}) as git:
            operations: list[Operation] = []
            wanted = dict(base)
            for _ in range(6):
                path = random_.choice(names)
                within = [name for name in wanted if name == path or name.startswith(f"{path}/")]
                if random_.random() < 0.5:
                    if not within:
                        continue
                    operations.append(DeleteFile(path) if random_.random() < 0.5 else DeleteFolder(path))
                    wanted = {name: text for name, text in wanted.items() if name not in within}
                elif within in ([], [path]) and not any(path.startswith(f"{name}/") for name in wanted):
                    operations.append(_add(git, path, str(len(operations))))
                    wanted[path] = str(len(operations) - 1)
            made = _commit(git, *operations)
            assert {path: git.read_text(made, path) for path in _paths(git)} == wanted, (base, operations)


def test_each_folder_is_read_and_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once for each of the files: that took a minute for some thousands of them."""
    files = {f"{folder}/{name}/x{file}": "x" for folder in range(5) for name in range(20) for file in range(3)}
    with new_repository(tmp_path / "x.git", {ATTRIBUTES: "", **files}) as git:
        calls: Counter[str] = Counter()

        def counted(function: Callable[..., bytes]) -> Callable[..., bytes]:
            def call(*arguments: Any) -> bytes:
                calls[function.__name__] += 1
                return function(*arguments)

            return call

        monkeypatch.setattr(editing, "read_tree", counted(trees.read_tree))
        monkeypatch.setattr(trees, "read_tree", counted(trees.read_tree))
        monkeypatch.setattr(editing, "write_tree", counted(editing.write_tree))
        _commit(git, *[DeleteFile(path) for path in files if not path.endswith("x0")])
        # 106 folders, read to see what is there and to be changed, and a look for the rules of large files.
        assert calls["read_tree"] <= 2 * 106 + 2
        assert calls["write_tree"] == 106
        assert len(_paths(git)) == 100
