"""A repository as clients are told of it: what is known of it, its card, its files."""

from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from embedhub.errors import HubContentError, HubError
from embedhub.hub.cards import read_card, tags_of
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository
from embedhub.hub.trees import Entry
from embedhub.server.hub.exchange import moment

_CARD = "README.md"

# Files of one repository that are told at once; more come by pages of its tree.
_MOST_FILES = 250_000

# Cards by git's hash of their text: it never means anything else, and a list asks for many.
_cards: dict[str, dict[str, Any]] = {}
_MOST_CARDS = 2_000

# What the presence of a file says of a model, the first that fits.
_LIBRARIES = (("modules.json", "sentence-transformers"), ("config.json", "transformers"))

_WEIGHTS = (".safetensors", ".onnx")


@dataclass(frozen=True)
class Description:
    """What there is to say of a repository at one commit.

    Attributes:
        hub: where it lies.
        repository: which.
        commit: hash; empty if there is none.
        modified: when that was made, in seconds since 1970.
        card: the head of its README.md; empty if that is broken.
        library: that a model is used with.
    """

    hub: Hub
    repository: Repository
    commit: str
    modified: float
    card: dict[str, Any]
    library: str

    @cached_property
    def tags(self) -> list[str]:
        """What it is found by."""
        found = tags_of(self.card, str(self.repository.kind))
        if self.repository.kind is Kind.MODEL and self.library:
            found.append(self.library)
        if self.repository.gated:
            found.append("gated")
        return list(dict.fromkeys(found))

    @property
    def pipeline_tag(self) -> str | None:
        """The task of a model."""
        said = self.card.get("pipeline_tag")
        if isinstance(said, str):
            return said
        return "feature-extraction" if self.library == "sentence-transformers" else None

    def fields(self, *, blobs: bool = False, long: bool = True) -> dict[str, Any]:
        """All fields.

        Args:
            blobs: whether files are told with their sizes and hashes.
            long: whether files and the card are told at all.

        Raises:
            HubContentError: there are more files than can be told at once.
        """
        repository = self.repository
        told: dict[str, Any] = {
            "_id": repository.uuid[:24],
            "id": repository.id,
            "author": repository.namespace,
            "sha": self.commit or None,
            "lastModified": moment(self.modified),
            "createdAt": moment(repository.created_at),
            "private": repository.private,
            "visibility": repository.visibility,
            "gated": repository.gated or False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "trendingScore": 0,
            "tags": self.tags,
            "xetEnabled": True,
        }
        if repository.kind is Kind.MODEL:
            told |= {"modelId": repository.id, "pipeline_tag": self.pipeline_tag, "library_name": self.library or None}
        elif repository.kind is Kind.DATASET:
            description = self.card.get("pretty_name")
            told["description"] = description if isinstance(description, str) else ""
        else:
            told |= {"sdk": repository.sdk or None, "subdomain": repository.id.replace("/", "-").lower()}
        return told | self._long(blobs=blobs) if long else told

    def _long(self, *, blobs: bool) -> dict[str, Any]:
        files = self._files(blobs=blobs)
        told: dict[str, Any] = {
            "siblings": files,
            "usedStorage": sum(self.hub.holdings.of(self.repository.uuid).values()),
            "securityRepoStatus": {"scansDone": False, "filesWithIssues": []},
        }
        if self.card:
            told["cardData"] = self.card
        if self.repository.kind is Kind.MODEL:
            told["inferenceProviderMapping"] = self._providers([file["rfilename"] for file in files])
        return told

    def _files(self, *, blobs: bool) -> list[dict[str, Any]]:
        if not self.commit:
            return []
        with self.hub.open(self.repository) as git:
            if blobs:
                files = [_sibling(entry) for entry in islice(git.files(self.commit), _MOST_FILES + 1)]
            else:
                files = [{"rfilename": path} for path in islice(git.paths(self.commit), _MOST_FILES + 1)]
        if len(files) > _MOST_FILES:
            raise HubContentError(
                f"{self.repository.id} has more than {_MOST_FILES} files: ask for what you need with `expand`, and for "
                "files with /tree"
            )
        return files

    def _providers(self, paths: list[str]) -> list[dict[str, Any]]:
        """Whether a model can be used here at once, and for what, as the clients of the Inference API ask."""
        task = self.pipeline_tag
        if task is None or "config.json" not in paths or not any(path.endswith(_WEIGHTS) for path in paths):
            return []
        id = self.repository.id
        return [{"provider": "hf-inference", "hf_model_id": id, "providerId": id, "status": "live", "task": task}]


def describe(hub: Hub, repository: Repository, revision: str = "") -> Description:
    """A repository at a revision; without one at its main branch, or as it is if that is not there.

    Raises:
        RevisionNotFoundError: there is no such revision.
    """
    try:
        with hub.open(repository) as git:
            commit = git.resolve(revision or "main")
            return Description(
                hub,
                repository,
                commit,
                git.read_commit(commit).date,
                _card(git.entry(commit, _CARD), lambda: git.read_text(commit, _CARD)),
                next((library for name, library in _LIBRARIES if git.entry(commit, name) is not None), ""),
            )
    except HubError:
        if revision:
            raise
        # One that is damaged, or about to be removed, must not keep others from being listed.
        return Description(hub, repository, "", repository.created_at, {}, "")


def _card(entry: Entry | None, read: Any) -> dict[str, Any]:
    if entry is None or entry.is_folder:
        return {}
    known = _cards.get(entry.oid)
    if known is None:
        try:
            known = read_card(read())
        except HubContentError:
            known = {}
        if len(_cards) >= _MOST_CARDS:
            _cards.clear()
        _cards[entry.oid] = known
    return known


def _sibling(entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = {"rfilename": entry.path, "size": entry.size, "blobId": entry.oid}
    if entry.pointer is not None:
        pointer = entry.pointer
        told["lfs"] = {"sha256": pointer.sha256, "size": pointer.size, "pointerSize": entry.pointer_size}
    return told
