"""A server that hosts, seen from outside with the real client and from inside; shared by the tests of its API.

alice and bob are users, acme is an organisation of alice (admin), carol (write), dan (contributor) and erin (read).
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from huggingface_hub import HfApi, close_session
from tests.server.processes import Running, running

from embedhub.hub.accounts import DATABASE, Account, Accounts
from embedhub.hub.git import MAIN
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository
from embedhub.hub.trees import FILE

MEMBERS = {"alice": "admin", "carol": "write", "dan": "contributor", "erin": "read"}
USERS = (*MEMBERS, "bob")


@dataclass
class Place:
    """The server, its Hub, and everybody's token."""

    server: Running
    hub: Hub
    tokens: Mapping[str, str]
    stack: ExitStack = field(default_factory=ExitStack)

    def api(self, user: str = "alice") -> HfApi:
        """The real client of a user; empty is nobody."""
        return HfApi(endpoint=self.server.address, token=self.tokens[user] if user else False)

    def accounts(self) -> dict[str, Account]:
        """An account of each user."""
        accounts = Accounts(self.server.home / DATABASE)
        found = {account.user: account for account in accounts.list_tokens() if account.scope == "write"}
        accounts.close()
        return found

    def http(self, user: str = "alice") -> httpx.Client:
        """A plain client with a user's token; empty has none, a token that is none of ours is sent as it is."""
        token = self.tokens.get(user, user)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        client = httpx.Client(base_url=self.server.address, headers=headers, timeout=60)
        return self.stack.enter_context(client)

    def make(
        self, id: str, files: Mapping[str, str] | None = None, kind: Kind = Kind.DATASET, visibility: str = "public"
    ) -> Repository:
        """A repository with a first commit that has these files, made from inside."""
        content = {path: text.encode() for path, text in (files or {}).items()}
        return self.hub.create(self.hub.actor("root", "admin"), kind, id, visibility=visibility, files=content)

    def commit(self, repository: Repository, files: Mapping[str, str | None], message: str = "more") -> str:
        """A commit on its main branch, made from inside."""
        with self.hub.change(repository) as git:
            head = git.resolve("main")
            top = git.entry(head, "")
            assert top is not None
            changes = {
                path: None if text is None else (git.write_blob(text.encode()), FILE) for path, text in files.items()
            }
            return git.commit(MAIN, git.edit_tree(top.oid, changes), [head], message, "alice", expected=head)


@contextmanager
def open_place(folder: Path, model: Path, store: Path | None = None, **variables: str) -> Iterator[Place]:
    """A server while the block runs; it finds models in a store too, if one is named."""
    home = folder / "home"
    home.mkdir()
    if store is not None:
        (home / "models").symlink_to(store)
    accounts = Accounts(home / DATABASE)
    tokens = {user: accounts.create_token(user, "write")[0] for user in USERS}
    tokens["reader"] = accounts.create_token("alice", "read")[0]
    tokens["admin"] = accounts.create_token("root", "admin")[0]
    accounts.close()
    hub = Hub(home)
    hub.organisations.create_organisation("acme", "The Acme Company")
    for user, role in MEMBERS.items():
        hub.organisations.add_member("acme", user, role)
    with ExitStack() as stack, running(folder, model, "--allow-anonymous", **variables) as server:
        stack.callback(close_session)
        stack.callback(hub.close)
        yield Place(server, hub, tokens | {"": ""}, stack)
