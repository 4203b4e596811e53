"""Who changed a path last, for whoever asks for one page of paths after the other.

Walks back from a commit along first parents, and keeps where it stopped, so that the next page goes on from there.
Looks into folders on the way to what is asked for only, and only where they differ from one commit to the next. Knows
what `history` says of a commit, and gives the same answers. What is kept belongs to a commit in a repository's
folder, so that nothing of it ever changes; it is hashes and names, and bounded. No repository stays open.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Set
from pathlib import Path

import pygit2

from embedhub.hub import history
from embedhub.hub.history import Commit, as_commit
from embedhub.hub.tree_bytes import FOLDER, SUBMODULE, entries, find, raw_entries
from embedhub.hub.trees import is_plain, missing, read_tree, readable

# Walks that are kept, and how much of them all together: names, and versions of folders; some hundred bytes each.
_MOST_WALKS = 64
_MOST_KEPT = 400_000

# So many commits are walked before a look at whether that was enough.
_STRIDE = 16

# From which commit on, counted back from the first, a folder has that hash; None where it is not there.
_Version = tuple[int, bytes | None]

_walks: OrderedDict[tuple[Path, str], "_Walk"] = OrderedDict()
_walks_lock = threading.Lock()


def last_commits(
    repository: pygit2.Repository, folder: Path, commit: pygit2.Commit, paths: Iterable[str], most_commits: int
) -> dict[str, Commit]:
    """As `history.last_commits`, but what was found out for one call is not for the next.

    Args:
        repository: where the commits lie.
        folder: the repository's own.
        commit: to start from.
        paths: files and folders of it.
        most_commits: what did not change in so many is said to be of the last one looked at.

    Raises:
        HubError: a commit or a folder is missing or damaged.
    """
    asked = dict.fromkeys(paths)
    plain = [path for path in asked if is_plain(path)]
    walk = _walk_of(folder, commit)
    with walk.lock:
        found = walk.last_changes(repository, plain, most_commits)
    _make_room()
    # The rest is names that no one could read, and what grew beyond what may be kept.
    rest = [path for path in asked if path not in found]
    said = history.last_commits(repository, commit, rest, most_commits) if rest else {}
    commits = {oid: as_commit(_commit(repository, oid)) for oid in set(found.values())}
    return said | {path: commits[oid] for path, oid in found.items()}


def _walk_of(folder: Path, commit: pygit2.Commit) -> "_Walk":
    key = folder.absolute(), str(commit.id)
    with _walks_lock:
        walk = _walks.get(key)
        if walk is None:
            walk = _walks[key] = _Walk(commit)
        _walks.move_to_end(key)
    return walk


def _make_room() -> None:
    """Let go of the walks that were not used for longest. Whoever is on one of them just now goes on with it."""
    with _walks_lock:
        kept = sum(walk.kept for walk in _walks.values())
        while _walks and (kept > _MOST_KEPT or len(_walks) > _MOST_WALKS):
            kept -= _walks.popitem(last=False)[1].kept


class _Folder:
    """What is known of a folder's past.

    Attributes:
        versions: what it was, from the first commit back as far as the folder it lies in was walked.
        compared: how many of the versions were compared with the one before them.
        depth: how many commits were walked.
        changed: for each name the last commit that changed it, counted back from the first.
        folders: the versions of each folder in it that was changed, or asked for.
    """

    __slots__ = ("changed", "compared", "depth", "folders", "versions")

    def __init__(self, versions: list[_Version]) -> None:
        self.versions = versions
        self.compared = 0
        self.depth = 0
        self.changed: dict[bytes, int] = {}
        self.folders: dict[bytes, list[_Version]] = {}


class _Walk:
    """Back from a commit along first parents; one thread at a time, which holds the lock.

    Attributes:
        lock: see above.
        kept: how many names and versions it holds.
    """

    def __init__(self, commit: pygit2.Commit) -> None:
        self.lock = threading.Lock()
        self.kept = 0
        self._commits = [commit.id.raw]
        self._is_whole = False
        self._is_too_large = False
        self._top = _Folder([(0, commit.tree_id.raw)])
        self._folders: dict[str, _Folder] = {"": self._top}

    def last_changes(self, repository: pygit2.Repository, paths: Iterable[str], most_commits: int) -> dict[str, bytes]:
        """The hash of the commit that changed each path last; nothing, if there is more to it than may be kept."""
        if self._is_too_large:
            return {}
        names: dict[str, dict[bytes, str]] = {}
        for path in paths:
            within, _, name = path.rpartition("/")
            names.setdefault(within, {})[name.encode()] = path
        found: dict[str, bytes] = {}
        for within, asked in names.items():
            way = self._way(repository, within)
            folder = way[-1]
            if not self._has_room():
                return {}
            while folder.depth < most_commits and not self._ends(folder) and not asked.keys() <= folder.changed.keys():
                if not self._walk(repository, way, asked.keys()):
                    return {}
            for raw, path in asked.items():
                depth = min(folder.changed.get(raw, most_commits), most_commits)
                found[path] = self._commits[min(depth, len(self._commits) - 1)]
        return found

    def _ends(self, folder: _Folder) -> bool:
        return self._is_whole and folder.depth >= len(self._commits) - 1

    def _way(self, repository: pygit2.Repository, path: str) -> list[_Folder]:
        """The folders that lead to one, itself the last."""
        way = [self._top]
        parts = path.split("/") if path else []
        for number, name in enumerate(parts, 1):
            upto = "/".join(parts[:number])
            if upto not in self._folders:
                raw = name.encode()
                outer = way[-1]
                if raw not in outer.folders:
                    # It did not change as far as was walked.
                    outer.folders[raw] = [(0, _folder_in(repository, outer.versions[0][1], raw))]
                self._folders[upto] = _Folder(outer.folders[raw])
                self.kept += _weight(upto)
            way.append(self._folders[upto])
        return way

    def _walk(self, repository: pygit2.Repository, way: list[_Folder], wanted: Set[bytes]) -> bool:
        """Compare the versions of some folders, of which each lies in the one before it, a stride further.

        In the last one no further than to who changed what is wanted. Gives whether that may be kept.
        """
        depth = way[-1].depth + _STRIDE
        self._read_commits(repository, depth)
        for folder in way[:-1]:
            self._compare(repository, folder, depth, None)
        self._compare(repository, way[-1], depth, wanted)
        return self._has_room()

    def _has_room(self) -> bool:
        """Whether what is known may be kept; else it is forgotten, and nothing is kept from then on."""
        if self.kept > _MOST_KEPT:
            self._is_too_large = True
            self._folders.clear()
            self._commits.clear()
            self._top = _Folder([])
            self.kept = 0
        return not self._is_too_large

    def _read_commits(self, repository: pygit2.Repository, depth: int) -> None:
        while not self._is_whole and len(self._commits) <= depth:
            parents = _commit(repository, self._commits[-1]).parent_ids
            if not parents:
                self._is_whole = True
                return
            tree = _commit(repository, parents[0].raw).tree_id.raw
            if tree != self._top.versions[-1][1]:
                self._top.versions.append((len(self._commits), tree))
            self._commits.append(parents[0].raw)
            self.kept += 1

    def _compare(self, repository: pygit2.Repository, folder: _Folder, depth: int, wanted: Set[bytes] | None) -> None:
        later: list[bytes] | None = None
        while folder.compared + 1 < len(folder.versions):
            since, oid = folder.versions[folder.compared + 1]
            if since > depth:
                break
            if later is None:
                later = _entries(repository, folder.versions[folder.compared][1])
            earlier = _entries(repository, oid)
            self._note(folder, since, *_differences(later, earlier))
            folder.compared += 1
            later = earlier
            if wanted is not None and wanted <= folder.changed.keys():
                folder.depth = max(folder.depth, since)
                return
        folder.depth = max(folder.depth, depth)

    def _note(self, folder: _Folder, since: int, later: "_Entries", earlier: "_Entries") -> None:
        """What is different from a commit on, counted back, was changed by the one that came after it."""
        for name in later.keys() | earlier.keys():
            after, before = later.get(name), earlier.get(name)
            # Of a file that can only be run now, nobody changed the content.
            if (after and after[1]) == (before and before[1]):
                continue
            if name not in folder.changed:
                folder.changed[name] = since - 1
                self.kept += _weight(name)
            versions = [each[1] if each is not None and each[0] == FOLDER else None for each in (after, before)]
            if versions != [None, None]:
                folder.folders.setdefault(name, [(0, versions[0])]).append((since, versions[1]))
                self.kept += 1


def _weight(name: str | bytes) -> int:
    """How many names of usual length take as much memory."""
    return 1 + len(name) // 50


# Mode and hash of each name.
_Entries = dict[bytes, tuple[bytes, bytes]]


def _entries(repository: pygit2.Repository, tree: bytes | None) -> list[bytes]:
    """What lies in a folder, as it is written there."""
    if tree is None:
        return []
    content = read_tree(repository, tree)
    with readable(repository, tree):
        return raw_entries(content)


def _differences(later: list[bytes], earlier: list[bytes]) -> tuple[_Entries, _Entries]:
    """What is in one of two folders only."""
    if len(later) == len(earlier):
        # Most often the same names: the rest is few, and sets of all take longer than to look at each once.
        pairs = [pair for pair in zip(later, earlier, strict=True) if pair[0] != pair[1]]
        later, earlier = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    here, there = frozenset(later), frozenset(earlier)
    return _by_name(here - there), _by_name(there - here)


def _by_name(raw: Iterable[bytes]) -> _Entries:
    """Submodules are not there, as everywhere."""
    found = (entry for each in raw for entry in entries(each))
    return {name: (mode, oid) for mode, name, oid in found if mode != SUBMODULE}


def _folder_in(repository: pygit2.Repository, tree: bytes | None, name: bytes) -> bytes | None:
    if tree is None:
        return None
    content = read_tree(repository, tree)
    with readable(repository, tree):
        found = find(content, name)
    return found[1] if found is not None and found[0] == FOLDER else None


def _commit(repository: pygit2.Repository, oid: bytes) -> pygit2.Commit:
    try:
        return repository[pygit2.Oid(raw=oid)].peel(pygit2.Commit)
    except (KeyError, ValueError, pygit2.GitError) as error:
        raise missing(repository, oid) from error
