"""The Hugging Face cache as other programs leave it: revisions, half snapshots, and what is no model of ours."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from tests.models.fake_hub import etag

from embedhub.config import Settings
from embedhub.errors import ModelIntegrityError, ModelNotFoundError, UnsupportedModelError
from embedhub.models import find_model, installed_models, remove_model

ID = "acme/tiny"
OLD, NEW = "a1" * 20, "a2" * 20


def write_snapshot(
    settings: Settings, files: dict[str, bytes], *, id: str = ID, commit: str = OLD, refs: tuple[str, ...] = ()
) -> Path:
    """A snapshot as the Hugging Face library writes it: links to blobs."""
    repository = settings.hf_home / "hub" / f"models--{id.replace('/', '--')}"
    folder = repository / "snapshots" / commit
    (repository / "blobs").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        blob = repository / "blobs" / etag(name, content)
        blob.write_bytes(content)
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(*[".."] * (2 + name.count("/")), "blobs", blob.name))
    for name in refs:
        reference = repository / "refs" / name
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(commit)
    # A folder's age decides where nothing else does.
    folder.touch()
    return folder


def without(files: dict[str, bytes], *names: str) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name not in names}


def test_a_snapshot_is_found_and_its_weights_are_checked(offline: Settings, tiny_files: dict[str, bytes]) -> None:
    folder = write_snapshot(offline, tiny_files, refs=("main",))

    spec = find_model(ID, settings=offline)

    assert (spec.revision, spec.source, spec.folder) == (OLD, "cache", folder)
    assert spec.expected_sha256 == hashlib.sha256(tiny_files["model.safetensors"]).hexdigest()
    assert spec.weights_sha256 == spec.expected_sha256


@pytest.mark.parametrize("revision", ["main", "v1", "refs/pr/1", OLD, OLD[:7], OLD[:12]])
def test_a_revision_may_be_a_branch_a_tag_or_a_commit(
    offline: Settings, tiny_files: dict[str, bytes], revision: str
) -> None:
    write_snapshot(offline, tiny_files, refs=("main", "v1", "refs/pr/1"))
    write_snapshot(offline, tiny_files, commit=NEW, refs=("next",))

    assert find_model(f"{ID}@{revision}", settings=offline).revision == OLD


@pytest.mark.parametrize("revision", ["v2", "a1a1a1", NEW, "b" * 40])
def test_a_revision_that_is_not_here_is_not_found(
    offline: Settings, tiny_files: dict[str, bytes], revision: str
) -> None:
    write_snapshot(offline, tiny_files, refs=("main",))

    with pytest.raises(ModelNotFoundError, match="Hugging Face cache"):
        find_model(f"{ID}@{revision}", settings=offline)


def test_a_commit_too_short_to_tell_two_apart_is_not_found(offline: Settings, tiny_files: dict[str, bytes]) -> None:
    write_snapshot(offline, tiny_files, commit="abcdef0" + "1" * 33)
    write_snapshot(offline, tiny_files, commit="abcdef0" + "2" * 33)

    with pytest.raises(ModelNotFoundError, match="abcdef0 not found"):
        find_model(f"{ID}@abcdef0", settings=offline)
    assert find_model(f"{ID}@abcdef02", settings=offline).revision == "abcdef0" + "2" * 33


def test_main_comes_before_newer_snapshots(offline: Settings, tiny_files: dict[str, bytes]) -> None:
    write_snapshot(offline, tiny_files, refs=("main",))
    write_snapshot(offline, tiny_files, commit=NEW)

    assert find_model(ID, settings=offline).revision == OLD
    assert [spec.revision for spec in installed_models(offline)] == [OLD, NEW]


def test_a_whole_snapshot_is_taken_when_main_is_half(offline: Settings, tiny_files: dict[str, bytes]) -> None:
    write_snapshot(offline, tiny_files)
    write_snapshot(offline, without(tiny_files, "model.safetensors"), commit=NEW, refs=("main",))

    assert find_model(ID, settings=offline).revision == OLD
    with pytest.raises(ModelNotFoundError, match="no weights"):
        find_model(f"{ID}@main", settings=offline)


@pytest.mark.parametrize("content", ["../../../evil", "", "\0", "main"])
def test_a_reference_that_is_no_commit_is_not_followed(
    offline: Settings, tiny_files: dict[str, bytes], tmp_path: Path, content: str
) -> None:
    write_snapshot(offline, tiny_files, refs=("v1",))
    (offline.hf_home / "hub" / "models--acme--tiny" / "refs" / "v1").write_text(content)
    shutil.copytree(offline.hf_home / "hub" / "models--acme--tiny" / "snapshots" / OLD, tmp_path / "evil")

    with pytest.raises(ModelNotFoundError, match="not there"):
        find_model(f"{ID}@v1", settings=offline)


def test_damaged_weights_name_the_fix(offline: Settings, tiny_files: dict[str, bytes]) -> None:
    folder = write_snapshot(offline, tiny_files, refs=("main",))
    weights = bytearray(tiny_files["model.safetensors"])
    weights[-1] ^= 1
    (folder / "model.safetensors").resolve().write_bytes(weights)

    with pytest.raises(ModelIntegrityError, match="run `embedhub models remove acme/tiny` and `embedhub models pull"):
        _ = find_model(ID, settings=offline).weights_sha256


def test_blobs_that_are_links_to_shared_ones_are_no_damage(offline: Settings, tiny_files: dict[str, bytes]) -> None:
    """The library can keep one copy for several repositories, under a hash that is no sha256."""
    folder = write_snapshot(offline, tiny_files, refs=("main",))
    blob = folder / (folder / "model.safetensors").readlink()
    shared = offline.hf_home / "hub" / "blobs" / "00" / ("0" * 64)
    shared.parent.mkdir(parents=True)
    shared.write_bytes(blob.read_bytes())
    blob.unlink()
    blob.symlink_to(shared)

    assert find_model(ID, settings=offline).weights_sha256 == blob.name


def test_every_shard_is_checked(offline: Settings, tiny_files: dict[str, bytes]) -> None:
    weights = tiny_files["model.safetensors"]
    index = json.dumps({"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}).encode()
    shards = {"model-1-of-2.safetensors": weights, "model-2-of-2.safetensors": weights}
    files = without(tiny_files, "model.safetensors") | shards | {"model.safetensors.index.json": index}
    folder = write_snapshot(offline, files, refs=("main",))
    sum_of_one = hashlib.sha256(weights).hexdigest()

    expected = hashlib.sha256(f"{sum_of_one}\n{sum_of_one}\n".encode()).hexdigest()
    assert find_model(ID, settings=offline).weights_sha256 == expected

    (folder / "model-2-of-2.safetensors").resolve().write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(ModelIntegrityError, match="embedhub models pull"):
        _ = find_model(ID, settings=offline).weights_sha256


@pytest.mark.parametrize("proof", ["asked", "listed"])
def test_without_modules_a_snapshot_needs_a_proof_that_there_are_none(
    offline: Settings, tiny_files: dict[str, bytes], proof: str
) -> None:
    """Transformers never fetches modules.json: what it leaves may be half of a model that normalises."""
    files = without(tiny_files, "modules.json", "1_Pooling/config.json")
    folder = write_snapshot(offline, files, refs=("main",))
    with pytest.raises(ModelNotFoundError, match=r"no modules.json, and not known whether acme/tiny has one; pull it"):
        find_model(ID, settings=offline)
    assert installed_models(offline) == []
    assert find_model(str(folder), settings=offline).normalize is False

    repository = folder.parents[1]
    if proof == "asked":
        (repository / ".no_exist" / OLD).mkdir(parents=True)
        (repository / ".no_exist" / OLD / "modules.json").touch()
    else:
        (repository / "trees").mkdir()
        (repository / "trees" / f"{OLD}.json").write_text(json.dumps({"files": {name: {} for name in files}}))

    spec = find_model(ID, settings=offline)
    assert (spec.pooling, spec.normalize) == (("mean",), False)


@pytest.mark.parametrize("name", ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"])
def test_a_file_that_changes_vectors_and_is_listed_must_be_here(
    offline: Settings, tiny_files: dict[str, bytes], name: str
) -> None:
    """A download that broke off, by a program that keeps the list of files."""
    folder = write_snapshot(offline, without(tiny_files, name), refs=("main",))
    (folder.parents[1] / "trees").mkdir()
    listing: dict[str, object] = {"files": {each: {} for each in [*tiny_files, name]}}
    (folder.parents[1] / "trees" / f"{OLD}.json").write_text(json.dumps(listing))

    with pytest.raises(ModelNotFoundError, match=f"incomplete: no {name}"):
        find_model(ID, settings=offline)


def test_modules_that_are_not_known_are_no_reason_to_look_further(
    offline: Settings, tiny_files: dict[str, bytes]
) -> None:
    modules = json.loads(tiny_files["modules.json"])
    modules[1]["type"] = "sentence_transformers.models.WordWeights"
    write_snapshot(offline, tiny_files | {"modules.json": json.dumps(modules).encode()}, refs=("main",))

    with pytest.raises(UnsupportedModelError, match="'WordWeights' is not one of"):
        find_model(ID, settings=offline)


def test_the_list_leaves_out_what_is_no_model_of_ours(offline: Settings, tiny_files: dict[str, bytes]) -> None:
    hub = offline.hf_home / "hub"
    write_snapshot(offline, tiny_files, refs=("main",))
    write_snapshot(offline, without(tiny_files, "model.safetensors"), id="acme/half")
    write_snapshot(offline, without(tiny_files, "tokenizer.json"), id="acme/mute")
    write_snapshot(offline, without(tiny_files, "config.json"), id="acme/pipeline")
    write_snapshot(offline, tiny_files | {"config.json": b"[" * 100_000}, id="acme/deep")
    write_snapshot(offline, {"README.md": b"# nothing"}, id="acme/readme")
    write_snapshot(offline, tiny_files, id="acme/branch", commit="not-a-commit")
    shutil.copytree(hub / "models--acme--tiny", hub / "datasets--acme--tiny", symlinks=True)
    shutil.copytree(hub / "models--acme--tiny", hub / "models--a--b--c", symlinks=True)
    (hub / "models--acme--empty").mkdir()
    (hub / "models--acme--file").write_text("")

    assert [spec.id for spec in installed_models(offline)] == [ID]


def test_remove_deletes_the_model_and_nothing_else(offline: Settings, tiny_files: dict[str, bytes]) -> None:
    write_snapshot(offline, tiny_files, refs=("main",))
    write_snapshot(offline, tiny_files, id="acme/tiny-2")

    assert remove_model(ID, settings=offline) == 1

    assert [spec.id for spec in installed_models(offline)] == ["acme/tiny-2"]
    assert [path.name for path in (offline.hf_home / "hub").iterdir()] == ["models--acme--tiny-2"]
    with pytest.raises(ModelNotFoundError, match="acme/tiny is not installed"):
        remove_model(ID, settings=offline)


def test_remove_of_one_revision_keeps_the_other(offline: Settings, tiny_files: dict[str, bytes]) -> None:
    write_snapshot(offline, tiny_files, refs=("main",))
    write_snapshot(offline, tiny_files, commit=NEW, refs=("v2",))

    assert remove_model(f"{ID}@v2", settings=offline) == 1

    assert [spec.revision for spec in installed_models(offline)] == [OLD]
    assert find_model(ID, settings=offline).weights_sha256
    with pytest.raises(ModelNotFoundError, match="not installed"):
        remove_model(f"{ID}@v2", settings=offline)


def test_remove_does_not_follow_a_link_out_of_the_cache(
    offline: Settings, tiny_files: dict[str, bytes], tmp_path: Path
) -> None:
    write_snapshot(offline, tiny_files, refs=("main",))
    repository = offline.hf_home / "hub" / "models--acme--tiny"
    elsewhere = repository.rename(tmp_path / "elsewhere")
    repository.symlink_to(elsewhere)
    assert find_model(ID, settings=offline).revision == OLD

    assert remove_model(ID, settings=offline) == 1

    assert not repository.is_symlink()
    assert (elsewhere / "snapshots" / OLD / "model.safetensors").is_file()
