"""`hf auth login` without a token, approved on the server's machine."""

import subprocess
import sys

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _oauth_device as client
from tests.server.hub.place import Place
from tests.server.processes import surroundings

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def _approve(stage: Place, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "embedhub", "token", "approve", *words],
        capture_output=True,
        text=True,
        env=surroundings(stage.server.home, stage.server.home),
        timeout=60,
        check=False,
    )


def test_a_client_logs_in(stage: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", stage.server.address)
    told = client.request_device_code()
    assert told["verification_uri_complete"].startswith(f"{stage.server.address}/device?user_code=")
    result = _approve(stage, told["user_code"], "--user", "grace", "--expires", "30")
    assert (result.returncode, result.stdout.strip()) == (0, f"approved {told['user_code']} for grace (write)")
    answer = client.poll_device_token(told)
    assert stage.http(answer["access_token"]).get("/api/whoami-v2").json()["name"] == "grace"
    assert answer["expires_in"] == 30 * 86_400
    # The code is used up, for both sides.
    again = stage.http("").post("/oauth/token", data={"grant_type": GRANT, "device_code": told["device_code"]})
    assert (again.status_code, again.json()["error"]) == (400, "expired_token")
    result = _approve(stage, told["user_code"], "--user", "grace")
    assert result.returncode != 0
    assert "no client waits" in result.stderr


def test_waiting(stage: Place) -> None:
    http = stage.http("")
    told = http.post("/oauth/device", data={"client_id": "x"})
    assert told.headers["cache-control"] == "no-store"
    form = {"grant_type": GRANT, "device_code": told.json()["device_code"], "client_id": "x"}
    answers = [http.post("/oauth/token", data=form) for _ in range(2)]
    assert [(each.status_code, each.json()["error"]) for each in answers] == [
        (400, "authorization_pending"),
        (400, "slow_down"),
    ]
    assert answers[0].headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "unsupported_grant_type"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": GRANT}, "expired_token"),
        ({"grant_type": GRANT, "device_code": "x" * 10_000}, "expired_token"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
    ],
)
def test_what_gets_no_token(stage: Place, form: dict[str, str], error: str) -> None:
    response = stage.http("").post("/oauth/token", data=form)
    assert (response.status_code, response.json()["error"]) == (400, error)


def test_an_address_may_only_wait_so_often(stage: Place) -> None:
    # Last in this file: the waiting clients stay.
    answers = [stage.http("").post("/oauth/device", data={}).status_code for _ in range(12)]
    assert answers[-1] == 429
    assert answers.count(200) <= 10
