"""Trees as bytes: what git itself writes, and bytes that are no tree."""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygit2.enums import ObjectType
from tests.hub.repositories_of_tests import commit_tree, make_tree, new_repository, tree_of

from embedhub.errors import HubError, HubPathError
from embedhub.hub.git import GitRepository
from embedhub.hub.tree_bytes import FOLDER, edited, entries, find, find_all, place, raw_entries

# Names whose order as files differs from their order as folders, and some that look like parts of an entry.
NAMES = [b"a", b"a.b", b"a-b", b"a0", b"a b", b"b", b"b a", b"40000 a", b"100644 a", b"\xff", "é".encode(), b"ab", b"A"]
MODES = [b"100644", b"100755", b"120000", b"160000", FOLDER]
OID = bytes(range(20))

# Each entry by its name.
Tree = dict[bytes, tuple[bytes, bytes]]


@pytest.fixture
def git(tmp_path: Path) -> Iterator[GitRepository]:
    with new_repository(tmp_path / "x.git", {"README.md": "hello"}) as repository:
        yield repository


def _random_tree(seed: int) -> Tree:
    random_ = random.Random(seed)
    # Hashes too may look like an entry's beginning or end.
    oids = [OID, b"100644 a\0" + OID[:11], b" a\0" * 6 + b" a", bytes(20), b"0" * 20]
    names = random_.sample(NAMES, random_.randint(0, len(NAMES)))
    return {name: (random_.choice(MODES), random_.choice(oids)) for name in names}


def _by_git(git: GitRepository, tree: Tree) -> bytes:
    """As git itself writes it."""
    made = make_tree(git, *((mode.decode().zfill(6), oid.hex(), name) for name, (mode, oid) in tree.items()))
    return git.repository.odb.read(pygit2.Oid(hex=made))[1]


def test_what_is_written_is_what_git_writes(git: GitRepository) -> None:
    for seed in range(40):
        before, changed = _random_tree(seed), _random_tree(seed + 1000)
        random_ = random.Random(seed)
        changes = {name: new if random_.random() < 0.6 else None for name, new in changed.items()}
        after = {name: new for name, new in (before | changes).items() if new is not None}
        content = edited(b"", before)
        assert content == _by_git(git, before)
        assert edited(content, changes) == _by_git(git, after)
        assert {name: (mode, oid) for mode, name, oid in entries(content)} == before
        assert b"".join(raw_entries(content)) == content
        for name in NAMES:
            assert find(content, name) == before.get(name)
            assert find_all(content, [name]) == {name: before[name] for name in [name] if name in before}
        assert find_all(content, NAMES) == before


def test_what_is_written_is_what_pygit2_writes(git: GitRepository) -> None:
    blob = pygit2.Oid(hex=git.write_blob(b"x"))
    names = [name.decode() for name in NAMES if name.isascii()]
    for seed in range(40):
        random_ = random.Random(seed)
        chosen = random_.sample(names, random_.randint(0, len(names)))
        builder = git.repository.TreeBuilder()
        for name in chosen:
            builder.insert(name, blob, 0o100644)
        content = edited(b"", {name.encode(): (b"100644", blob.raw) for name in chosen})
        assert str(git.repository.write(ObjectType.TREE, content)) == str(builder.write())


def test_old_programs_wrote_folders_with_a_zero(git: GitRepository) -> None:
    content = b"040000 a\0" + OID
    assert list(entries(content)) == [(FOLDER, b"a", OID)]
    assert find(content, b"a") == (FOLDER, OID)
    # A file that sorts before a folder, though not before a file of that name.
    assert edited(content, {b"a.b": (b"100644", OID)}) == b"100644 a.b\0" + OID + content
    assert edited(content, {b"a": (b"100644", OID)}) == b"100644 a\0" + OID


NO_TREES = [
    b"x",
    b"100644 a\0" + OID[:-1],
    b"100644 a\0" + OID + b"\0",
    b"\0" + b"100644 a\0" + OID,
    b"100644 \0" + OID,
    b"100648 a\0" + OID,
    b"-10644 a\0" + OID,
    b"100644\0a\0" + OID,
    b"100644  a",
    b"7" * 100_000 + b" a\0" + OID,
    b"100644 a\0" + OID + b"rubbish" + b"100644 b\0" + OID,
    b"100644" * 50_000,
    b"100644 a" * 50_000,
    b" a\0" * 50_000,
]


@pytest.mark.parametrize("content", NO_TREES, ids=lambda content: repr(content[:12]))
def test_what_is_no_tree(git: GitRepository, content: bytes) -> None:
    with pytest.raises(ValueError, match="no tree"):
        list(entries(content))
    with pytest.raises(ValueError, match="no tree"):
        raw_entries(content)
    with pytest.raises(ValueError, match="no tree"):
        edited(content, {b"c": (b"100644", OID)})
    # Not worse than damaged, wherever it is read.
    oid = str(git.repository.write(ObjectType.TREE, content))
    who = "a <a@x> 1700000000 +0000"
    made = str(git.repository.write(ObjectType.COMMIT, f"tree {oid}\nauthor {who}\ncommitter {who}\n\nx".encode()))
    reads: tuple[Callable[[], object], ...] = (
        lambda: list(git.entries(made)),
        lambda: list(git.entries(made, after="b")),
        lambda: list(git.paths(made)),
        lambda: git.size(made),
        lambda: list(git.large_files(made, set())),
        lambda: git.existing(made, list("cdefgh")),
        lambda: git.edit_tree(oid, {"c": None}),
        lambda: git.edit_tree(oid, {"c/d": None}),
        lambda: git.entry(made, "\ufffd"),
    )
    for read in reads:
        with pytest.raises(HubError, match="hub check"):
            read()


@given(
    st.binary(max_size=120)
    | st.builds(lambda a, b: b"100644 a\0" + a + b"100644 b\0" + b, *[st.binary(max_size=30)] * 2)
)
def test_no_bytes_are_worse_than_no_tree(content: bytes) -> None:
    reads: tuple[Callable[[], object], ...] = (
        lambda: list(entries(content)),
        lambda: raw_entries(content),
        lambda: find(content, b"a"),
        lambda: place(content, b"b"),
        lambda: find_all(content, NAMES),
        lambda: edited(content, {b"a": None, b"b": (FOLDER, OID)}),
    )
    for read in reads:
        with suppress(ValueError):
            read()


def test_an_entry_twice_is_damage() -> None:
    with pytest.raises(ValueError, match="no tree"):
        edited((b"100644 a\0" + OID) * 2, {})


@pytest.mark.parametrize("name", ["", ".", "..", ".git", ".GIT", "a\0b", "a/b"])
def test_impossible_names(git: GitRepository, name: str) -> None:
    with pytest.raises(HubPathError):
        edited(b"", {name.encode(): (b"100644", OID)})
    if "/" not in name:
        for path in (name, f"x/{name}", f"{name}/x"):
            with pytest.raises(HubPathError):
                git.edit_tree(None, {path: (git.write_blob(b"x"), 0o100644)})


def test_a_folder_that_is_none_is_damage(git: GitRepository) -> None:
    blob = git.write_blob(b"x")
    tree = edited(b"", {b"d": (FOLDER, bytes.fromhex(blob)), b"e": (FOLDER, OID), b"f": (b"100644", OID)})
    head = commit_tree(git, str(git.repository.write(ObjectType.TREE, tree)))
    for path in ("d/x", "e/x", "f"):
        with pytest.raises(HubError, match="hub check"):
            git.entry(head, path)
    # What is beneath a file, or nothing, is not there.
    for path in ("f/x", "g/x", "f/x/y", "g"):
        assert git.entry(head, path) is None


def test_names_are_not_kept(git: GitRepository) -> None:
    """pygit2 counts a name once more than it lets go of it, where it is asked for it in its trees."""
    head = git.resolve("main")
    tree = tree_of(git, head)
    for number, use in enumerate[Callable[[str], object]](
        (
            lambda name: git.edit_tree(tree, {name: None}),
            lambda name: git.edit_tree(tree, {f"d/{name}": (tree, 0o40000), name: (tree, 0o40000)}),
            lambda name: git.entry(head, name),
            lambda name: git.existing(head, [name]),
            lambda name: git.entries_at(head, [name]),
            lambda name: git.last_commits(head, [name]),
            lambda name: list(git.entries(head, after=name)),
        )
    ):
        name = f"never asked for before {number}"
        use(name)
        before = sys.getrefcount(name)
        for _ in range(10):
            use(name)
        assert sys.getrefcount(name) == before, number
