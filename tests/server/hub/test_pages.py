"""What the page about hosting shows is run, from top to bottom, as alice on her machine."""

import os
import re
import shutil
from collections.abc import Iterator

import pytest
from tests.server.hub.users import User, user
from tests.server.processes import running
from tests.server.test_docs_snippets import check_comments
from tests.server.test_javascript import PROGRAMS
from tests.test_docs import ROOT, blocks

from embedhub import Model

# It takes many programs, each of which takes a while to start.
pytestmark = pytest.mark.clients

PAGE = ROOT / "docs" / "hub" / "README.md"
ADDRESS = "localhost:8080"


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory, default_model: Model) -> Iterator[User]:
    folder = tmp_path_factory.mktemp("hub")
    with running(folder, default_model.spec.folder) as server:
        alice = user(server, folder / "alice")
        shutil.copy(ROOT / "examples" / "medicare_faq.txt", alice.folder / "faq.txt")
        # By itself curl takes an error's status for a success.
        (alice.folder / ".curlrc").write_text("fail\nsilent\nshow-error\n")
        yield alice


@pytest.fixture(scope="module")
def variables(alice: User, default_model: Model) -> dict[str, str]:
    who = {"NAME": alice.name, "EMAIL": "alice@example.org"}
    names = {f"GIT_{role}_{name}": value for role in ("AUTHOR", "COMMITTER") for name, value in who.items()}
    path = f"{alice.programs}{os.pathsep}{os.environ['PATH']}"
    model = {"EMBEDHUB_MODEL": str(default_model.spec.folder), "EMBEDHUB_DTYPE": "f32"}
    return names | model | {"PATH": path, "HF_TOKEN": alice.token}


def here(code: str, alice: User) -> str:
    return code.replace(ADDRESS, f"127.0.0.1:{alice.server.port}")


@pytest.fixture(scope="module")
def printed(alice: User, variables: dict[str, str]) -> str:
    """What the commands print, all of them but those for the server's machine."""
    code = "\ncd\n".join(block for block in blocks(PAGE, "sh") if "embedhub serve" not in block)
    return alice.run("bash", "-euc", here(code, alice), variables=variables)


def test_commands(printed: str, alice: User) -> None:
    assert "0.7565       8" in printed
    assert (alice.folder / "notes" / "data" / "train.txt").read_bytes() == (alice.folder / "faq.txt").read_bytes()
    listed = re.findall(r'"id":"(alice/\w+)"', printed.splitlines()[-1])
    assert set(listed) == {"alice/by_git", "alice/faq", "alice/notes"}
    assert "How do I get a replacement Medicare card?" in printed


def test_python(printed: str, alice: User, variables: dict[str, str]) -> None:
    del printed  # what is loaded was pushed by then
    codes = blocks(PAGE, "python")
    assert len(codes) == 2
    for code in codes:
        shown = alice.run(str(alice.programs / "python"), "-c", code, variables=variables)
        check_comments(code, shown)


def test_javascript(node: str, alice: User, variables: dict[str, str]) -> None:
    (alice.folder / "node_modules").symlink_to(PROGRAMS / "node_modules")
    for code in blocks(PAGE, "javascript"):
        (alice.folder / "page.mjs").write_text(here(code, alice))
        check_comments(code, alice.run(node, "page.mjs", variables=variables))
