"""Git's trees as the bytes they are: read, searched, and the same with some entries changed. Pure.

A tree is one entry behind the other: `mode name NUL hash`, in an order in which a folder stands as if its name ended in
a slash. pygit2 has objects for this, but they keep each name that they are asked for as long as the process lives.
Whatever is no tree is a ValueError.
"""

import re
from collections.abc import Collection, Iterator, Mapping

from embedhub.errors import HubPathError

# As they are written: modes have no zero in front, but old programs wrote folders with one.
FOLDER, SUBMODULE = b"40000", b"160000"
_PLAIN = b"100644"

HASH_BYTES = 20

# What is no entry is taken whole, as the last that is found: to look for entries behind it could take forever.
_ENTRY = re.compile(rb"(([0-7]{1,7}) ([^\0]+)\0.{%d})|.+" % HASH_BYTES, re.DOTALL)
_RAW = re.compile(rb"[0-7]{1,7} [^\0]+\0.{%d}|.+" % HASH_BYTES, re.DOTALL)

# What git refuses as well: such names would lead elsewhere, or into its own folder, wherever files are laid out.
_IMPOSSIBLE = re.compile(rb"\.{0,2}|\.git|.*[/\0].*", re.DOTALL | re.IGNORECASE)

# For so many names it is quicker to look each up than to read all that lies in a folder.
_FEW = 4

# Mode, name and hash.
Entry = tuple[bytes, bytes, bytes]

# For each name its mode and hash, or None to remove it.
Changes = Mapping[bytes, tuple[bytes, bytes] | None]


def entries(content: bytes, start: int = 0) -> Iterator[Entry]:
    """What lies in a tree, from a place on; modes without zeros in front.

    Raises:
        ValueError: it is no tree; what stands before the damage was given.
    """
    for found in _ENTRY.finditer(content, start):
        raw, mode, name = found.groups()
        if raw is None:
            raise _no_tree(found.start())
        yield mode.lstrip(b"0"), name, raw[-HASH_BYTES:]


def raw_entries(content: bytes) -> list[bytes]:
    """A tree's entries as they stand there; some times quicker than `entries`, and made for comparing two trees.

    Raises:
        ValueError: it is no tree.
    """
    found: list[bytes] = _RAW.findall(content)
    if found:
        next(entries(found[-1]))
    return found


def place(content: bytes, name: bytes) -> int | None:
    """Where in a tree the entry of that name begins; None if there is none."""
    ending = b" " + name
    if not name or ending + b"\0" not in content:
        return None
    at = 0
    while (end := content.find(b"\0", at)) >= 0:
        # Names may have spaces, modes have not.
        if content.endswith(ending, at, end) and content[at:end].partition(b" ")[2] == name:
            return at
        at = end + 1 + HASH_BYTES
    return None


def find(content: bytes, name: bytes) -> tuple[bytes, bytes] | None:
    """Mode and hash of the entry of that name; None if there is none.

    Raises:
        ValueError: it is no tree.
    """
    at = place(content, name)
    if at is None:
        return None
    mode, _, oid = next(entries(content, at))
    return mode, oid


def find_all(content: bytes, names: Collection[bytes]) -> dict[bytes, tuple[bytes, bytes]]:
    """Mode and hash of those of some names that a tree has.

    Raises:
        ValueError: it is no tree.
    """
    if len(names) <= _FEW:
        return {name: found for name in names if (found := find(content, name)) is not None}
    wanted = frozenset(names)
    return {name: (mode, oid) for mode, name, oid in entries(content) if name in wanted}


def edited(content: bytes, changes: Changes) -> bytes:
    """A tree with some entries added, replaced or removed, in git's order; none of them is looked up anywhere.

    Raises:
        ValueError: the old one is no tree.
        HubPathError: git would have nothing of that name.
    """
    found = _ENTRY.findall(content)
    # By what they are sorted by.
    kept: dict[bytes, bytes] = {
        name if mode == _PLAIN else _sorted_by(name, mode.lstrip(b"0")): raw for raw, mode, name in found
    }
    if len(kept) != len(found) or b"" in kept:
        raise ValueError("no tree of git: something is no entry, or there twice")
    for name, new in changes.items():
        kept.pop(name, None)
        kept.pop(name + b"/", None)
        if new is not None:
            mode, oid = new
            kept[_sorted_by(name, mode)] = _entry(mode, name, oid)
    return b"".join([kept[key] for key in sorted(kept)])


def _sorted_by(name: bytes, mode: bytes) -> bytes:
    return name + b"/" if mode == FOLDER else name


def _entry(mode: bytes, name: bytes, oid: bytes) -> bytes:
    if _IMPOSSIBLE.fullmatch(name):
        raise HubPathError(f"{name!r:.100} is no name for a file or a folder")
    return mode + b" " + name + b"\0" + oid


def _no_tree(at: int) -> ValueError:
    return ValueError(f"no tree of git: what stands at byte {at} is no entry")
