"""What a repository's references lead to, and which large files its objects name. Knows git's objects, all at once.

Refuses to change anything, and to guess: a reference or an object that cannot be read is an error, because whoever asks
wants to know what may be removed.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pygit2
from pygit2.enums import ObjectType

from embedhub.errors import HubError
from embedhub.hub.pointers import LONGEST_POINTER, Pointer, read_pointer


def tips(repository: pygit2.Repository) -> set[pygit2.Oid]:
    """What the references stand for.

    Raises:
        HubError: one cannot be read.
    """
    found = set()
    folder = Path(repository.path)
    try:
        references = list(repository.references.iterator())
        names = {reference.name for reference in references}
        for reference in references:
            found.add(pygit2.Oid(hex=str(reference.resolve().target)))
        for path in folder.glob("refs/**/*"):
            # libgit2 passes over those that it cannot read.
            name = str(path.relative_to(folder))
            if path.is_file() and path.suffix != ".lock" and name not in names and name not in repository.references:
                raise HubError(f"reference {name} is damaged")
    except (KeyError, ValueError, pygit2.GitError) as error:
        raise HubError(f"a reference cannot be read ({error})") from error
    return found


def reach(repository: pygit2.Repository, starts: Iterable[pygit2.Oid], found: set[bytes]) -> set[bytes]:
    """Add every object that some objects lead to, and they themselves; gives the set.

    Args:
        repository: where they lie.
        starts: hashes.
        found: hashes, as bytes, of objects that were reached before; what they lead to is among them.

    Raises:
        HubError: an object is missing, or cannot be read.
    """
    waiting = list(starts)
    while waiting:
        oid = waiting.pop()
        if oid.raw in found:
            continue
        try:
            made = repository[oid]
            waiting.extend(_next(made, found))
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise HubError(f"object {oid} is missing or cannot be read ({error})") from error
        found.add(oid.raw)
    return found


def _next(made: Any, found: set[bytes]) -> Iterator[pygit2.Oid]:
    if isinstance(made, pygit2.Commit):
        yield made.tree_id
        yield from made.parent_ids
    elif isinstance(made, pygit2.Tag):
        yield pygit2.Oid(hex=str(made.target))
    elif isinstance(made, pygit2.Tree):
        for item in made:
            if isinstance(item, pygit2.Tree):
                yield item.id
            elif isinstance(item, pygit2.Blob):
                # Nothing lies behind it, so it is not opened; who wants to know whether it is there asks by itself.
                found.add(item.id.raw)


def objects(repository: pygit2.Repository) -> Iterator[pygit2.Oid]:
    """Every object that is here, whether something leads to it or not."""
    return iter(repository)


def pointers(repository: pygit2.Repository, oids: Iterable[pygit2.Oid]) -> Iterator[tuple[pygit2.Oid, Pointer]]:
    """Those of some objects that stand for a large file.

    Raises:
        HubError: an object is missing, or cannot be read.
    """
    store = repository.odb
    for oid in oids:
        try:
            kind, size = store.read_header(oid)
            if kind != ObjectType.BLOB or size > LONGEST_POINTER:
                continue
            pointer = read_pointer(store.read(oid)[1])
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise HubError(f"object {oid} is missing or cannot be read ({error})") from error
        if pointer is not None:
            yield oid, pointer
