"""What the Hub is measured beside: nginx with a folder, and git's own `http-backend` behind it.

Knows how they are started, on this machine only, with everything they write in a folder of ours.
"""

import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_BACKEND = Path("/usr/lib/git-core/git-http-backend")

_CONFIG = """
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    fastcgi_temp_path {folder}/fastcgi;
    proxy_temp_path {folder}/proxy;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""

_FILES = "location / {{ root {folder}; }}"
_GIT = """location / {{
            fastcgi_pass unix:{folder}/fcgi.sock;
            fastcgi_param SCRIPT_FILENAME {backend};
            fastcgi_param GIT_PROJECT_ROOT {folder}/bare;
            fastcgi_param GIT_HTTP_EXPORT_ALL 1;
            fastcgi_param REMOTE_USER bench;
            fastcgi_param PATH_INFO $uri;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
        }}"""


class Nginx:
    """Plain files of a folder. As a context it is ended at the end."""

    location = _FILES

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # nginx's workers are another user's.
        folder.chmod(0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        location = self.location.format(folder=folder, backend=_BACKEND)
        config = folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=folder, port=port, location=location))
        words = ["nginx", "-e", str(folder / "nginx.log"), "-p", str(folder), "-c", str(config)]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for(port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)


class GitServer(Nginx):
    """Bare repositories of a folder, over `git http-backend`."""

    location = _GIT

    def __init__(self, folder: Path) -> None:
        words = ["fcgiwrap", "-c", "2", "-s", f"unix:{folder / 'fcgi.sock'}"]
        self._gateway = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (folder / "fcgi.sock").exists():
            time.sleep(0.02)
        (folder / "fcgi.sock").chmod(0o666)
        super().__init__(folder)

    def new_repository(self, name: str) -> str:
        """The address of a new, empty repository, as careful with its files as the Hub's are."""
        path = self.folder / "bare" / f"{name}.git"
        subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
        for setting in (("http.receivepack", "true"), ("core.fsync", "all"), ("receive.fsckObjects", "true")):
            subprocess.run(["git", "-C", str(path), "config", *setting], check=True)
        return f"{self.url}/{name}.git"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._gateway.terminate()
        self._gateway.wait(30)


def missing_peers() -> str:
    """What has to be installed first, as one line; empty when nothing."""
    absent = [name for name in ("nginx", "fcgiwrap", "git") if not shutil.which(name)]
    return f"apt-get install {' '.join(absent)}" if absent else ""


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("nginx did not start; its log lies in the folder of this run")
