"""A Hub on 127.0.0.1 that speaks as much of the Hugging Face protocol as a download needs, and misbehaves on request.

Knows repositories as files in memory, at commits that branches point to. Refuses to store anything.
"""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".onnx", ".bin")


def files_of(folder: Path) -> dict[str, bytes]:
    """A folder's files by their path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def etag(name: str, content: bytes) -> str:
    """What the Hub calls a file: large ones by sha256, small ones as git does."""
    if name.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """One model repository."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    token: str | None = None

    def resolve(self, revision: str) -> str | None:
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    authorization: str | None


class FakeHub:
    """The server; a context manager.

    Attributes:
        requests: everything that was asked, in order.
        cut: file names whose answer breaks off after so many bytes, each time.
        held: file names whose answer stops after its first half until `release` is set.
        reached: set when a held answer has come to its stop.
        pages: other answers by their path, such as those of a package index: content type and content.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self.cut: dict[str, int] = {}
        self.held: set[str] = set()
        self.pages: dict[str, tuple[str, bytes]] = {}
        self.reached = threading.Event()
        self.release = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.01))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def publish(self, id: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Commit these files to a branch; returns the commit."""
        listing = json.dumps({name: etag(name, content) for name, content in files.items()}, sort_keys=True)
        commit = hashlib.sha1(listing.encode()).hexdigest()
        repository = self.repositories.setdefault(id, Repository())
        repository.commits[commit] = dict(files)
        repository.branches[branch] = commit
        return commit

    def downloads(self) -> list[str]:
        """The names of the files that were fetched, in order."""
        return [
            request.path.split("/resolve/")[1].partition("/")[2]
            for request in self.requests
            if request.method == "GET" and "/resolve/" in request.path
        ]

    def __enter__(self) -> "FakeHub":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(Request(self.command, path, self.headers.get("Authorization")))
        if path in self.hub.pages:
            kind, content = self.hub.pages[path]
            return self._send(path.rpartition("/")[2], content, {"Content-Type": kind})
        parts = path.strip("/").split("/")
        is_api = parts[:2] == ["api", "models"]
        parts = parts[2:] if is_api else parts
        for length in (2, 1):
            repository = self.hub.repositories.get("/".join(parts[:length]))
            if repository is not None:
                return self._repository(repository, "/".join(parts[:length]), parts[length:], is_api)
        return self._error(404, "RepoNotFound", "Repository not found")

    def _repository(self, repository: Repository, id: str, rest: list[str], is_api: bool) -> None:
        if repository.token is not None and self.headers.get("Authorization") != f"Bearer {repository.token}":
            return self._error(401, "RepoNotFound", "Invalid username or password.")
        revision = rest[1] if len(rest) > 1 else "main"
        commit = repository.resolve(revision)
        if commit is None:
            return self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        files = repository.commits[commit]
        if is_api and rest[:1] == ["tree"]:
            return self._json([_tree_entry(name, content) for name, content in files.items()])
        if is_api:
            return self._json({"id": id, "sha": commit, "siblings": [{"rfilename": name} for name in files]})
        name = "/".join(rest[2:])
        if name not in files:
            return self._error(404, "EntryNotFound", f"{name} does not exist", commit)
        return self._file(name, files[name], commit)

    def _file(self, name: str, content: bytes, commit: str) -> None:
        headers = {"ETag": f'"{etag(name, content)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if name.endswith(LARGE):
            headers |= {"X-Linked-Size": str(len(content)), "X-Linked-Etag": headers["ETag"]}
        self._send(name, content, headers)

    def _send(self, name: str, content: bytes, headers: dict[str, str]) -> None:
        first = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if first else 200)
        for key, value in headers.items():
            self.send_header(key, value)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        if self.command == "HEAD":
            return
        end = self.hub.cut.get(name, len(content))
        try:
            if name in self.hub.held:
                half = (first + end) // 2
                self.wfile.write(content[first:half])
                self.hub.reached.set()
                self.hub.release.wait(20)
                first = half
            self.wfile.write(content[first:end])
        except (BrokenPipeError, ConnectionResetError):
            # The client was killed meanwhile, which is what some tests are about.
            self.close_connection = True

    def _json(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _error(self, status: int, code: str, message: str, commit: str | None = None) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        if commit is not None:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _tree_entry(name: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": etag(name, content)[:40]}
    if name.endswith(LARGE):
        entry["lfs"] = {"oid": etag(name, content), "size": len(content), "pointerSize": 130}
    return entry
