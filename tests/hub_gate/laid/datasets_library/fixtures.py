"""The fixtures that datasets' tests ask for: small files, a client, datasets that go when the test does."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from gate_accounts import DATASETS_USER, ENDPOINT, token_of
from huggingface_hub import HfApi
from PIL import Image

Temporary = Callable[..., AbstractContextManager[str]]


@pytest.fixture(scope="session")
def hf_token() -> str:
    """A token of the suite's user."""
    return token_of(DATASETS_USER)


@pytest.fixture(scope="session")
def hf_api() -> HfApi:
    """A client without a token: the tests hand theirs over."""
    return HfApi(endpoint=ENDPOINT)


@pytest.fixture
def ci_hub_config() -> None:
    """Asked for by tests that need the right server; every test here has it from its environment."""


@pytest.fixture
def set_ci_hub_access_token(hf_token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token as if a user had logged in; child processes know it too."""
    monkeypatch.setenv("HF_TOKEN", hf_token)


@pytest.fixture
def cleanup_repo(hf_api: HfApi, hf_token: str) -> Callable[[str], None]:
    """Deletes a dataset."""

    def clean(repo_id: str) -> None:
        hf_api.delete_repo(repo_id, token=hf_token, repo_type="dataset", missing_ok=True)

    return clean


@pytest.fixture
def temporary_repo(cleanup_repo: Callable[[str], None]) -> Temporary:
    """A name for a dataset, of the test's choice or nobody's yet; what is made under it is deleted after the block."""

    @contextmanager
    def temporary(repo_id: str | None = None) -> Iterator[str]:
        name = repo_id or f"{DATASETS_USER}/test-{uuid4().hex}"
        try:
            yield name
        finally:
            cleanup_repo(name)

    return temporary


@pytest.fixture
def temporary_bucket() -> None:
    """Buckets are not hosted here."""
    pytest.skip("buckets are not hosted")


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few lines of text."""
    path = tmp_path_factory.mktemp("texts") / "file.txt"
    path.write_text("".join(f"line {number}\n" for number in range(10)))
    return path


@pytest.fixture(scope="session")
def csv_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three columns, four rows."""
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    path.write_text("col_1,col_2,col_3\n" + "".join(f"{row},{row},{row}.0\n" for row in range(4)))
    return path


@pytest.fixture(scope="session", autouse=True)
def picture() -> None:
    """The picture that tests look for beside themselves."""
    path = Path(__file__).parent / "features" / "data" / "test_image_rgb.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").convert("RGB").resize((64, 48)).save(path)


def _repository(hf_api: HfApi, hf_token: str, text_file: Path, kind: str) -> Iterator[str]:
    repo_id = f"{DATASETS_USER}/{kind}-{uuid4().hex}"
    hf_api.create_repo(repo_id, token=hf_token, repo_type="dataset", private=kind == "private")
    hf_api.upload_file(
        token=hf_token,
        path_or_fileobj=str(text_file),
        path_in_repo="data/text_data.txt",
        repo_id=repo_id,
        repo_type="dataset",
    )
    if kind == "gated":
        hf_api.update_repo_settings(repo_id, token=hf_token, repo_type="dataset", gated="auto")
    yield repo_id
    hf_api.delete_repo(repo_id, token=hf_token, repo_type="dataset")


@pytest.fixture
def hf_private_dataset_repo_txt_data(hf_api: HfApi, hf_token: str, text_file: Path) -> Iterator[str]:
    """A private dataset of one text file."""
    yield from _repository(hf_api, hf_token, text_file, "private")


@pytest.fixture
def hf_gated_dataset_repo_txt_data(hf_api: HfApi, hf_token: str, text_file: Path) -> Iterator[str]:
    """A gated dataset of one text file."""
    yield from _repository(hf_api, hf_token, text_file, "gated")
