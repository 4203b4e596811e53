"""A server with the tiny model, and two people who push to it with the real client."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi, close_session
from tests.server.hub.hosts import Hosted, hosted
from tests.server.hub.place import Place, open_place
from tests.server.processes import Running, running

from embedhub import Model
from embedhub.datasets import BuildOptions, InputRequest
from embedhub.hub.accounts import DATABASE, Accounts
from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.runtime.embedding import EmbedRequest, embed_file

Embedded = Callable[..., Path]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Place]:
    """A server for all tests of the Hub's API; each makes repositories of its own."""
    with open_place(tmp_path_factory.mktemp("stage"), tiny_folder) as made:
        yield made


@pytest.fixture(scope="module")
def hosted_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    """A server without models that can be killed, and what it serves."""
    with hosted(tmp_path_factory.mktemp("hosted") / "in") as made:
        yield made


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps everything."""
    return tmp_path_factory.mktemp("hosting")


@pytest.fixture(scope="module")
def tokens(place: Path) -> dict[str, str]:
    """Tokens of alice and bob, there before the server looks."""
    (place / "home").mkdir()
    accounts = Accounts(place / "home" / DATABASE)
    made = {user: accounts.create_token(user, "write")[0] for user in ("alice", "bob")}
    accounts.close()
    return made


@pytest.fixture(scope="module")
def hosting(place: Path, tokens: dict[str, str], tiny_folder: Path) -> Iterator[Running]:
    """A server of this module's own."""
    del tokens
    with running(place, tiny_folder) as server:
        yield server


@pytest.fixture(scope="module")
def hub(hosting: Running) -> Iterator[Hub]:
    """The server's Hub, from within."""
    hub = Hub(hosting.home)
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def alice(hosting: Running, tokens: dict[str, str]) -> Iterator[HfApi]:
    """The real client, as alice."""
    yield HfApi(endpoint=hosting.address, token=tokens["alice"])
    close_session()


@pytest.fixture(scope="module")
def push(hub: Hub, alice: HfApi) -> Callable[[Kind, str, Path], str]:
    """Make a repository of alice's, if need be, and upload a folder to it; gives the commit."""

    def make(kind: Kind, id: str, folder: Path) -> str:
        if all(each.id != id for each in hub.repositories.all(kind)):
            hub.create(hub.actor("alice", "write"), kind, id)
        done = alice.upload_folder(repo_id=id, repo_type=str(kind), folder_path=folder, ignore_patterns=".embedhub/*")
        return str(done.oid)

    return make


@pytest.fixture(scope="module")
def as_alice(hosting: Running, tokens: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=hosting.address, timeout=60, headers={"authorization": f"Bearer {tokens['alice']}"}
    ) as client:
        yield client


@pytest.fixture(scope="module")
def as_bob(hosting: Running, tokens: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=hosting.address, timeout=60, headers={"authorization": f"Bearer {tokens['bob']}"}
    ) as client:
        yield client


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    """Embeds lines of a csv into a new folder: `embedded(model, lines, …options of the build)`."""

    def make(model: Model, lines: list[str], **options: object) -> Path:
        folder = tmp_path_factory.mktemp("embedded")
        (folder / "in.csv").write_text("\n".join(lines))
        request = EmbedRequest(
            InputRequest(folder / "in.csv", column="words"),
            folder / "out",
            BuildOptions(**options),  # type: ignore[arg-type]
        )
        embed_file(request, lambda: model)
        return folder / "out"

    return make
