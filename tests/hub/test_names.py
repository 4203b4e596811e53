"""What may be called what: compared with git's own opinion where git has one."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedhub.errors import HubNameError, HubPathError
from embedhub.hub.names import RESERVED, Kind, check_namespace, check_path, check_reference, repository_name


@pytest.mark.parametrize("id", ["alice/faq", "A/b", "a_b/c.d-e_f", "0/1", "a" * 96 + "/" + "b" * 96])
def test_names_of_repositories(id: str) -> None:
    found = repository_name(Kind.DATASET, id)
    assert (str(found), found.kind) == (id, Kind.DATASET)


@pytest.mark.parametrize(
    "id",
    [
        "",
        "alice",
        "/faq",
        "alice/",
        "alice/faq/more",
        "../faq",
        "alice/..",
        "alice/.git",
        "alice/faq.git",
        "alice/faq.GIT",
        "alice/faq.ipynb",
        "alice/-faq",
        "alice/faq-",
        "alice/faq.",
        "alice/a--b",
        "alice/a..b",
        "alice/a b",
        "alice/a\\b",
        "alice/a\0b",
        "alice/faq\n",
        "alice/ü",
        "alice/" + "a" * 97,
        "alice/\u2024\u2024",
    ],
)
def test_what_is_no_name_of_a_repository(id: str) -> None:
    with pytest.raises(HubNameError) as caught:
        repository_name(Kind.MODEL, id)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*sorted(RESERVED), "API", "Datasets"])
def test_addresses_keep_their_first_parts(name: str) -> None:
    with pytest.raises(HubNameError, match="another meaning"):
        check_namespace(name)


def test_kinds_know_their_addresses() -> None:
    assert [(kind.plural, kind.prefix) for kind in Kind] == [
        ("models", ""),
        ("datasets", "datasets/"),
        ("spaces", "spaces/"),
    ]


_REFERENCES = [
    "main",
    "feature/x",
    "v1.0",
    "a@b",
    "ünïcode",
    "a" * 200,
    "",
    "/a",
    "a/",
    "a//b",
    "a..b",
    "a b",
    "a~1",
    "a^",
    "a:b",
    "a?",
    "a*",
    "a[b",
    "a\\b",
    "a\x7fb",
    "a\tb",
    ".a",
    "a/.b",
    "a.lock",
    "a.lock/b",
    "a.",
    "@",
    "a@{b",
]


@pytest.mark.parametrize("name", _REFERENCES)
def test_references_as_git_has_them(name: str) -> None:
    git = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False).returncode == 0
    # "@" by itself is git's word for HEAD, though not within a full name.
    assert _is_reference(name) == (git and name != "@")


@pytest.mark.parametrize(
    "name", ["refs/heads/x", "refs/pr/1", "HEAD", "-x", "0" * 40, "a\u200bb", "a" * 201, "ü" * 101]
)
def test_references_that_git_would_have_and_we_do_not(name: str) -> None:
    assert not _is_reference(name)


@given(st.text(alphabet=st.sampled_from("ab./@{-~^:?*[\\ \t\x7fü"), min_size=1, max_size=6))
def test_no_reference_is_taken_that_git_refuses(name: str) -> None:
    if _is_reference(name):
        assert not _breaks_gits_rules(name)


@pytest.mark.parametrize(
    "path", ["a", "a/b.txt", "ü/日本.txt", ".gitattributes", ".gitignore", "a b", "a/..b", "~", "x" * 1000]
)
def test_paths(path: str) -> None:
    assert check_path(path) == path
    assert check_path(f"{path}/") == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../a",
        "a/../b",
        "a/./b",
        "a//b",
        "a//",
        "a\\b",
        "..\\a",
        "a\0b",
        "a\nb",
        "a\x7f",
        ".git",
        ".git/config",
        "a/.GIT/hooks/x",
        ".git ",
        ".git.",
        ".git::$INDEX_ALLOCATION",
        "GIT~1",
        ".g\u200cit",
        "x" * 1001,
        "ü" * 501,
        "\ud800",
    ],
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(HubPathError) as caught:
        check_path(path)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30))
def test_a_path_that_is_taken_stays_in_its_repository(path: str) -> None:
    try:
        plain = check_path(path)
    except HubPathError:
        return
    parts = plain.split("/")
    assert plain
    assert not {"", ".", "..", ".git"}.intersection(part.lower() for part in parts)
    assert not set(plain).intersection("\\\0\n\r")


def _is_reference(name: str) -> bool:
    try:
        return check_reference(name) == name
    except HubNameError:
        return False


def _breaks_gits_rules(name: str) -> bool:
    """The rules of `git help check-ref-format`, one by one."""
    parts = name.split("/")
    return (
        any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
        or ".." in name
        or any(ord(character) < 0x20 or character in "\x7f ~^:?*[\\" for character in name)
        or name.endswith(".")
        or "@{" in name
        or name == "@"
    )
