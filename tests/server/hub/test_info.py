"""What repositories say of themselves, lists of them, users and organisations."""

from typing import Any

import pytest
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from tests.server.hub.place import Place

from embedhub.hub.names import Kind
from embedhub.hub.pointers import Pointer

CARD = """---
license: mit
language: [en, de]
pretty_name: Questions
tags: [faq, embeddings]
task_categories: [text-retrieval]
---
# Questions
"""

LARGE = Pointer("ab" * 32, 5_000_000_000)


def test_info(stage: Place) -> None:
    made = stage.make("alice/info-1", {"README.md": CARD, "data/a.csv": "x"})
    head = stage.commit(made, {"big.bin": bytes(LARGE).decode()})
    stage.hub.holdings.link(made.uuid, [(LARGE.sha256, LARGE.size)])
    info = stage.api().dataset_info("Alice/INFO-1", files_metadata=True)
    assert (info.id, info.author, info.sha, info.private, info.gated, info.disabled) == (
        "alice/info-1",
        "alice",
        head,
        False,
        False,
        False,
    )
    assert info.tags == [
        "faq",
        "embeddings",
        "license:mit",
        "language:en",
        "language:de",
        "task_categories:text-retrieval",
    ]
    assert info.card_data is not None
    assert info.card_data.pretty_name == "Questions"
    assert info.last_modified is not None
    assert info.created_at is not None
    assert 0 <= (info.last_modified - info.created_at).total_seconds() + 1 < 100
    files = {file.rfilename: file for file in info.siblings or ()}
    assert list(files) == [".gitattributes", "README.md", "big.bin", "data/a.csv"]
    big = files["big.bin"]
    assert big.lfs is not None
    assert (big.size, big.lfs.sha256, big.lfs.size, big.lfs.pointer_size) == (
        LARGE.size,
        LARGE.sha256,
        LARGE.size,
        len(bytes(LARGE)),
    )
    assert (files["data/a.csv"].size, files["data/a.csv"].lfs) == (1, None)
    assert info.used_storage == LARGE.size
    plain = stage.api().dataset_info("alice/info-1")
    assert {file.size for file in plain.siblings or ()} == {None}


def test_info_at_a_revision(stage: Place) -> None:
    made = stage.make("alice/info-2", {"a": "1"})
    first = stage.api().dataset_info("alice/info-2").sha or ""
    second = stage.commit(made, {"b": "2"})
    stage.api().create_tag("alice/info-2", repo_type="dataset", tag="v1", revision=first)
    stage.api().create_branch("alice/info-2", repo_type="dataset", branch="feature/x", revision=first)
    for revision, sha in (("main", second), ("v1", first), ("feature/x", first), (first[:7], first), (second, second)):
        assert stage.api().dataset_info("alice/info-2", revision=revision).sha == sha
    for revision in ("nothing", "main~1", "refs/heads/nothing", "\0", "x" * 500):
        with pytest.raises(RevisionNotFoundError):
            stage.api().dataset_info("alice/info-2", revision=revision)
    assert stage.api().revision_exists("alice/info-2", repo_type="dataset", revision="v1")
    assert not stage.api().revision_exists("alice/info-2", repo_type="dataset", revision="v2")


def test_expand_chooses(stage: Place) -> None:
    stage.make("alice/info-3", {"README.md": CARD})
    http = stage.http()
    for spelling in ("expand=sha&expand=tags", "expand[]=sha&expand[]=tags"):
        assert set(http.get(f"/api/datasets/alice/info-3?{spelling}").json()) == {"_id", "id", "sha", "tags"}
    # What is not known here is left out, as an old client asks.
    assert set(http.get("/api/datasets/alice/info-3?expand=xetEnabled&expand=nonsense").json()) == {
        "_id",
        "id",
        "xetEnabled",
    }
    info = stage.api().dataset_info("alice/info-3", expand=["author", "createdAt", "private"])
    assert (info.author, info.private, info.sha, info.siblings) == ("alice", False, None, None)
    assert "securityRepoStatus" not in http.get("/api/datasets/alice/info-3").json()
    assert "securityRepoStatus" in http.get("/api/datasets/alice/info-3?securityStatus=true").json()


@pytest.mark.parametrize(
    "card", ["---\na: [\n---\n", "---\na: &a [*a]\n---\n", "---\n- x\n---\n", "---\na: 2024-13-45\n---\n"]
)
def test_a_broken_card_hides_nothing_else(stage: Place, card: str) -> None:
    made = stage.make(f"alice/broken-{abs(hash(card))}", {"README.md": card, "a": "1"})
    info = stage.api().dataset_info(made.id)
    assert (info.card_data, info.tags) == (None, [])
    assert len(info.siblings or ()) == 3


def test_models_say_what_they_are_for(stage: Place) -> None:
    files = {"config.json": "{}", "modules.json": "[]", "model.safetensors": "x"}
    stage.make("alice/encoder", files, Kind.MODEL)
    info = stage.api().model_info("alice/encoder")
    assert (info.library_name, info.pipeline_tag, info.tags) == (
        "sentence-transformers",
        "feature-extraction",
        ["sentence-transformers"],
    )
    asked = stage.api().model_info("alice/encoder", expand=["inferenceProviderMapping"])
    assert asked.inference_provider_mapping is not None
    provider = asked.inference_provider_mapping[0]
    assert (provider.provider, provider.provider_id, provider.status, provider.task) == (
        "hf-inference",
        "alice/encoder",
        "live",
        "feature-extraction",
    )
    stage.make("alice/no-encoder", {"x": ""}, Kind.MODEL)
    assert (
        stage.api().model_info("alice/no-encoder", expand=["inferenceProviderMapping"]).inference_provider_mapping == []
    )


def test_a_model_that_is_served_and_not_hosted_has_its_address_too(stage: Place) -> None:
    http = stage.http()
    hosted = stage.make("alice/not-yet", {"x": ""}, Kind.MODEL)
    assert http.get(f"/api/models/{hosted.id}").json()["sha"]
    # One that is neither is refused in the words of whoever serves, with the code by which clients know it.
    nothing = http.get("/api/models/alice/neither")
    assert (nothing.status_code, nothing.headers["x-error-code"]) == (404, "RepoNotFound")
    stage.make("alice/hidden-model", {"x": ""}, Kind.MODEL, "private")
    hidden = stage.http("bob").get("/api/models/alice/hidden-model")
    assert (hidden.status_code, hidden.headers["x-error-code"]) == (404, "RepoNotFound")
    assert hidden.text.replace("hidden-model", "neither") == nothing.text


def _ids(found: object) -> list[str]:
    return [each.id for each in found]  # type: ignore[attr-defined]


def test_lists(stage: Place) -> None:
    for number in range(5):
        stage.make(f"carol/list-{number}", {"README.md": CARD if number % 2 else "# none"})
    first = stage.make("acme/list-hidden", visibility="private")
    stage.commit(stage.hub.repositories.find(Kind.DATASET, "carol/list-0"), {"x": "1"})
    api = stage.api("bob")
    newest = [f"carol/list-{number}" for number in (4, 3, 2, 1, 0)]
    assert _ids(api.list_datasets(author="Carol")) == newest
    assert _ids(api.list_datasets(author="carol", sort="created_at")) == newest
    times = [each.last_modified for each in api.list_datasets(author="carol", sort="last_modified")]
    assert times == sorted(times, key=str, reverse=True)
    assert _ids(api.list_datasets(author="carol", sort="downloads")) == newest
    assert _ids(api.list_datasets(search="LIST-3")) == ["carol/list-3"]
    assert _ids(api.list_datasets(search="carol/list", dataset_name="-4")) == ["carol/list-4"]
    assert _ids(api.list_datasets(author="carol", filter="faq")) == ["carol/list-3", "carol/list-1"]
    assert _ids(api.list_datasets(author="carol", filter=["faq", "license:mit"], language="en")) == [
        "carol/list-3",
        "carol/list-1",
    ]
    assert _ids(api.list_datasets(author="carol", filter="nothing")) == []
    assert _ids(api.list_datasets(author="carol", limit=2)) == newest[:2]
    assert _ids(api.list_datasets(author="acme", search="list-hidden")) == []
    assert _ids(stage.api().list_datasets(author="acme", search="list-hidden")) == [first.id]
    assert _ids(stage.api("").list_datasets(author="acme", search="list-hidden")) == []
    assert _ids(api.list_models(author="carol")) == []


def test_lists_by_pages(stage: Place) -> None:
    for number in range(5):
        stage.make(f"carol/page-{number}", kind=Kind.MODEL)
    http = stage.http()
    for direction in ("", "&direction=1"):
        found: list[str] = []
        url = f"/api/models?author=carol&search=page&limit=2{direction}"
        while url:
            response = http.get(url)
            found += [each["id"] for each in response.json()]
            # Somebody makes another one meanwhile: no page shows one twice.
            stage.make(f"carol/page-new-{len(found)}{direction[1:4]}", kind=Kind.MODEL) if not direction else None
            url = response.links.get("next", {}).get("url", "")
            assert not url or url.startswith(f"{stage.server.address}/api/models?")
        old = [id for id in found if "new" not in id]
        assert sorted(old) == [f"carol/page-{number}" for number in range(5)]
        assert old == sorted(old, reverse=not direction)
        assert len(found) == len(set(found))


def test_lists_tell_more_if_asked(stage: Place) -> None:
    stage.make("erin/more", {"README.md": CARD})
    http = stage.http()
    short = http.get("/api/datasets?author=erin").json()[0]
    assert {"siblings", "cardData"}.isdisjoint(short)
    assert {"id", "private", "downloads", "likes", "tags", "lastModified", "createdAt", "sha", "gated"} <= set(short)
    full = http.get("/api/datasets?author=erin&full=true").json()[0]
    assert [file["rfilename"] for file in full["siblings"]] == [".gitattributes", "README.md"]
    assert set(http.get("/api/datasets?author=erin&expand=sha").json()[0]) == {"_id", "id", "sha"}


@pytest.mark.parametrize("query", ["limit=-1", "limit=x", "limit=1e9", "sort=size", "cursor=x", "cursor=:", "limit=²"])
def test_impossible_lists(stage: Place, query: str) -> None:
    response = stage.http().get(f"/api/datasets?{query}")
    assert response.status_code == 400
    assert "\n" not in response.json()["error"]


def test_people(stage: Place) -> None:
    stage.make("dan/public")
    stage.hub.create(stage.hub.actor("dan", "write"), Kind.DATASET, "dan/secret", visibility="private")
    found = stage.api("bob").get_user_overview("DAN")
    assert (found.username, found.user_type, found.num_datasets, found.num_models) == ("dan", "user", 1, 0)
    assert [each.name for each in found.orgs] == ["acme"]
    assert stage.api("dan").get_user_overview("dan").num_datasets == 2
    acme = stage.api("bob").get_organization_overview("acme")
    assert (acme.name, acme.fullname, acme.num_users) == ("acme", "The Acme Company", 4)
    members = [each.username for each in stage.api("bob").list_organization_members("acme")]
    assert members == ["alice", "carol", "dan", "erin"]
    for call in (
        lambda: stage.api().get_user_overview("acme"),
        lambda: stage.api().get_user_overview("nobody"),
        lambda: stage.api().get_organization_overview("alice"),
        lambda: list(stage.api().list_organization_members("nobody")),
    ):
        with pytest.raises(HfHubHTTPError) as caught:
            call()
        assert caught.value.response.status_code == 404


READS = [
    "/api/datasets/{}",
    "/api/datasets/{}/revision/main",
    "/api/datasets/{}/tree/main",
    "/api/datasets/{}/treesize/main",
    "/api/datasets/{}/refs",
    "/api/datasets/{}/commits/main",
    "/api/datasets/{}/auth-check",
    "/api/datasets/{}/lfs-files",
    "/datasets/{}/resolve/main/a.txt",
]
WRITES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/api/datasets/{}/paths-info/main", {"paths": ["a.txt"]}),
    ("POST", "/api/datasets/{}/branch/b", {}),
    ("DELETE", "/api/datasets/{}/branch/b", None),
    ("POST", "/api/datasets/{}/tag/main", {"tag": "v1"}),
    ("DELETE", "/api/datasets/{}/tag/v1", None),
    ("POST", "/api/datasets/{}/super-squash/main", {}),
    ("POST", "/api/datasets/{}/lfs-files/batch", {"deletions": {"sha": ["a" * 64]}}),
    ("PUT", "/api/datasets/{}/settings", {"private": False}),
    ("POST", "/api/datasets/{}/preupload/main", {"files": []}),
    ("DELETE", "/api/repos/delete", {"name": "{}", "type": "dataset"}),
    ("POST", "/api/repos/move", {"fromRepo": "{}", "toRepo": "bob/mine", "type": "dataset"}),
]


@pytest.mark.parametrize("user", ["", "bob"])
def test_private_repositories_look_absent_in_every_address(stage: Place, user: str) -> None:
    hidden, absent = f"alice/hidden-{user or 0}", f"alice/absent-{user or 0}"
    stage.make(hidden, {"a.txt": "secret"}, visibility="private")
    http = stage.http(user)
    calls = [("GET", path, None) for path in READS] + [("HEAD", path, None) for path in READS] + WRITES
    for method, path, body in calls:
        answers = []
        for name in (hidden, absent):
            sent = {key: value.format(name) if isinstance(value, str) else value for key, value in (body or {}).items()}
            response = http.request(method, path.format(name), json=sent if body is not None else None)
            text = response.text.replace(name, "NAME")
            answers.append((response.status_code, response.headers.get("x-error-code"), text))
        assert answers[0] == answers[1], (method, path)
        # Whoever says nothing of themselves is asked, for what is there and for what is not.
        assert answers[0][:2] == (404 if user else 401, "RepoNotFound"), (method, path)


def test_the_owner_sees_it_and_a_wrong_token_nothing(stage: Place) -> None:
    stage.make("alice/own", {"a.txt": "x"}, visibility="private")
    assert stage.api("alice").dataset_info("alice/own").private
    assert stage.api("reader").dataset_info("alice/own").private
    with pytest.raises(RepositoryNotFoundError):
        stage.api("bob").dataset_info("alice/own")
    response = stage.http("hf_wrong").get("/api/datasets/alice/own")
    assert (response.status_code, response.json()["error"]) == (401, "Invalid credentials in Authorization header")
