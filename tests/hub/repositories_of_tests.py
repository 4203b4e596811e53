"""Git repositories for tests, and what only git itself writes into one."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from embedhub.hub.editing import Changes
from embedhub.hub.git import MAIN, GitRepository
from embedhub.hub.trees import FILE


def new_repository(folder: Path, files: Mapping[str, str] = {}) -> GitRepository:
    """A repository whose first commit has these files."""
    return GitRepository.create(folder, {path: text.encode() for path, text in files.items()}, "alice")


def commit(git: GitRepository, changes: Mapping[str, str | None], message: str = "more", reference: str = MAIN) -> str:
    """A commit on a branch; None removes a file."""
    head = git.target(reference)
    assert head is not None
    made: Changes = {
        path: None if text is None else (git.write_blob(text.encode()), FILE) for path, text in changes.items()
    }
    return git.commit(reference, git.edit_tree(tree_of(git, head), made), [head], message, "alice", expected=head)


def commit_tree(git: GitRepository, tree: str, message: str = "more", reference: str = MAIN) -> str:
    """A commit of a tree on a branch."""
    head = git.target(reference)
    assert head is not None
    return git.commit(reference, tree, [head], message, "alice", expected=head)


def tree_of(git: GitRepository, commit: str) -> str:
    """A commit's tree."""
    entry = git.entry(commit, "")
    assert entry is not None
    return entry.oid


def make_tree(git: GitRepository, *entries: tuple[str, str, bytes]) -> str:
    """A tree of (mode, hash, name) as git itself writes it, whatever the names are."""
    kinds = {"040000": "tree", "160000": "commit"}
    lines = [f"{mode} {kinds.get(mode, 'blob')} {oid}\t".encode() + name + b"\0" for mode, oid, name in entries]
    return run_git(git.folder, "mktree", "-z", "--missing", input=b"".join(lines)).decode().strip()


def run_git(folder: Path, *arguments: str, input: bytes = b"") -> bytes:
    """What git prints."""
    ran = subprocess.run(["git", "-C", str(folder), *arguments], input=input, capture_output=True, check=True)
    return ran.stdout
