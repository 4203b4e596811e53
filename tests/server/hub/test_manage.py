"""Repositories made, changed, moved and removed with the real client, and with the words of older ones."""

import base64

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
)
from tests.server.hub.place import Place

from embedhub.hub.names import Kind
from embedhub.hub.signing import Signer
from embedhub.server.sessions import COOKIE, PROOF_HEADER, Sessions


def test_create(stage: Place) -> None:
    url = stage.api().create_repo("create-1", repo_type="dataset")
    assert (url, url.repo_id, url.repo_type, url.endpoint) == (
        f"{stage.server.address}/datasets/alice/create-1",
        "alice/create-1",
        "dataset",
        stage.server.address,
    )
    assert stage.api().create_repo("alice/create-1").repo_type == "model"
    space = stage.api().create_repo("create-1", repo_type="space", space_sdk="static")
    found = stage.api().space_info(space.repo_id)
    assert (found.sdk, found.private) == ("static", False)
    assert "README.md" in {file.rfilename for file in found.siblings or ()}


def test_what_is_there_already_is_told_with_its_address(stage: Place) -> None:
    stage.api().create_repo("create-2", repo_type="dataset")
    with pytest.raises(HfHubHTTPError, match="already exists") as caught:
        stage.api().create_repo("create-2", repo_type="dataset")
    assert caught.value.response.status_code == 409
    # In the spelling of whoever was first.
    again = stage.api().create_repo("alice/CREATE-2", repo_type="dataset", exist_ok=True)
    assert again.repo_id == "alice/create-2"


def test_create_where_one_may_not_and_it_is_there(stage: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # As with HF_ENDPOINT, without which the client does not know its own server here.
    monkeypatch.setattr(constants, "ENDPOINT", stage.server.address)
    stage.make("alice/create-3")
    found = stage.api("bob").create_repo("alice/create-3", repo_type="dataset", exist_ok=True)
    assert found.repo_id == "alice/create-3"
    stage.make("alice/create-3-private", visibility="private")
    for id in ("alice/create-3-private", "alice/create-3-nothing"):
        with pytest.raises(HfHubHTTPError) as caught:
            stage.api("bob").create_repo(id, repo_type="dataset", exist_ok=True)
        assert caught.value.response.status_code == 403


@pytest.mark.parametrize(
    ("user", "status"), [("alice", 200), ("carol", 200), ("dan", 200), ("erin", 403), ("bob", 403)]
)
def test_create_in_an_organisation(stage: Place, user: str, status: int) -> None:
    body = {"name": f"create-{user}", "organization": "acme", "type": "dataset"}
    response = stage.http(user).post("/api/repos/create", json=body)
    assert response.status_code == status
    if status == 200:
        assert response.json()["id"] == f"acme/create-{user}"


def test_without_a_token_and_with_one_that_only_reads(stage: Place) -> None:
    for user, status in (("", 401), ("reader", 403), ("hf_unknown", 401)):
        response = stage.http(user).post("/api/repos/create", json={"name": "create-4"})
        assert response.status_code == status
        assert response.json()["error"]


def test_visibility_in_every_clients_words(stage: Place) -> None:
    said: dict[str, dict[str, object]] = {
        "private": {"private": True},
        "public": {"private": False},
        "v": {"visibility": "private"},
    }
    said |= {"protected": {"visibility": "protected"}, "nothing": {"private": None}}
    for name, words in said.items():
        body: dict[str, object] = {"name": f"vis-{name}", "organization": None, "type": "dataset", **words}
        assert stage.http().post("/api/repos/create", json=body).status_code == 200
    hidden = {name for name in said if stage.api().dataset_info(f"alice/vis-{name}").private}
    assert hidden == {"private", "v", "protected"}
    for value in ("secret", "", 7):
        response = stage.http().post("/api/repos/create", json={"name": "vis-bad", "visibility": value})
        assert response.status_code == (200 if value == "" else 400)


def test_create_as_javascript_does(stage: Place) -> None:
    body = {
        "name": "js",
        "organization": "alice",
        "type": "dataset",
        "private": False,
        "license": "mit",
        "files": [
            {"path": "data/x.bin", "content": base64.b64encode(b"\x00\xff").decode(), "encoding": "base64"},
            {"path": "plain.txt", "content": "hi"},
        ],
    }
    made = stage.http().post("/api/repos/create", json=body).json()
    info = stage.api().dataset_info(made["id"])
    assert {file.rfilename for file in info.siblings or ()} == {
        ".gitattributes",
        "README.md",
        "data/x.bin",
        "plain.txt",
    }
    assert info.card_data is not None
    assert info.card_data.license == "mit"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"name": 7}, 400),
        ({"name": ".."}, 400),
        ({"name": "a/b/c"}, 400),
        ({"name": "x", "type": "bucket"}, 400),
        ({"name": "x", "organization": "api"}, 400),
        ({"name": "x" * 97}, 400),
        ({"name": "x.git"}, 400),
        ({"name": "hostile", "files": [{"path": "../x"}]}, 422),
        ({"name": "hostile", "files": [{"path": ".git/hooks/x"}]}, 422),
        ({"name": "hostile", "files": [{"path": "a", "content": "%", "encoding": "base64"}]}, 400),
        ({"name": "hostile", "files": [{"path": "a"}, {"path": "a/b"}]}, 400),
        ({"name": "hostile", "files": [{"path": str(each)} for each in range(1001)]}, 400),
        ({"name": "hostile", "license": "x", "files": None, "visibility": "?"}, 400),
    ],
)
def test_create_with_something_impossible(stage: Place, body: dict[str, object], status: int) -> None:
    response = stage.http().post("/api/repos/create", json=body)
    assert response.status_code == status
    assert "\n" not in response.json()["error"]
    with pytest.raises(RepositoryNotFoundError):
        stage.api().model_info("alice/hostile")


@pytest.mark.parametrize(
    "body", [b"", b"[", b"[]", b"null", b"\xff", b"[" * 10_000, b'{"name": "\\ud800"}', b"x" * 100]
)
def test_bodies_that_are_none(stage: Place, body: bytes) -> None:
    for method, path in (("POST", "create"), ("DELETE", "delete"), ("POST", "move")):
        response = stage.http().request(method, f"/api/repos/{path}", content=body)
        assert response.status_code == 400, response.text


def test_delete(stage: Place) -> None:
    stage.make("alice/delete-1")
    with pytest.raises(HfHubHTTPError) as caught:
        stage.api("bob").delete_repo("alice/delete-1", repo_type="dataset")
    assert caught.value.response.status_code == 403
    stage.api().delete_repo("alice/delete-1", repo_type="dataset")
    with pytest.raises(RepositoryNotFoundError):
        stage.api().delete_repo("alice/delete-1", repo_type="dataset")
    stage.api().delete_repo("alice/delete-1", repo_type="dataset", missing_ok=True)
    stage.api().create_repo("alice/delete-1", repo_type="dataset")


def test_repositories_with_what_they_store(stage: Place) -> None:
    stage.make("bob/stores-1", {"a.txt": "x"})
    stage.make("acme/stores-2", {"a.txt": "x"})
    api = stage.api("bob")
    api.create_repo("bob/stores-3", private=True)
    api.upload_file(path_or_fileobj=b"\0" * 5000, path_in_repo="a.bin", repo_id="bob/stores-3")
    found = {each.id: each for each in api.list_user_repos()}
    assert {"bob/stores-1", "bob/stores-3"} <= found.keys()
    assert all(id.startswith("bob/") for id in found)
    large = found["bob/stores-3"]
    assert (large.type, large.visibility, large.storage, large.storage_percent) == ("model", "private", 5000, 100)
    assert "acme/stores-2" in {each.id for each in stage.api().list_user_repos("acme")}
    for user, namespace in (("", None), ("bob", "nobody")):
        with pytest.raises(HfHubHTTPError):
            list(stage.api(user).list_user_repos(namespace))


def test_duplicating_is_not_offered(stage: Place) -> None:
    stage.make("alice/twice")
    with pytest.raises(HfHubHTTPError, match="not duplicated here") as caught:
        stage.api().duplicate_repo("alice/twice", "alice/thrice", repo_type="dataset")
    assert caught.value.response.status_code == 501


def test_only_administrators_remove(stage: Place) -> None:
    stage.make("acme/delete-2")
    for user, error in (("carol", HfHubHTTPError), ("reader", HfHubHTTPError), ("", HfHubHTTPError)):
        with pytest.raises(error):
            stage.api(user).delete_repo("acme/delete-2", repo_type="dataset")
    assert stage.api().repo_exists("acme/delete-2", repo_type="dataset")
    stage.api().delete_repo("acme/delete-2", repo_type="dataset")
    assert not stage.api().repo_exists("acme/delete-2", repo_type="dataset")


def test_move(stage: Place) -> None:
    stage.make("alice/move-1", {"a.txt": "x"})
    stage.make("alice/move-taken")
    api = stage.api()
    api.move_repo("alice/move-1", "acme/move-2", repo_type="dataset")
    assert api.dataset_info("acme/move-2").id == "acme/move-2"
    with pytest.raises(HfHubHTTPError, match="A dataset repository called acme/move-2 already exists"):
        api.move_repo("alice/move-taken", "acme/move-2", repo_type="dataset")
    with pytest.raises(HfHubHTTPError) as caught:
        api.move_repo("alice/move-taken", "bob/x", repo_type="dataset")
    assert caught.value.response.status_code == 403


def test_old_names_lead_to_the_new_one(stage: Place) -> None:
    stage.make("alice/was", {"a.txt": "x"})
    stage.api().move_repo("alice/was", "alice/is-now", repo_type="dataset")
    for path in ("/api/datasets/{}", "/api/datasets/{}/tree/main?recursive=true", "/api/datasets/{}/revision/main"):
        response = stage.http().get(path.format("alice/Was"))
        assert (response.status_code, response.headers["location"]) == (
            307,
            path.format("alice/is-now"),
        )
        assert stage.http().head(path.format("alice/was")).status_code == 307
    # The client follows.
    assert stage.api().dataset_info("alice/was").id == "alice/is-now"
    assert [entry.path for entry in stage.api().list_repo_tree("alice/was", repo_type="dataset")][-1] == "a.txt"
    # What changes something is done where it was meant; what removes it is not.
    stage.api().create_tag("alice/was", repo_type="dataset", tag="v1")
    for name in ("delete_repo", "move_repo"):
        with pytest.raises(RepositoryNotFoundError):
            getattr(stage.api(), name)(*(["alice/was", "alice/x"][: 1 + (name == "move_repo")]), repo_type="dataset")
    stage.api().update_repo_settings("alice/is-now", repo_type="dataset", private=True)
    response = stage.http("bob").get("/api/datasets/alice/was")
    assert (response.status_code, "is-now" in response.text + str(response.headers)) == (404, False)


def test_settings(stage: Place) -> None:
    stage.make("alice/settings")
    api, bob = stage.api(), stage.api("bob")
    api.update_repo_settings("alice/settings", repo_type="dataset", private=True)
    with pytest.raises(RepositoryNotFoundError):
        bob.dataset_info("alice/settings")
    api.update_repo_settings("alice/settings", repo_type="dataset", visibility="public", gated="manual")
    assert bob.dataset_info("alice/settings").gated == "manual"
    with pytest.raises(GatedRepoError, match="Access to dataset alice/settings is restricted"):
        bob.auth_check("alice/settings", repo_type="dataset")
    with pytest.raises(GatedRepoError):
        list(bob.list_repo_tree("alice/settings", repo_type="dataset"))
    api.auth_check("alice/settings", repo_type="dataset")
    api.update_repo_settings("alice/settings", repo_type="dataset", gated=False)
    bob.auth_check("alice/settings", repo_type="dataset")
    with pytest.raises(HfHubHTTPError):
        bob.update_repo_settings("alice/settings", repo_type="dataset", private=True)
    old = stage.http().put("/api/datasets/alice/settings/settings", json={"private": True, "description": "?"})
    assert old.json() == {"gated": False, "private": True, "visibility": "private"}
    response = stage.http().put("/api/datasets/alice/settings/settings", json={"gated": "sometimes"})
    assert response.status_code == 400


def test_errors_are_the_clients_own(stage: Place) -> None:
    for call in (stage.api().model_info, stage.api().auth_check, stage.api().list_repo_refs):
        with pytest.raises(RepositoryNotFoundError):
            call("alice/never-was")
    stage.make("alice/errors", kind=Kind.MODEL)
    with pytest.raises(BadRequestError):
        stage.api().move_repo("alice/errors", "alice/x.git")


def test_a_session_changes_nothing_without_its_proof(stage: Place) -> None:
    """A cookie comes along with what pages elsewhere send, too."""
    made = stage.make("alice/session", visibility="private")
    account = stage.accounts()["alice"]
    sessions = Sessions(lambda: Signer.of(stage.server.home))
    value, _ = sessions.begin(account.id, secure=False)
    http = stage.http("")
    http.headers["cookie"] = f"{COOKIE}={value}"
    assert http.get(f"/api/datasets/{made.id}").json()["private"]
    calls: tuple[tuple[str, str, dict[str, object]], ...] = (
        ("POST", "/api/repos/create", {"name": "by-session", "type": "dataset"}),
        ("PUT", f"/api/datasets/{made.id}/settings", {"private": False}),
        ("POST", f"/api/datasets/{made.id}/branch/b", {}),
        ("DELETE", "/api/repos/delete", {"name": made.id, "type": "dataset"}),
    )
    for method, path, body in calls:
        assert http.request(method, path, json=body).status_code == 403, path
    http.headers[PROOF_HEADER] = sessions.proof(value)
    for method, path, body in calls:
        assert http.request(method, path, json=body).status_code == 200, path
