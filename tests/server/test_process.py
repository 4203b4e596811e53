"""The server as a process: how it starts, what stops it, and what it leaves to others."""

import contextlib
import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from tests.server.processes import COMMAND, EMBED, Running, eventually, refused, running, surroundings

# Takes the tiny model a while.
LONG = json.dumps({"input": [f"that it was the one {number}" for number in range(20_000)]}).encode()


def working(server: Running) -> socket.socket:
    """A connection on which the server has begun to compute."""
    connection = server.connect()
    head = f"POST {EMBED} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(LONG)}\r\nx-use-cache: false\r\n\r\n"
    connection.sendall(head.encode() + LONG)
    before = _cpu_ticks(server)
    assert eventually(lambda: _cpu_ticks(server) > before + 10)
    return connection


def _cpu_ticks(server: Running) -> int:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_what_has_begun_is_finished(tmp_path: Path, tiny_folder: Path, signum: int) -> None:
    with running(tmp_path, tiny_folder) as server, working(server) as connection, server.connect() as idle:
        server.process.send_signal(signum)
        assert eventually(lambda: "stopping" in server.told())
        assert idle.recv(1) == b""
        assert eventually(lambda: _refuses(server))
        received = b""
        while part := connection.recv(1 << 20):
            received += part
        assert received.startswith(b"HTTP/1.1 200 ")
        assert len(json.loads(received.partition(b"\r\n\r\n")[2])["data"]) == 20_000
        assert server.process.wait(timeout=30) == 0
        assert "Traceback" not in server.told()


def _refuses(server: Running) -> bool:
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_the_grace_has_an_end(tmp_path: Path, tiny_folder: Path) -> None:
    with (
        running(tmp_path, tiny_folder, "--grace-seconds", "1", "--body-seconds", "600") as server,
        server.connect() as connection,
    ):
        connection.sendall(f"POST {EMBED} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n".encode())
        assert server.embed().status_code == 200
        assert server.stop() == 0
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 503 ")
        assert "Traceback" not in server.told()


def test_the_second_signal_ends_at_once(tmp_path: Path, tiny_folder: Path) -> None:
    with running(tmp_path, tiny_folder, "--grace-seconds", "600") as server, server.connect() as connection:
        connection.sendall(f"POST {EMBED} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n".encode())
        assert server.embed().status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: "stopping" in server.told())
        assert server.stop(signal.SIGINT) == 128 + signal.SIGINT


def test_a_signal_while_models_load_ends_at_once(tmp_path: Path, default_model: object) -> None:
    del default_model
    log = tmp_path / "log"
    with log.open("wb") as told:
        process = subprocess.Popen([*COMMAND, "--port", "0"], stderr=told, cwd=tmp_path)
    try:
        assert eventually(lambda: b"loading" in log.read_bytes(), 30)
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        assert process.wait(timeout=30) == 0
        assert time.monotonic() - begun < 20
        assert b"Traceback" not in log.read_bytes()
    finally:
        process.kill()
        process.wait()


def test_it_tells_where_it_listens_what_it_serves_and_who_may_ask(tmp_path: Path, tiny_folder: Path) -> None:
    with running(tmp_path, tiny_folder) as server:
        assert eventually(lambda: "serves" in server.told())
        assert f"listening on http://127.0.0.1:{server.port}" in server.told()
        assert f"serves {tiny_folder}; no token is needed on this machine" in server.told()


def test_a_busy_port_is_one_line(tmp_path: Path, tiny_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        told = refused(tmp_path, tiny_folder, "--port", str(port))
    assert told.returncode == 2
    assert told.stderr == f"error: port {port} of 127.0.0.1 is in use: end what uses it, or set another with --port\n"


def test_an_address_of_another_machine_is_one_line(tmp_path: Path, tiny_folder: Path) -> None:
    for host in ("192.0.2.1", "no.such.name.invalid", "x" * 300):
        told = refused(tmp_path, tiny_folder, "--host", host, "--allow-anonymous")
        assert told.returncode == 2
        assert told.stderr.count("\n") == 1
        assert "--host" in told.stderr


def test_a_model_that_is_not_there_is_one_line(tmp_path: Path, tiny_folder: Path) -> None:
    told = refused(tmp_path, tiny_folder, "--model", "nobody/nothing")
    assert told.returncode == 4
    assert told.stderr.startswith("error: model nobody/nothing ")
    assert told.stderr.count("\n") == 1


def test_aliases_without_a_model_are_told_at_the_start_and_when_asked_for(tmp_path: Path, tiny_folder: Path) -> None:
    aliases = f"small=nobody/nothing,fine={tiny_folder}"
    with running(tmp_path, tiny_folder, EMBEDHUB_MODEL_ALIASES=aliases) as server:
        assert eventually(lambda: "small stands for nobody/nothing (EMBEDHUB_MODEL_ALIASES)" in server.told())
        assert "fine stands" not in server.told()
        for path, body in ((EMBED, {"input": "a", "model": "small"}), ("/models/small", {"inputs": "a"})):
            refusal = httpx.post(server.address + path, json=body, timeout=30)
            assert refusal.status_code == 404
            assert "small stands for nobody/nothing" in refusal.text
        assert httpx.post(server.address + EMBED, json={"input": "a", "model": "fine"}, timeout=30).status_code == 200


def test_several_models_come_from_a_variable_or_a_file(tmp_path: Path, tiny_folder: Path) -> None:
    other = tmp_path / "other"
    other.symlink_to(tiny_folder)
    (tmp_path / "server.toml").write_text(f'models = ["{other}", "{tiny_folder}"]')
    for given in ({"EMBEDHUB_MODELS": f"{other}, {tiny_folder}"}, {"EMBEDHUB_CONFIG": "server.toml"}):
        with running(tmp_path, tiny_folder, **given) as server:
            info = httpx.get(server.address + "/info").json()
            assert info["model_id"] == str(other)
            assert [each["model_id"] for each in info["models"]] == [str(other), str(tiny_folder)]


def test_debug_shows_where_it_went_wrong(tmp_path: Path, tiny_folder: Path) -> None:
    assert "Traceback" in refused(tmp_path, tiny_folder, "--model", "nobody/nothing", "--debug").stderr


def test_settings_come_from_flag_variable_dotenv_and_file_in_that_order(tmp_path: Path, tiny_folder: Path) -> None:
    (tmp_path / "server.toml").write_text("max_texts = 1\nmax_tokens = 5\nrate_limit = 3\ndaily_tokens = 16\n")
    (tmp_path / ".env").write_text("EMBEDHUB_MAX_TEXTS=2\nEMBEDHUB_MAX_TOKENS=6\nEMBEDHUB_RATE_LIMIT=4\n")
    flags = ("--config", "server.toml", "--max-texts", "4")
    with running(tmp_path, tiny_folder, *flags, EMBEDHUB_MAX_TEXTS="3", EMBEDHUB_MAX_TOKENS="1000") as server:

        def ask(count: int) -> httpx.Response:
            return httpx.post(server.address + EMBED, json={"input": ["the one"] * count})

        assert "4 are allowed (EMBEDHUB_MAX_TEXTS)" in ask(5).text
        assert ask(4).status_code == 200
        assert "the 16 tokens a day" in ask(1).text


def test_a_wrong_key_in_the_file_is_one_line(tmp_path: Path, tiny_folder: Path) -> None:
    (tmp_path / "server.toml").write_text("prot = 8080\n")
    told = refused(tmp_path, tiny_folder, "--config", "server.toml")
    assert told.returncode == 2
    assert told.stderr == "error: server.toml: there is no setting prot; did you mean port?\n"


def test_flags_that_are_yes_or_no_take_no_value(tmp_path: Path, tiny_folder: Path) -> None:
    told = refused(tmp_path, tiny_folder, "--host", "0.0.0.0", "--no-allow-anonymous", EMBEDHUB_ALLOW_ANONYMOUS="1")
    assert told.returncode == 2
    assert "--allow-anonymous" in told.stderr


def test_two_servers_of_one_home_share_their_tokens(tmp_path: Path, tiny_folder: Path) -> None:
    (tmp_path / "second").mkdir()
    home = {"EMBEDHUB_HOME": str(tmp_path / "home")}
    with running(tmp_path, tiny_folder) as first, running(tmp_path / "second", tiny_folder, **home) as second:
        token, _ = first.accounts().create_token("alice", "read")
        for server in (first, second):
            assert eventually(lambda server=server: server.embed().status_code == 401)
            assert server.embed(token).status_code == 200


def test_more_connections_than_files_are_survived(tmp_path: Path, tiny_folder: Path) -> None:
    log = tmp_path / "log"
    limited = ["bash", "-c", 'ulimit -n 100 && exec "$@"', "limited", *COMMAND, "--port", "0", "--body-seconds", "1"]
    with log.open("wb") as told:
        process = subprocess.Popen(limited, stderr=told, env=surroundings(tmp_path / "home", tiny_folder), cwd=tmp_path)
    try:
        assert eventually(lambda: b"listening on " in log.read_bytes(), 60)
        port = int(log.read_text().partition("listening on http://127.0.0.1:")[2].split()[0])
        server = Running(process, log, tmp_path / "home", port)
        with contextlib.ExitStack() as stack:
            for _ in range(150):
                stack.enter_context(server.connect())
            # Who comes while there is no room is turned away; room there is once the idle ones are ended.
            assert eventually(lambda: _answers(server), 20)
        assert "Traceback" not in server.told()
    finally:
        process.kill()
        process.wait()


def _answers(server: Running) -> bool:
    try:
        return server.embed().status_code == 200
    except httpx.TransportError:
        return False
