"""git's own command against a server: clone, fetch, push, and what is refused."""

import base64
import gzip
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from tests.server.hub.git_commands import Git, clone, needs_git, refusal
from tests.server.processes import Running, eventually, running

from embedhub.config import Settings
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.repositories import Repository
from embedhub.server.auth import Gate
from embedhub.server.hub.layer import HubApp
from embedhub.server.hub.routes import ROUTES
from embedhub.server.web.layout import refuse_page

pytestmark = needs_git

USERS = ("ann", "bob")
# What is not asked for.
NONE: Any = None

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"


@dataclass
class Place:
    """A server with its Hub, seen from outside and from inside."""

    server: Running
    hub: Hub
    tokens: dict[str, str]
    count: int = 0

    def make(self, visibility: str = "public", kind: Kind = Kind.MODEL) -> Repository:
        """A repository of ann's."""
        self.count += 1
        return self.hub.create(self.hub.actor("ann", "write"), kind, f"ann/r{self.count}", visibility=visibility)

    def url(self, repository: Repository, user: str = "ann", suffix: str = "") -> str:
        """Its address for git, with that user's token; empty for none."""
        token = f"{user}:{self.tokens[user]}@" if user else ""
        return f"http://{token}127.0.0.1:{self.server.port}/{repository.kind.prefix}{repository.id}{suffix}"

    def head(self, repository: Repository, reference: str = "refs/heads/main") -> str | None:
        """Where a reference stands."""
        with self.hub.open(repository) as git:
            return git.target(reference)

    def processes(self) -> list[str]:
        """What the server has started and is at work."""
        found = subprocess.run(
            ["ps", "-o", "args=", "--ppid", str(self.server.process.pid)], capture_output=True, text=True, check=False
        )
        return found.stdout.splitlines()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("git")
    with running(folder, tiny_folder, "--allow-anonymous", EMBEDHUB_BODY_SECONDS="3") as server:
        tokens = {user: server.accounts().create_token(user, "write")[0] for user in USERS}
        tokens["reader"] = server.accounts().create_token("ann", "read")[0]
        hub = Hub(server.home)
        assert eventually(lambda: _knows(server, tokens["reader"]))
        yield Place(server, hub, tokens)
        hub.close()
        assert "Traceback" not in server.told()


def _knows(server: Running, token: str) -> bool:
    asked = httpx.get(f"{server.address}/api/whoami-v2", headers={"Authorization": f"Bearer {token}"})
    return asked.status_code == 200


@pytest.mark.parametrize(
    ("version", "kind", "suffix"), [("2", Kind.MODEL, ""), ("1", Kind.DATASET, ".git"), ("0", Kind.SPACE, "")]
)
def test_clone_push_and_pull(place: Place, tmp_path: Path, version: str, kind: Kind, suffix: str) -> None:
    repository = place.make(kind=kind)
    url = place.url(repository, suffix=suffix)
    one, two = tmp_path / "one", tmp_path / "two"
    version_flag = f"protocol.version={version}"
    first = clone(url, one, "-c", version_flag)
    second = clone(url, two, "-c", version_flag)
    made = first.commit({"a.txt": "one", "folder/b.txt": "two"})
    first("push", "origin", "main")
    assert place.head(repository) == made
    second("pull", "--quiet")
    assert second.head() == made
    assert (two / "folder/b.txt").read_text() == "two"
    second("push", "origin", "HEAD:refs/heads/side", "HEAD:refs/tags/v1")
    first("fetch", "--quiet", "--tags")
    assert first.head("v1") == first.head("origin/side") == made
    first("push", "origin", ":side", ":v1")
    assert place.head(repository, "refs/heads/side") is place.head(repository, "refs/tags/v1") is None


def test_anybody_reads_what_is_public(place: Place, tmp_path: Path) -> None:
    repository = place.make()
    cloned = clone(place.url(repository, user=""), tmp_path / "c")
    assert cloned.head() == place.head(repository)
    assert (tmp_path / "c" / ".gitattributes").is_file()
    shallow = clone(place.url(repository, "bob"), tmp_path / "s", "--depth=1", "--filter=blob:none")
    assert shallow.head() == place.head(repository)


def test_what_is_private_is_not_told_from_nothing(place: Place, tmp_path: Path) -> None:
    repository = place.make("private")
    assert clone(place.url(repository), tmp_path / "c").head() == place.head(repository)
    git = Git(tmp_path)
    for wrong in (place.url(repository, "bob"), place.url(repository, "bob").replace(repository.name, "nothing")):
        told = refusal(git("clone", wrong, "d", check=False)).replace(repository.name, "nothing")
        assert "remote: Model ann/nothing not found, or it is private" in told
    # Without a token git is told to ask for one, whatever there is.
    for path in (repository.id, "ann/nothing"):
        asked = httpx.get(f"{place.server.address}/{path}/info/refs?service=git-upload-pack")
        assert asked.status_code == 401
        assert asked.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(("user", "status"), [("bob", 403), ("reader", 403), ("", 401)])
def test_who_may_not_push_is_told_before_anything_is_sent(place: Place, tmp_path: Path, user: str, status: int) -> None:
    repository = place.make()
    before = place.head(repository)
    cloned = clone(place.url(repository, user="ann"), tmp_path / "c")
    cloned.commit({"a": "b"})
    assert refusal(cloned("push", place.url(repository, user), "main", check=False))
    headers = _basic(place.tokens[user]) if user else {}
    for method, path in (("GET", "info/refs?service=git-receive-pack"), ("POST", "git-receive-pack")):
        sent = {"content-type": "application/x-git-receive-pack-request"} | headers
        address = f"{place.server.address}/{repository.id}/{path}"
        assert httpx.request(method, address, headers=sent).status_code == status
    assert place.head(repository) == before


def _basic(token: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"any:{token}".encode()).decode()}


def _large(git: Git) -> list[str]:
    git.commit({"large.bin": b"1" * ((10 << 20) + 1)})
    return ["main"]


def _pointer(git: Git) -> list[str]:
    git.commit({"data/x.parquet": POINTER.format("a" * 64, 12)})
    return ["main"]


def _buried(git: Git) -> list[str]:
    git.commit({"gone.bin": POINTER.format("b" * 64, 12)})
    (git.folder / "gone.bin").unlink()
    git.commit({"a": "b"})
    return ["HEAD:refs/heads/elsewhere"]


def _moved_back(git: Git) -> list[str]:
    git("commit", "--amend", "--quiet", "--message", "another beginning")
    return ["+main"]


def _deleted(git: Git) -> list[str]:
    return [":main"]


def _elsewhere(git: Git) -> list[str]:
    return ["HEAD:refs/convert/parquet"]


def _head(git: Git) -> list[str]:
    return ["HEAD:refs/heads/HEAD"]


def _hash(git: Git) -> list[str]:
    return [f"HEAD:refs/heads/{'a' * 40}"]


def _pull_request(git: Git) -> list[str]:
    return ["HEAD:refs/pr/7"]


def _tagged_file(git: Git) -> list[str]:
    return [f"{git.head('HEAD:.gitattributes')}:refs/tags/file"]


def _named(name: str) -> Callable[[Git], list[str]]:
    """A push of a commit with a file of that name."""

    def prepare(git: Git) -> list[str]:
        return [f"{_written(git, name)}:refs/heads/main"]

    return prepare


def _written(git: Git, name: str) -> str:
    """A commit upon HEAD of a folder with a file of that name, as no command of git's would make it."""
    blob = bytes.fromhex(git.head("HEAD:.gitattributes"))
    raw = git.folder / ".git" / "raw"
    raw.write_bytes(b"100644 " + os.fsencode(name) + b"\0" + blob)
    tree = git("hash-object", "-t", "tree", "-w", "--literally", str(raw)).stdout.strip()
    return git("commit-tree", tree, "-p", "HEAD", "-m", "hostile").stdout.strip()


REFUSED: list[tuple[Callable[[Git], list[str]], str]] = [
    (_large, "large.bin has 10.0 MiB, more than 10: keep it with git lfs"),
    (_pointer, "LFS pointer pointed to a file that does not exist: data/x.parquet"),
    (_buried, "LFS pointer pointed to a file that does not exist: gone.bin"),
    (_moved_back, "main is not moved back"),
    (_deleted, "the branch main cannot be deleted"),
    (_elsewhere, "only branches (refs/heads/), tags (refs/tags/) and pull requests (refs/pr/)"),
    (_head, "is no name for a branch or tag"),
    (_hash, "is no name for a branch or tag"),
    (_pull_request, "there is no pull request refs/pr/7"),
    (_tagged_file, "refs/tags/file must stand for a commit"),
    (_named("a\\b"), "is no path for a file"),
    (_named("a\nb"), "is no path for a file"),
    (_named(os.fsdecode(b"a\xff")), "is no path for a file"),
    (_named(".GIT"), "hasDotgit"),
    (_named(".."), "hasDotdot"),
]


@pytest.fixture(scope="module")
def target(place: Place, tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, Git]:
    """A repository that no push changes, and a clone of it."""
    repository = place.make()
    return repository, clone(place.url(repository), tmp_path_factory.mktemp("target") / "c")


@pytest.mark.parametrize(("prepare", "told"), REFUSED)
def test_a_push_is_refused_whole(
    place: Place, target: tuple[Repository, Git], prepare: Callable[[Git], list[str]], told: str
) -> None:
    repository, cloned = target
    before = place.head(repository)
    cloned("reset", "--quiet", "--hard", "origin/main")
    what = prepare(cloned)
    said = refusal(cloned("push", "origin", *what, "HEAD~0:refs/heads/innocent", check=False))
    assert told in said
    with place.hub.open(repository) as git:
        assert [(each.name, each.commit) for each in git.references()] == [("refs/heads/main", before)]
        packs = git.folder / "objects" / "pack"
        assert not list(packs.glob("*.pack"))
        assert not list((git.folder / "objects").glob("*incoming*"))


def test_other_branches_may_be_moved_back(place: Place, tmp_path: Path) -> None:
    repository = place.make()
    cloned = clone(place.url(repository), tmp_path / "c")
    cloned.commit({"a": "b"})
    cloned("push", "origin", "HEAD:side")
    cloned("commit", "--amend", "--quiet", "--message", "better")
    assert "non-fast-forward" in refusal(cloned("push", "origin", "HEAD:side", check=False))
    cloned("push", "--force", "origin", "HEAD:side")
    assert place.head(repository, "refs/heads/side") == cloned.head()


def test_a_pointer_to_a_file_that_is_held_is_let_in(place: Place, tmp_path: Path) -> None:
    repository, other = place.make(), place.make()
    place.hub.holdings.link(repository.uuid, [("c" * 64, 12)])
    with place.hub.connections.write() as database:
        database.execute("UPDATE links SET linked_at = 0")
    cloned = clone(place.url(repository), tmp_path / "c")
    cloned.commit({"x.parquet": POINTER.format("c" * 64, 12)})
    # To know the checksum of somebody's file does not open it to another repository.
    assert "does not exist" in refusal(cloned("push", place.url(other), "main:new", check=False))
    cloned("push", "origin", "main")
    assert place.head(repository) == cloned.head()
    # Whoever removes what nothing refers to may not have seen this push.
    assert not place.hub.holdings.older_than(repository.uuid, 3600)
    cloned.commit({"y.parquet": POINTER.format("c" * 64, 13)})
    assert "the pointer says 13 bytes" in refusal(cloned("push", "origin", "main", check=False))


def test_the_author_of_a_pull_request_pushes_to_it_and_to_nothing_else(place: Place, tmp_path: Path) -> None:
    repository = place.make()
    cloned = clone(place.url(repository, "bob"), tmp_path / "c")
    base, bob = cloned.head(), place.hub.actor("bob", "write")
    with place.hub.change(repository) as git:
        made = place.hub.discussions.open_pull_request(git, repository, bob, "a change", "", base)
    cloned.commit({"new.txt": "from bob"})
    assert "you may not write to refs/heads/main" in refusal(cloned("push", "origin", "main", check=False))
    cloned("push", "origin", f"HEAD:{made.reference}")
    assert place.head(repository, made.reference) == cloned.head()
    assert place.head(repository) == base
    for what in (f"+HEAD~1:{made.reference}", f":{made.reference}"):
        assert "only grows" in refusal(cloned("push", "origin", what, check=False))
    place.hub.discussions.change_status(repository, bob, made.number, "closed")
    assert refusal(cloned("push", "origin", f"HEAD:{made.reference}", check=False))
    told = cloned("push", place.url(repository, "ann"), f"HEAD~0:{made.reference}", check=False)
    assert "up-to-date" in told.stderr


ROUNDS = 3


def test_pushes_and_commits_over_the_api_lose_nothing(place: Place, tmp_path: Path) -> None:
    repository = place.make()
    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(work, place, repository, tmp_path / "c") for work in (_pushes, _commits)]:
            done.result()
    head = place.head(repository)
    assert head is not None
    with place.hub.open(repository) as git:
        names = {entry.path for entry in git.files(head)} - {".gitattributes"}
        assert len(list(git.log(head))) >= 1 + ROUNDS * 4
    assert names == {f"pushed{n}" for n in range(ROUNDS)} | {f"api{n}" for n in range(ROUNDS * 3)}
    Git(place.hub.repositories.folder(repository))("fsck", "--strict", "--no-dangling")


def _pushes(place: Place, repository: Repository, folder: Path) -> None:
    cloned = clone(place.url(repository), folder)
    for number in range(ROUNDS):
        cloned.commit({f"pushed{number}": "x"})

        def once() -> bool:
            if cloned("push", "origin", "main", check=False).returncode == 0:
                return True
            cloned("pull", "--quiet", "--rebase")
            return False

        assert eventually(once, 60)


def _commits(place: Place, repository: Repository, folder: Path) -> None:
    del folder
    headers = {"Authorization": f"Bearer {place.tokens['ann']}", "content-type": "application/x-ndjson"}
    url = f"{place.server.address}/api/models/{repository.id}/commit/main"
    for number in range(ROUNDS * 3):
        lines = (
            '{"key":"header","value":{"summary":"over the API"}}\n'
            f'{{"key":"file","value":{{"path":"api{number}","content":"x"}}}}\n'
        )

        def once(lines: str = lines) -> bool:
            return httpx.post(url, content=lines, headers=headers, timeout=30).status_code == 200

        assert eventually(once, 60)


# -- the protocol by hand


def _ask(place: Place, repository: Repository, content: bytes, **headers: str) -> httpx.Response:
    sent = {"content-type": "application/x-git-upload-pack-request", **headers}
    return httpx.post(f"{place.server.address}/{repository.id}/git-upload-pack", content=content, headers=sent)


def _wants(place: Place, repository: Repository) -> bytes:
    want = f"want {place.head(repository)} side-band-64k\n"
    return f"{len(want) + 4:04x}{want}0000".encode() + b"0009done\n"


def test_a_body_may_be_compressed_and_chunked(place: Place) -> None:
    repository = place.make()
    plain = _wants(place, repository)
    for content, headers in (
        (plain, {}),
        (gzip.compress(plain), {"content-encoding": "gzip"}),
        (gzip.compress(plain), {"content-encoding": "x-gzip"}),
    ):
        for body in (content, iter([content[:10], content[10:]])):
            given = _ask(place, repository, body, **headers)  # type: ignore[arg-type]
            assert given.status_code == 200
            assert given.headers["content-type"] == "application/x-git-upload-pack-result"
            assert b"PACK" in given.content


def test_what_is_sent_falsely_is_refused_in_words(place: Place) -> None:
    repository = place.make()
    plain = _wants(place, repository)
    compressed = {"content-encoding": "gzip"}
    # git reads on for as long as that goes on.
    bomb = gzip.compress(plain.partition(b"0000")[0] * (1 << 19))
    for status, told, content, headers in (
        (400, "br is not known", plain, {"content-encoding": "br"}),
        (400, "cannot be decompressed", plain, compressed),
        (400, "breaks off", gzip.compress(plain)[:-9], compressed),
        (413, "EMBEDHUB_MAX_BODY_MB", bomb, compressed),
        (400, "git does not understand", bytes(1 << 20), {}),
        (400, "this address is for git", plain, {"content-type": "text/plain"}),
    ):
        given = _ask(place, repository, content, **headers)
        assert (given.status_code, told in given.text) == (status, True), given.text
        assert given.headers["content-type"].startswith("text/plain")
    address = f"{place.server.address}/{repository.id}/info/refs"
    for service in ("", "?service=git-upload-archive", "?service=upload-pack", "?service=git-"):
        assert httpx.get(address + service).status_code == 403
    # Not for a shell, nor for an environment.
    odd = httpx.get(f"{address}?service=git-upload-pack", headers={"git-protocol": "version=2\t; x"})
    assert odd.content.startswith(b"001e# service=git-upload-pack\n0000")


def test_file_locks_are_not_offered(place: Place) -> None:
    repository = place.make()
    address = f"{place.server.address}/{repository.id}.git/info/lfs/locks/verify"
    asked = httpx.post(address, json={"ref": {"name": "refs/heads/main"}}, headers=_basic(place.tokens["ann"]))
    assert asked.status_code == 501


def test_a_push_that_is_too_large_is_refused_and_leaves_nothing(tiny_folder: Path, tmp_path: Path) -> None:
    with running(tmp_path, tiny_folder, EMBEDHUB_MAX_PUSH_MB="1") as server:
        tokens = {"ann": server.accounts().create_token("ann", "write")[0]}
        assert eventually(lambda: _knows(server, tokens["ann"]))
        place = Place(server, Hub(server.home), tokens)
        repository = place.make()
        before = place.head(repository)
        cloned = clone(place.url(repository), tmp_path / "c")
        cloned.commit({"a": os.urandom(2 << 20)})
        assert "exceeds maximum allowed size" in refusal(cloned("push", "origin", "main", check=False))
        assert place.head(repository) == before
        folder = place.hub.repositories.folder(repository)
        assert eventually(lambda: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1 << 20)
        place.hub.close()


def test_a_push_that_breaks_off_leaves_nothing(place: Place, tmp_path: Path) -> None:
    repository = place.make()
    before = place.head(repository)
    cloned = clone(place.url(repository), tmp_path / "c")
    cloned.commit({f"f{n}": os.urandom(1 << 20) for n in range(3)})
    pack = tmp_path / "pack"
    with pack.open("wb") as file:
        made = cloned.start("pack-objects", "--revs", "--stdout", "-q", stdin=subprocess.PIPE, stdout=file)
        made.communicate(f"{cloned.head()}\n^{before}\n".encode())
    line = f"{before} {cloned.head()} refs/heads/main\0report-status side-band-64k"
    body = f"{len(line) + 4:04x}{line}0000".encode() + pack.read_bytes()
    lines = [
        f"POST /{repository.id}/git-receive-pack HTTP/1.1",
        "Host: localhost",
        f"Authorization: {_basic(place.tokens['ann'])['Authorization']}",
        "Content-Type: application/x-git-receive-pack-request",
        f"Content-Length: {len(body)}",
    ]
    head = "\r\n".join([*lines, "", ""]).encode()
    with place.server.connect() as connection:
        connection.sendall(head + body[: len(body) // 2])
        assert eventually(lambda: any("receive-pack" in line for line in place.processes()))
    assert eventually(lambda: not place.processes())
    assert place.head(repository) == before
    folder = place.hub.repositories.folder(repository)
    assert not [path for path in (folder / "objects").iterdir() if "incoming" in path.name]
    assert not list(folder.rglob("*.lock"))
    # One that pauses for too long is told so, and ends as well; then the same push comes through.
    with place.server.connect() as connection:
        connection.sendall(head + body[: len(body) // 2])
        assert b" 408 " in connection.recv(1000)
    assert eventually(lambda: not place.processes())
    with place.server.connect() as connection:
        connection.sendall(head + body)
        assert eventually(lambda: place.head(repository) == cloned.head())


def test_a_large_push_takes_no_memory_and_a_fetch_ends_with_its_client(place: Place, tmp_path: Path) -> None:
    repository = place.make()
    cloned = clone(place.url(repository), tmp_path / "c")
    cloned("config", "core.compression", "0")
    cloned("config", "core.bigFileThreshold", "1m")
    cloned.commit({f"f{n}": os.urandom(5 << 20) for n in range(10)})
    before = _peak(place.server)
    cloned("push", "origin", "main")
    assert place.head(repository) == cloned.head()
    address = f"{place.server.address}/{repository.id}/git-upload-pack"
    headers = {"content-type": "application/x-git-upload-pack-request"}
    with httpx.stream("POST", address, content=_wants(place, repository), headers=headers, timeout=60) as given:
        received = 0
        for piece in given.iter_raw():
            received += len(piece)
            if received > 10 << 20:
                assert any("upload-pack" in line for line in place.processes())
                # The client closes its connection.
                break
        assert received > 10 << 20
    assert eventually(lambda: not place.processes())
    assert _peak(place.server) - before < 25 << 20


def _peak(server: Running) -> int:
    """The most bytes that were ever resident."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def test_without_git_all_else_works(offline: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing_else(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    hub, gate = Hub(offline.home), Gate(offline)
    hub.create(hub.actor("ann", "admin"), Kind.MODEL, "ann/one")
    app = HubApp(
        nothing_else,
        routes=ROUTES,
        hub=hub,
        services=lambda identity: NONE,
        hosted=NONE,
        tables=NONE,
        maps=NONE,
        runner=NONE,
        gate=gate,
        config=offline,
        refuse_page=refuse_page,
    )
    monkeypatch.setattr("shutil.which", lambda name: None)
    client = TestClient(app, base_url="http://localhost")
    asked = client.get("/ann/one/info/refs?service=git-upload-pack")
    assert (asked.status_code, "no git command" in asked.text) == (501, True)
    assert client.get("/ann/one/resolve/main/.gitattributes").status_code == 200
    client.close()
    gate.close()
    hub.close()
