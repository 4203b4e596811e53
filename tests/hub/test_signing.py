"""Signed claims: for one use, for a while, and for nobody who alters them."""

import stat
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedhub.errors import HubStorageError, SignatureError
from embedhub.hub.signing import Signer

SIGNER = Signer(b"s" * 32)
CLAIMS: dict[str, str | int] = {"repository": "0b5d7b9e", "sha256": "ab" * 32, "size": 12, "action": "upload"}


def test_what_was_signed_is_claimed() -> None:
    token = SIGNER.sign("lfs", CLAIMS, 60)
    assert SIGNER.verify(token, "lfs") == CLAIMS
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def test_a_token_is_for_one_use() -> None:
    token = SIGNER.sign("upload", CLAIMS, 60)
    for purpose in ("download", "xet", "upload\0", "", "Upload"):
        with pytest.raises(SignatureError, match="not valid for this"):
            SIGNER.verify(token, purpose)


def test_another_secret_signs_otherwise() -> None:
    with pytest.raises(SignatureError):
        Signer(b"t" * 32).verify(SIGNER.sign("lfs", CLAIMS, 60), "lfs")


def test_a_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    token = SIGNER.sign("lfs", CLAIMS, 60)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 58)
    assert SIGNER.verify(token, "lfs") == CLAIMS
    monkeypatch.setattr(time, "time", lambda: now + 61)
    with pytest.raises(SignatureError, match="has expired"):
        SIGNER.verify(token, "lfs")


def test_every_altered_character_is_noticed() -> None:
    token = SIGNER.sign("lfs", CLAIMS, 60)
    for place, character in enumerate(token):
        for other in "aA1.-":
            if other != character:
                with pytest.raises(SignatureError):
                    SIGNER.verify(token[:place] + other + token[place + 1 :], "lfs")


@given(st.one_of(st.text(), st.binary().map(lambda data: data.decode("latin-1")), st.text("abcDEF123-_.")))
def test_anything_else_is_refused_in_one_line(token: str) -> None:
    with pytest.raises(SignatureError) as raised:
        SIGNER.verify(token, "lfs")
    assert "\n" not in str(raised.value)


def test_tokens_are_bounded() -> None:
    with pytest.raises(SignatureError):
        SIGNER.verify("a" * 1_000_000 + ".b", "lfs")
    with pytest.raises(ValueError, match="too long"):
        SIGNER.sign("lfs", {"path": "a" * 3000}, 60)
    with pytest.raises(ValueError, match="can be guessed"):
        Signer(b"short")


def test_the_secret_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    token = Signer.of(home).sign("lfs", CLAIMS, 60)
    assert Signer.of(home).verify(token, "lfs") == CLAIMS
    (secret,) = home.iterdir()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(secret.read_bytes()) == 32
    with pytest.raises(SignatureError):
        Signer.of(tmp_path / "other").verify(token, "lfs")


def test_who_comes_at_once_gets_one_secret(tmp_path: Path) -> None:
    tokens: list[str] = []
    barrier = threading.Barrier(8)

    def sign() -> None:
        barrier.wait()
        tokens.append(Signer.of(tmp_path).sign("lfs", CLAIMS, 60))

    threads = [threading.Thread(target=sign) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(Signer.of(tmp_path).verify(token, "lfs") == CLAIMS for token in tokens)
    assert len(tokens) == 8
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_secret_is_one_line(tmp_path: Path) -> None:
    Signer.of(tmp_path)
    next(tmp_path.iterdir()).write_bytes(b"")
    with pytest.raises(HubStorageError, match="is damaged"):
        Signer.of(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HubStorageError):
        Signer.of(tmp_path / "file")
