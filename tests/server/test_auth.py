"""Who may ask: tokens, scopes, those without a token, web pages; as a client meets it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.server.processes import BODY, EMBED, Running, eventually, refused, running

from embedhub.config import Settings
from embedhub.errors import ForbiddenError, RateLimitedError, RequestError, UnauthorizedError
from embedhub.hub.accounts import DATABASE, Accounts
from embedhub.server.auth import Gate
from embedhub.server.headers import request_headers
from embedhub.server.origins import host_name, is_allowed, is_loopback

LOCAL = {"host": "127.0.0.1:8080"}

MakeGate = Callable[..., Gate]


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    return Accounts(tmp_path / DATABASE)


@pytest.fixture
def gate(tmp_path: Path) -> MakeGate:
    """Makes a gate with settings."""
    return lambda **named: Gate(Settings(home=tmp_path, **named))


def bearer(token: str) -> dict[str, str]:
    return LOCAL | {"authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[tuple[Running, str]]:
    """A server with a token to read."""
    folder = tmp_path_factory.mktemp("guarded")
    token, _ = Accounts(folder / "home" / DATABASE).create_token("alice", "read")
    with running(folder, tiny_folder) as server:
        yield server, token


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Running]:
    """A server without tokens."""
    with running(tmp_path_factory.mktemp("opened"), tiny_folder) as server:
        yield server


def test_without_tokens_this_machine_may_do_everything(gate: MakeGate) -> None:
    for host in ("127.0.0.1:8080", "localhost:1", "[::1]:8080", "LOCALHOST", "hub.localhost:80", "127.1.2.3", ""):
        assert gate().admit({"host": host} if host else {}, "admin").user == ""


def test_a_token_that_nobody_asked_for_is_no_matter(gate: MakeGate) -> None:
    assert gate().admit(bearer("sk-whatever a client insists on"), "write").account is None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "192.168.0.7", "localhost.evil.example"])
def test_a_name_that_was_bent_to_this_machine_is_refused(gate: MakeGate, host: str) -> None:
    with pytest.raises(ForbiddenError, match="not a name of this machine"):
        gate().admit({"host": host, "origin": f"http://{host}"}, "read")
    gate(allow_anonymous=True, host="0.0.0.0").admit({"host": host}, "read")
    gate().admit({"host": host}, "public")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "file://"])
def test_other_peoples_web_pages_are_refused_without_a_token(gate: MakeGate, origin: str) -> None:
    with pytest.raises(ForbiddenError, match="EMBEDHUB_CORS_ORIGINS"):
        gate().admit(LOCAL | {"origin": origin}, "read")
    gate(cors_origins=(origin,)).admit(LOCAL | {"origin": origin}, "read")
    gate(cors_origins=("*",)).admit(LOCAL | {"origin": origin}, "read")


def test_web_pages_of_this_machine_may_ask(gate: MakeGate) -> None:
    for origin in ("http://localhost:3000", "http://127.0.0.1:5173", "https://[::1]:1"):
        gate().admit(LOCAL | {"origin": origin}, "read")
    with pytest.raises(ForbiddenError):
        gate(cors_origins=("none",)).admit(LOCAL | {"origin": "http://localhost:3000"}, "read")
    gate(cors_origins=("none",)).admit(LOCAL | {"origin": "http://127.0.0.1:8080"}, "read")


def test_scopes_hold_those_before_them(gate: MakeGate, accounts: Accounts) -> None:
    tokens = {scope: accounts.create_token("alice", scope)[0] for scope in ("read", "write", "admin")}
    door = gate()
    for has, allowed in [("read", ["read"]), ("write", ["read", "write"]), ("admin", ["read", "write", "admin"])]:
        for needed in ("read", "write", "admin"):
            if needed in allowed:
                assert door.admit(bearer(tokens[has]), needed).user == "alice"
            else:
                with pytest.raises(ForbiddenError, match=f"allows {has}, this needs {needed}"):
                    door.admit(bearer(tokens[has]), needed)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic aGZfeDpoZl94", "hf_x", "Bearer hf_x", "Bearer " + "x" * 100_000, "Bearer \udcff"],
)
def test_what_is_no_token_is_refused(gate: MakeGate, accounts: Accounts, authorization: str) -> None:
    accounts.create_token("alice", "read")
    with pytest.raises(UnauthorizedError):
        gate().admit(LOCAL | {"authorization": authorization}, "read")


def test_how_bearer_is_written_is_no_matter(gate: MakeGate, accounts: Accounts) -> None:
    token, _ = accounts.create_token("alice", "read")
    for scheme in ("Bearer ", "bearer ", "BEARER  "):
        assert gate().admit({"authorization": scheme + token}, "read").user == "alice"


def test_an_expired_token_says_so(gate: MakeGate, accounts: Accounts) -> None:
    token, _ = accounts.create_token("alice", "read", 1e-9)
    with pytest.raises(UnauthorizedError, match="expired"):
        gate().admit(bearer(token), "read")


def test_anonymous_may_read_where_that_is_allowed(gate: MakeGate, accounts: Accounts) -> None:
    token, _ = accounts.create_token("alice", "write")
    door = gate(allow_anonymous=True)
    assert door.admit(LOCAL, "read").user == ""
    with pytest.raises(ForbiddenError, match="without a token"):
        door.admit(LOCAL, "write")
    assert door.admit(bearer(token), "write").user == "alice"
    # One who shows a token wants to be somebody.
    with pytest.raises(UnauthorizedError):
        door.admit(bearer("hf_mistyped"), "read")


def test_revoking_the_last_token_and_losing_the_file_open_nothing(gate: MakeGate, accounts: Accounts) -> None:
    _, account = accounts.create_token("alice", "read")
    door = gate()
    accounts.revoke(account.id)
    for now in (door, gate()):
        with pytest.raises(UnauthorizedError):
            now.admit(LOCAL, "read")
    for path in accounts.path.parent.glob("hub.sqlite*"):
        path.unlink()
    assert not eventually(lambda: not door.has_tokens, 0.7)


def test_a_file_damaged_while_it_serves_changes_nothing(
    gate: MakeGate, accounts: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    token, _ = accounts.create_token("alice", "read")
    accounts.close()
    door = gate()
    door.close()
    accounts.path.write_bytes(b"nothing" * 1000)
    assert eventually(lambda: door.has_tokens and "damaged" in caplog.text)
    assert door.admit(bearer(token), "read").user == "alice"


def test_the_rate_is_counted_for_each_token_and_address(gate: MakeGate, accounts: Accounts) -> None:
    few, _ = accounts.create_token("alice", "read", rate=2)
    many, _ = accounts.create_token("bob", "read", rate=0)
    door = gate(rate_limit=3, allow_anonymous=True)
    for headers, allowed in [(bearer(few), 2), (LOCAL, 3)]:
        for _ in range(allowed):
            door.admit(headers, "read", "10.0.0.1")
        with pytest.raises(RateLimitedError, match="EMBEDHUB_RATE_LIMIT") as told:
            door.admit(headers, "read", "10.0.0.1")
        assert told.value.retry_after in (20, 30)
    door.admit(LOCAL, "read", "10.0.0.2")
    for _ in range(50):
        door.admit(bearer(many), "read", "10.0.0.1")
        door.admit({}, "public", "10.0.0.1")


def test_one_network_of_ipv6_is_one_address(gate: MakeGate) -> None:
    door = gate(rate_limit=2)
    door.admit(LOCAL, "read", "2001:db8::1")
    door.admit(LOCAL, "read", "2001:db8::ffff:2")
    with pytest.raises(RateLimitedError):
        door.admit(LOCAL, "read", "2001:db8::3")
    door.admit(LOCAL, "read", "2001:db8:0:1::3")


def test_names_of_this_machine() -> None:
    for name in ("127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost.", "a.localhost"):
        assert is_loopback(name)
    for name in ("", "0.0.0.0", "::", "192.168.1.1", "localhost.example", "127.0.0.1.example", "127.1"):
        assert not is_loopback(name)
    assert is_allowed("https://hub.example", "hub.example", ("none",), guarded=False)
    assert not is_allowed("://", "", (), guarded=False)


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("localhost", "localhost"),
        ("localhost:", "localhost"),
        ("localhost:8080", "localhost"),
        ("[::1]:8080", "::1"),
        ("localhost:65536", ""),
        ("localhost:80.evil.example", ""),
        ("localhost:80@evil.example", ""),
        ("localhost:8080:8080", ""),
        ("localhost:-1", ""),
        ("localhost: 80", ""),
        ("[::1]evil.example", ""),
        ("[::1", ""),
        ("a@localhost", ""),
        ("localhost/x", ""),
        ("", ""),
    ],
)
def test_the_name_before_a_port_that_is_one(authority: str, name: str) -> None:
    assert host_name(authority) == name


def test_pages_whose_port_is_none_are_no_pages_of_this_machine(gate: MakeGate) -> None:
    with pytest.raises(ForbiddenError):
        gate().admit(LOCAL | {"origin": "http://localhost:80.evil.example"}, "read")
    with pytest.raises(ForbiddenError):
        gate().admit({"host": "localhost:80.evil.example"}, "read")


@pytest.mark.parametrize("name", [b"authorization", b"host", b"origin"])
def test_two_that_differ_of_what_judges_a_request_are_refused(name: bytes) -> None:
    with pytest.raises(RequestError, match=f"two different {name.decode()} headers"):
        request_headers([(name, b"a"), (b"x", b"y"), (name, b"b")])
    assert request_headers([(name, b"a"), (name, b"a"), (b"x", b"1"), (b"x", b"2")]) == {name.decode(): "a", "x": "2"}


def test_two_tokens_are_none(guarded: tuple[Running, str]) -> None:
    server, token = guarded
    for first, second in ((token, "hf_wrong"), ("hf_wrong", token)):
        headers = [("Authorization", f"Bearer {first}"), ("Authorization", f"Bearer {second}")]
        answer = httpx.post(server.address + EMBED, json=BODY, headers=headers)
        assert answer.status_code == 400
        assert "two different authorization headers" in answer.json()["error"]["message"]


def test_a_server_asks_for_a_token(guarded: tuple[Running, str]) -> None:
    server, token = guarded
    refusal = server.embed()
    assert refusal.status_code == 401
    assert refusal.headers["www-authenticate"] == "Bearer"
    assert refusal.json()["error"]["code"] == "invalid_api_key"
    assert "embedhub token create" in refusal.json()["error"]["message"]
    assert server.embed("hf_wrong").json()["error"]["message"] == "Invalid credentials in Authorization header"
    assert server.embed(token).status_code == 200
    assert "a token is needed" in server.told()


def test_a_server_learns_of_tokens_while_it_runs(guarded: tuple[Running, str]) -> None:
    server, _ = guarded
    token, account = server.accounts().create_token("bob", "read")
    assert eventually(lambda: server.embed(token).status_code == 200, 3)
    server.accounts().revoke(account.id)
    assert eventually(lambda: server.embed(token).status_code == 401, 3)


def test_the_first_token_closes_a_server_that_runs(tmp_path: Path, tiny_folder: Path) -> None:
    with running(tmp_path, tiny_folder) as server:
        assert server.embed().status_code == 200
        token, _ = server.accounts().create_token("alice", "read")
        assert "first token" not in server.told()
        assert eventually(lambda: server.embed().status_code == 401, 3)
        assert server.embed(token).status_code == 200
        assert server.told().count("the first token was made") == 1


def test_another_address_needs_a_token_or_leave(tmp_path: Path, tiny_folder: Path) -> None:
    told = refused(tmp_path, tiny_folder, "--host", "0.0.0.0")
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1
    assert "embedhub token create" in told.stderr
    assert "--allow-anonymous" in told.stderr
    assert "EMBEDHUB_ALLOW_ANONYMOUS" in told.stderr
    with running(tmp_path, tiny_folder, "--host", "0.0.0.0", "--allow-anonymous") as server:
        assert server.embed().status_code == 200
        assert "by anybody who reaches this address" in server.told()
    Accounts(tmp_path / "home" / DATABASE).create_token("alice", "read")
    with running(tmp_path, tiny_folder, "--host", "0.0.0.0") as server:
        assert server.embed().status_code == 401


def test_a_damaged_file_of_tokens_stops_the_start(tmp_path: Path, tiny_folder: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / DATABASE).write_bytes(b"nothing of the kind" * 100)
    told = refused(tmp_path, tiny_folder)
    assert told.returncode == 8
    assert told.stderr.count("\n") == 1
    assert "hub.sqlite is damaged" in told.stderr


def test_limits_tell_when_to_come_back(tmp_path: Path, tiny_folder: Path) -> None:
    with running(tmp_path, tiny_folder, "--rate-limit", "2") as server:
        answers = [server.embed() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 30
    assert answers[-1].json()["error"]["code"] == "rate_limit_exceeded"


def test_daily_tokens_survive_a_restart(tmp_path: Path, tiny_folder: Path) -> None:
    flags = ("--daily-tokens", "4")
    with running(tmp_path, tiny_folder, *flags) as server:
        assert server.embed().status_code == 200
        refusal = server.embed()
        assert refusal.status_code == 429
        assert int(refusal.headers["retry-after"]) <= 86_400
        assert server.stop() == 0
    with running(tmp_path, tiny_folder, *flags) as server:
        assert server.embed().status_code == 429


def test_a_browser_is_told_what_it_may(guarded: tuple[Running, str]) -> None:
    server, token = guarded
    origin = {"Origin": "https://page.example"}
    asked = origin | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
        "Access-Control-Request-Private-Network": "true",
    }
    preflight = httpx.options(server.address + EMBED, headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "https://page.example"
    assert preflight.headers["access-control-allow-headers"] == "authorization,content-type"
    assert preflight.headers["access-control-allow-private-network"] == "true"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in preflight.headers
    for answer in (server.embed(token, **origin), server.embed(**origin)):
        assert answer.headers["access-control-allow-origin"] == "https://page.example"
        assert answer.headers["access-control-expose-headers"] == "*"
        assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in server.embed(token).headers
    assert httpx.get(server.address + "/nowhere", headers=origin).headers["access-control-expose-headers"] == "*"


def test_without_tokens_a_page_from_elsewhere_gets_nothing(opened: Running) -> None:
    elsewhere = {"Origin": "https://page.example"}
    asked = elsewhere | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Private-Network": "true"}
    preflight = httpx.options(opened.address + EMBED, headers=asked)
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    # No preflight comes before a form's request, so that it must be refused itself.
    refusal = opened.embed(**elsewhere, **{"Content-Type": "text/plain"})
    assert refusal.status_code == 403
    assert "access-control-allow-origin" not in refusal.headers
    here = opened.embed(Origin="http://localhost:3000")
    assert here.status_code == 200
    assert here.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert opened.embed(Host="evil.example").status_code == 403


def test_options_is_answered_everywhere(opened: Running) -> None:
    for path in (EMBED, "/", "/health"):
        answer = httpx.options(opened.address + path)
        assert answer.status_code == 204
        assert "OPTIONS" in answer.headers["allow"]
