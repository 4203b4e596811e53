"""A server of the Hub with users and repositories, and requests as its clients send them."""

import base64
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.server.hub.hub_process import HubProcess, hub_process

from embedhub.hub.access import Actor
from embedhub.hub.accounts import DATABASE, Accounts
from embedhub.hub.check import check
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository

_NUMBERS = itertools.count()


@dataclass
class Hosted:
    """A running server, the Hub behind it, and tokens by user (`alice`, `bob`, `reader`: alice's that only reads)."""

    process: HubProcess
    hub: Hub
    tokens: Mapping[str, str]
    client: httpx.Client = field(repr=False)

    @property
    def address(self) -> str:
        return self.process.address

    def new(self, owner: str = "alice", visibility: str = "public") -> Repository:
        """An empty repository."""
        name = f"{owner}/data{next(_NUMBERS)}"
        return self.hub.create(Actor(owner, "write"), Kind.DATASET, name, visibility=visibility)

    def ask(self, method: str, path: str, user: str = "alice", **named: Any) -> httpx.Response:
        """A request of a user; of nobody if the name is empty."""
        headers = {"authorization": f"Bearer {self.tokens[user]}"} if user else {}
        return self.client.request(method, self.address + path, headers=headers | named.pop("headers", {}), **named)

    def commit(
        self, repository: Repository, *lines: Mapping[str, Any], user: str = "alice", **named: Any
    ) -> httpx.Response:
        """A commit of operations as lines of JSON."""
        path = f"/api/datasets/{repository.id}/commit/{named.pop('revision', 'main')}"
        header = {"key": "header", "value": {"summary": "a commit"} | named.pop("header", {})}
        body = "\n".join(json.dumps(line) for line in (header, *lines))
        return self.ask("POST", path, user, content=body, **named)

    def batch(
        self, repository: Repository, *contents: bytes, user: str = "alice", **named: Any
    ) -> list[dict[str, Any]]:
        """What LFS's batch says of uploads (or downloads) of contents."""
        objects = [{"oid": sha256_of(content), "size": len(content)} for content in contents]
        body = {"operation": "upload", "objects": objects, "transfers": ["basic", "multipart"]} | named
        answer = self.ask("POST", f"/datasets/{repository.id}.git/info/lfs/objects/batch", user, json=body)
        answer.raise_for_status()
        made: list[dict[str, Any]] = answer.json()["objects"]
        return made

    def upload(self, repository: Repository, content: bytes, user: str = "alice") -> None:
        """Send a large file by LFS, in one piece; no commit."""
        (told,) = self.batch(repository, content, user=user)
        if "actions" in told:
            self.client.put(told["actions"]["upload"]["href"], content=content).raise_for_status()

    def resolve(self, repository: Repository, path: str, user: str = "alice", **named: Any) -> httpx.Response:
        """Download a file."""
        method, revision = named.pop("method", "GET"), named.pop("revision", "main")
        return self.ask(method, f"/datasets/{repository.id}/resolve/{revision}/{path}", user, **named)

    def damage(self) -> list[str]:
        """What `hub check` says is damaged."""
        return [str(finding) for finding in check(self.hub, deep=True) if finding.is_damage]


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def small(path: str, content: bytes) -> dict[str, Any]:
    """An operation: a file that git keeps."""
    return {"key": "file", "value": {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}}


def large(path: str, content: bytes) -> dict[str, Any]:
    """An operation: a large file that was sent before."""
    return {
        "key": "lfsFile",
        "value": {"path": path, "algo": "sha256", "oid": sha256_of(content), "size": len(content)},
    }


@contextmanager
def hosted(folder: Path, **variables: str) -> Iterator[Hosted]:
    """A server while the block runs."""
    home = folder / "home"
    accounts = Accounts(home / DATABASE)
    tokens = {user: accounts.create_token(user, "write")[0] for user in ("alice", "bob")}
    tokens["reader"] = accounts.create_token("alice", "read")[0]
    accounts.close()
    hub = Hub(home)
    with hub_process(home, **variables) as process, httpx.Client(timeout=30) as client:
        yield Hosted(process, hub, tokens, client)
    hub.close()


@contextmanager
def beside(hosted: Hosted) -> Iterator[Hosted]:
    """A second server on the same home."""
    with hub_process(hosted.process.home) as process, httpx.Client(timeout=30) as client:
        yield Hosted(process, hosted.hub, hosted.tokens, client)
