"""What a push must keep to. git runs this as a program of its own when all objects came, before it moves a reference.

Knows the objects that are new (git holds them apart until this says yes), the references that are to be moved, and
which large files the repository holds. What this prints is shown to whoever pushes. Refuses to know HTTP, and how
somebody came to be allowed what they are. Imports little, because it starts anew for each push.
"""

import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from embedhub.errors import EmbedhubError
from embedhub.hub.database import Connections
from embedhub.hub.holdings import Holdings
from embedhub.hub.names import check_path, check_reference
from embedhub.hub.pointers import LONGEST_POINTER, Pointer, read_pointer
from embedhub.hub.pull_requests import number_of, why_not

# Larger files are for git-lfs, as over the API.
LARGEST_FILE = 10 << 20

_MAIN = "refs/heads/main"
_NOTHING = "0" * 40

# Reasons shown of one push, and references moved by one.
_SHOWN = 20
_MOST_REFERENCES = 1000


@dataclass(frozen=True, slots=True)
class Push:
    """Who pushes, and where to.

    Attributes:
        database: path of the Hub's database.
        repository: its uuid.
        user: a name.
        may_write: whether to branches and tags, too; else only to pull requests of their own.
    """

    database: str
    repository: str
    user: str
    may_write: bool

    def __str__(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Move:
    """A reference, and the objects that it stands for before and after; forty zeros are none."""

    before: str
    after: str
    reference: str


@dataclass(frozen=True, slots=True)
class _New:
    """An object that is new: its kind, size in bytes, hash and (of files and folders) one of its paths."""

    kind: str
    size: int
    oid: str
    path: str


def main() -> int:
    """Read the moves from standard input; 0 lets them happen, 1 none of them."""
    push = Push(**json.loads(sys.argv[1]))
    moves = [Move(*line.split(" ", 2)) for line in sys.stdin.read().splitlines()]
    connections = Connections(Path(push.database))
    try:
        if not connections.path.is_file():
            raise FileNotFoundError(f"{connections.path} is gone")
        with connections.read() as database:
            reasons = refused_moves(database, push, moves)
        reasons = reasons or refused_objects(Holdings(connections), push.repository, moves)
    except (OSError, sqlite3.Error, subprocess.SubprocessError, EmbedhubError) as error:
        reasons = [f"the push could not be checked ({error})"]
    connections.close()
    shown = reasons[:_SHOWN] + ([f"{len(reasons) - _SHOWN} more reasons"] if len(reasons) > _SHOWN else [])
    sys.stderr.buffer.writelines(f"refused: {reason}\n".encode(errors="replace") for reason in shown)
    return 1 if reasons else 0


def refused_moves(database: sqlite3.Connection, push: Push, moves: list[Move]) -> list[str]:
    """Why references may not be moved so; empty if they may.

    Args:
        database: of the Hub.
        push: who pushes.
        moves: all of the push; the current folder is the repository.
    """
    if len(moves) > _MOST_REFERENCES:
        return [f"a push moves {_MOST_REFERENCES} references at most, this one {len(moves)}"]
    reasons = [reason for move in moves if (reason := _refused_move(database, push, move))]
    return reasons or _refused_kinds(moves)


def _refused_move(database: sqlite3.Connection, push: Push, move: Move) -> str:
    name = move.reference
    if number_of(name) is not None:
        reason = why_not(database, push.repository, name, push.user, may_write=push.may_write)
        if reason:
            return reason
        if move.after == _NOTHING or not _leads_to(move.before, move.after):
            return f"{name} only grows: it is neither deleted nor moved back, because others look at its commits"
    elif not name.startswith(("refs/heads/", "refs/tags/")):
        return f"{name}: only branches (refs/heads/), tags (refs/tags/) and pull requests (refs/pr/) are pushed to"
    elif not push.may_write:
        return f"you may not write to {name}; open a pull request over the API and push to its refs/pr/N"
    elif move.after == _NOTHING:
        return "the branch main cannot be deleted" if name == _MAIN else ""
    else:
        try:
            check_reference(name.split("/", 2)[2])
        except EmbedhubError as error:
            return str(error)
        if name == _MAIN and move.before != _NOTHING and not _leads_to(move.before, move.after):
            return "main is not moved back, because others build on it: pull and push again, or push to another branch"
    return ""


def _refused_kinds(moves: list[Move]) -> list[str]:
    """Names that would stand for something that is no commit: a file can be tagged, but nobody could look it up."""
    made = [move for move in moves if move.after != _NOTHING]
    asked = "".join(f"{move.after}^{{commit}}\n" for move in made).encode()
    looked = subprocess.run(["git", "cat-file", "--batch-check"], input=asked, stdout=subprocess.PIPE, check=True)
    return [
        f"{move.reference} must stand for a commit"
        for move, line in zip(made, looked.stdout.splitlines(), strict=True)
        if b" commit " not in line
    ]


def refused_objects(holdings: Holdings, repository: str, moves: list[Move]) -> list[str]:
    """What is wrong with the objects that a push brings; empty if nothing is."""
    reasons: list[str] = []
    names: dict[str, str] = {}
    wanted: list[_New] = []
    for new in _new_objects(move.after for move in moves if move.after != _NOTHING):
        if new.kind == "blob":
            reasons += _refused_file(new)
        if new.kind == "tree" or (new.kind == "blob" and new.size <= LONGEST_POINTER):
            wanted.append(new)
    pointers: list[tuple[str, Pointer]] = []
    for new, content in _contents(wanted):
        if new.kind == "tree":
            reasons += filter(None, (_refused_name(name, new.path, names) for name in _names(content)))
        elif (pointer := read_pointer(content)) is not None:
            pointers.append((new.path, pointer))
    # All at once: from now on they are not garbage, whatever else refers to them.
    held = holdings.renew(repository, (pointer.sha256 for _, pointer in pointers)) if pointers else {}
    reasons += filter(None, (_refused_pointer(path, pointer, held.get(pointer.sha256)) for path, pointer in pointers))
    return reasons


def _refused_file(new: _New) -> list[str]:
    path = new.path or new.oid
    if new.size > LARGEST_FILE:
        return [
            f"{path} has {new.size / (1 << 20):.1f} MiB, more than {LARGEST_FILE >> 20}: keep it with git lfs "
            f"(`git lfs migrate import --include={path!r}` puts what is committed right, then push again)"
        ]
    try:
        check_path(path)
    except EmbedhubError as error:
        return [str(error)]
    return []


def _refused_name(name: bytes, folder: str, known: dict[str, str]) -> str:
    """Why something in a folder may not be called so. A tree holds names, one part of a path each."""
    text = name.decode("utf-8", "surrogateescape")
    if text not in known:
        try:
            check_path(text)
            known[text] = ""
        except EmbedhubError as error:
            known[text] = str(error)
    return f"{known[text]} (in {folder or 'the top folder'})" if known[text] else ""


def _refused_pointer(path: str, pointer: Pointer, size: int | None) -> str:
    """Why a pointer may not be kept, given the size of the large file that the repository holds."""
    if size is None:
        return (
            f"LFS pointer pointed to a file that does not exist: {path} ({pointer.sha256}); "
            "`git lfs push --all` sends it, with git-lfs installed for this repository (`git lfs install`)"
        )
    if size != pointer.size:
        return f"{path}: the pointer says {pointer.size} bytes, the large file has {size}"
    return ""


# -- git


def _leads_to(before: str, after: str) -> bool:
    asking = ["git", "merge-base", "--is-ancestor", before, after]
    return subprocess.run(asking, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def _new_objects(tips: Iterable[str]) -> Iterator[_New]:
    """Every object that leads to the tips and to no reference yet."""
    listing = ["git", "rev-list", "--objects", "--stdin", "--not", "--all"]
    looking = ["git", "cat-file", "--batch-check=%(objecttype) %(objectsize) %(objectname) %(rest)", "--buffer"]
    with tempfile.TemporaryFile() as asked:
        asked.writelines(f"{tip}\n".encode() for tip in tips)
        asked.seek(0)
        with (
            subprocess.Popen(listing, stdin=asked, stdout=subprocess.PIPE) as first,
            subprocess.Popen(looking, stdin=first.stdout, stdout=subprocess.PIPE) as second,
        ):
            assert first.stdout is not None
            assert second.stdout is not None
            first.stdout.close()
            for line in second.stdout:
                kind, size, oid, path = line.removesuffix(b"\n").split(b" ", 3)
                if not size.isdigit():
                    raise subprocess.SubprocessError(f"{kind.decode()} {size.decode()}")
                yield _New(kind.decode(), int(size), oid.decode(), path.decode("utf-8", "surrogateescape"))
        if first.returncode or second.returncode:
            raise subprocess.SubprocessError("git could not list what was sent")


def _contents(wanted: list[_New]) -> Iterator[tuple[_New, bytes]]:
    """Objects with their contents, in order."""
    with tempfile.TemporaryFile() as asked:
        asked.writelines(f"{new.oid}\n".encode() for new in wanted)
        asked.seek(0)
        reading = ["git", "cat-file", "--batch", "--buffer"]
        with subprocess.Popen(reading, stdin=asked, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for new in wanted:
                process.stdout.readline()
                content = process.stdout.read(new.size)
                process.stdout.read(1)
                if len(content) != new.size:
                    raise subprocess.SubprocessError("git could not read what was sent")
                yield new, content


def _names(tree: bytes) -> Iterator[bytes]:
    """Names of the entries of a tree as git keeps it: mode, space, name, zero, twenty bytes of a hash."""
    at = 0
    while at < len(tree):
        start = tree.index(b" ", at) + 1
        end = tree.index(b"\0", start)
        yield tree[start:end]
        at = end + 21


if __name__ == "__main__":
    sys.exit(main())
