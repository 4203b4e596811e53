"""The fixtures that huggingface_hub 2.4's tests ask for: a client, repositories that go when the test does, Xet."""

from collections.abc import Iterator
from typing import Any, Protocol
from uuid import uuid4

import pytest
from gate_accounts import ENDPOINT, HUB_USER, token_of
from huggingface_hub import HfApi, RepoUrl, constants


class RepoFactory(Protocol):
    """Makes a repository of the test's own."""

    def __call__(self, repo_type: str = "model", **choices: Any) -> RepoUrl:
        """Choices are those of `HfApi.create_repo`; without a `repo_id` it gets a name nobody has."""


@pytest.fixture(scope="session")
def api() -> HfApi:
    """A client with the token of the suite's user."""
    return HfApi(endpoint=ENDPOINT, token=token_of(HUB_USER))


@pytest.fixture
def repo_factory(api: HfApi) -> Iterator[RepoFactory]:
    """Makes repositories; deletes them, by whatever name they then have, after the test."""
    made: list[tuple[RepoUrl, str | None]] = []

    def make(repo_type: str = "model", **choices: Any) -> RepoUrl:
        choices.setdefault("repo_id", f"{repo_type}-{uuid4().hex}")
        if repo_type == "space":
            choices.setdefault("space_sdk", "static")
        url = api.create_repo(repo_type=repo_type, **choices)
        made.append((url, choices.get("token")))
        return url

    yield make
    for url, token in made:
        api.delete_repo(url.repo_id, repo_type=url.repo_type, token=token, missing_ok=True)


@pytest.fixture(autouse=True)
def xet_mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test marked `xet` has it, whatever the run's environment says."""
    if request.node.get_closest_marker("xet"):
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
