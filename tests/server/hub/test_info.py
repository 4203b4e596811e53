"""What repositories say of themselves, lists of them, users and organisations."""

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


def test_info(place: Place) -> None:
    made = place.make("alice/info-1", {"README.md": CARD, "data/a.csv": "x"})
    head = place.commit(made, {"big.bin": bytes(LARGE).decode()})
    place.hub.holdings.link(made.uuid, [(LARGE.sha256, LARGE.size)])
    info = place.api().dataset_info("Alice/INFO-1", files_metadata=True)
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
    assert info.card_data.to_dict()["pretty_name"] == "Questions"
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
    plain = place.api().dataset_info("alice/info-1")
    assert {file.size for file in plain.siblings or ()} == {None}


def test_info_at_a_revision(place: Place) -> None:
    made = place.make("alice/info-2", {"a": "1"})
    first = place.api().dataset_info("alice/info-2").sha
    second = place.commit(made, {"b": "2"})
    place.api().create_tag("alice/info-2", repo_type="dataset", tag="v1", revision=first)
    place.api().create_branch("alice/info-2", repo_type="dataset", branch="feature/x", revision=first)
    for revision, sha in (("main", second), ("v1", first), ("feature/x", first), (first[:7], first), (second, second)):
        assert place.api().dataset_info("alice/info-2", revision=revision).sha == sha
    for revision in ("nothing", "main~1", "refs/heads/nothing", "\0", "x" * 500):
        with pytest.raises(RevisionNotFoundError):
            place.api().dataset_info("alice/info-2", revision=revision)
    assert place.api().revision_exists("alice/info-2", repo_type="dataset", revision="v1")
    assert not place.api().revision_exists("alice/info-2", repo_type="dataset", revision="v2")


def test_expand_chooses(place: Place) -> None:
    place.make("alice/info-3", {"README.md": CARD})
    http = place.http()
    for spelling in ("expand=sha&expand=tags", "expand[]=sha&expand[]=tags"):
        assert set(http.get(f"/api/datasets/alice/info-3?{spelling}").json()) == {"_id", "id", "sha", "tags"}
    # What is not known here is left out, as an old client asks.
    assert set(http.get("/api/datasets/alice/info-3?expand=xetEnabled&expand=nonsense").json()) == {
        "_id",
        "id",
        "xetEnabled",
    }
    info = place.api().dataset_info("alice/info-3", expand=["author", "createdAt", "private"])
    assert (info.author, info.private, info.sha, info.siblings) == ("alice", False, None, None)
    assert "securityRepoStatus" not in http.get("/api/datasets/alice/info-3").json()
    assert "securityRepoStatus" in http.get("/api/datasets/alice/info-3?securityStatus=true").json()


@pytest.mark.parametrize(
    "card", ["---\na: [\n---\n", "---\na: &a [*a]\n---\n", "---\n- x\n---\n", "---\na: 2024-13-45\n---\n"]
)
def test_a_broken_card_hides_nothing_else(place: Place, card: str) -> None:
    made = place.make(f"alice/broken-{abs(hash(card))}", {"README.md": card, "a": "1"})
    info = place.api().dataset_info(made.id)
    assert (info.card_data, info.tags) == (None, [])
    assert len(info.siblings or ()) == 3


def test_models_say_what_they_are_for(place: Place) -> None:
    files = {"config.json": "{}", "modules.json": "[]", "model.safetensors": "x"}
    place.make("alice/encoder", files, Kind.MODEL)
    info = place.api().model_info("alice/encoder")
    assert (info.library_name, info.pipeline_tag, info.tags) == (
        "sentence-transformers",
        "feature-extraction",
        ["sentence-transformers"],
    )
    asked = place.api().model_info("alice/encoder", expand=["inferenceProviderMapping"])
    assert asked.inference_provider_mapping is not None
    provider = asked.inference_provider_mapping[0]
    assert (provider.provider, provider.provider_id, provider.status, provider.task) == (
        "hf-inference",
        "alice/encoder",
        "live",
        "feature-extraction",
    )
    place.make("alice/no-encoder", {"x": ""}, Kind.MODEL)
    assert (
        place.api().model_info("alice/no-encoder", expand=["inferenceProviderMapping"]).inference_provider_mapping == []
    )


def test_a_model_that_is_served_and_not_hosted_has_its_address_too(place: Place) -> None:
    http = place.http()
    hosted = place.make("alice/not-yet", {"x": ""}, Kind.MODEL)
    assert http.get(f"/api/models/{hosted.id}").json()["sha"]
    # One that is neither is refused in the words of whoever serves, with the code by which clients know it.
    nothing = http.get("/api/models/alice/neither")
    assert (nothing.status_code, nothing.headers["x-error-code"]) == (404, "RepoNotFound")
    place.make("alice/hidden-model", {"x": ""}, Kind.MODEL, "private")
    hidden = place.http("bob").get("/api/models/alice/hidden-model")
    assert (hidden.status_code, hidden.headers["x-error-code"]) == (404, "RepoNotFound")
    assert hidden.text.replace("hidden-model", "neither") == nothing.text


def _ids(found: object) -> list[str]:
    return [each.id for each in found]  # type: ignore[attr-defined]


def test_lists(place: Place) -> None:
    for number in range(5):
        place.make(f"carol/list-{number}", {"README.md": CARD if number % 2 else "# none"})
    first = place.make("acme/list-hidden", visibility="private")
    place.commit(place.hub.repositories.find(Kind.DATASET, "carol/list-0"), {"x": "1"})
    api = place.api("bob")
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
    assert _ids(place.api().list_datasets(author="acme", search="list-hidden")) == [first.id]
    assert _ids(place.api("").list_datasets(author="acme", search="list-hidden")) == []
    assert _ids(api.list_models(author="carol")) == []


def test_lists_by_pages(place: Place) -> None:
    for number in range(5):
        place.make(f"carol/page-{number}", kind=Kind.MODEL)
    http = place.http()
    for direction in ("", "&direction=1"):
        found: list[str] = []
        url = f"/api/models?author=carol&search=page&limit=2{direction}"
        while url:
            response = http.get(url)
            found += [each["id"] for each in response.json()]
            # Somebody makes another one meanwhile: no page shows one twice.
            place.make(f"carol/page-new-{len(found)}{direction[1:4]}", kind=Kind.MODEL) if not direction else None
            url = response.links.get("next", {}).get("url", "")
            assert not url or url.startswith(f"{place.server.address}/api/models?")
        old = [id for id in found if "new" not in id]
        assert sorted(old) == [f"carol/page-{number}" for number in range(5)]
        assert old == sorted(old, reverse=not direction)
        assert len(found) == len(set(found))


def test_lists_tell_more_if_asked(place: Place) -> None:
    place.make("erin/more", {"README.md": CARD})
    http = place.http()
    short = http.get("/api/datasets?author=erin").json()[0]
    assert {"siblings", "cardData"}.isdisjoint(short)
    assert {"id", "private", "downloads", "likes", "tags", "lastModified", "createdAt", "sha", "gated"} <= set(short)
    full = http.get("/api/datasets?author=erin&full=true").json()[0]
    assert [file["rfilename"] for file in full["siblings"]] == [".gitattributes", "README.md"]
    assert set(http.get("/api/datasets?author=erin&expand=sha").json()[0]) == {"_id", "id", "sha"}


@pytest.mark.parametrize("query", ["limit=-1", "limit=x", "limit=1e9", "sort=size", "cursor=x", "cursor=:", "limit=²"])
def test_impossible_lists(place: Place, query: str) -> None:
    response = place.http().get(f"/api/datasets?{query}")
    assert response.status_code == 400
    assert "\n" not in response.json()["error"]


def test_people(place: Place) -> None:
    place.make("dan/public")
    place.hub.create(place.hub.actor("dan", "write"), Kind.DATASET, "dan/secret", visibility="private")
    found = place.api("bob").get_user_overview("DAN")
    assert (found.username, found.user_type, found.num_datasets, found.num_models) == ("dan", "user", 1, 0)
    assert [each.name for each in found.orgs] == ["acme"]
    assert place.api("dan").get_user_overview("dan").num_datasets == 2
    acme = place.api("bob").get_organization_overview("acme")
    assert (acme.name, acme.fullname, acme.num_users) == ("acme", "The Acme Company", 4)
    members = [each.username for each in place.api("bob").list_organization_members("acme")]
    assert members == ["alice", "carol", "dan", "erin"]
    for call in (
        lambda: place.api().get_user_overview("acme"),
        lambda: place.api().get_user_overview("nobody"),
        lambda: place.api().get_organization_overview("alice"),
        lambda: list(place.api().list_organization_members("nobody")),
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
WRITES = [
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
def test_private_repositories_look_absent_in_every_address(place: Place, user: str) -> None:
    hidden, absent = f"alice/hidden-{user or 0}", f"alice/absent-{user or 0}"
    place.make(hidden, {"a.txt": "secret"}, visibility="private")
    http = place.http(user)
    calls = [("GET", path, None) for path in READS] + [("HEAD", path, None) for path in READS] + WRITES
    for method, path, body in calls:
        answers = []
        for name in (hidden, absent):
            sent = {key: value.format(name) if isinstance(value, str) else value for key, value in (body or {}).items()}
            response = http.request(method, path.format(name), json=sent if body is not None else None)
            text = response.text.replace(name, "NAME")
            answers.append((response.status_code, response.headers.get("x-error-code"), text))
        assert answers[0] == answers[1], (method, path)
        assert answers[0][:2] == (404, "RepoNotFound"), (method, path)


def test_the_owner_sees_it_and_a_wrong_token_nothing(place: Place) -> None:
    place.make("alice/own", {"a.txt": "x"}, visibility="private")
    assert place.api("alice").dataset_info("alice/own").private
    assert place.api("reader").dataset_info("alice/own").private
    with pytest.raises(RepositoryNotFoundError):
        place.api("bob").dataset_info("alice/own")
    response = place.http("hf_wrong").get("/api/datasets/alice/own")
    assert (response.status_code, response.json()["error"]) == (401, "Invalid credentials in Authorization header")
