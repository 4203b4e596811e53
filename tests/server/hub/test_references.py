"""Branches, tags, histories and the removal of large files, with the real client."""

from urllib.parse import quote

import pytest
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RevisionNotFoundError
from tests.server.hub.place import Place

from embedhub.hub.pointers import Pointer
from embedhub.hub.repositories import Repository

DATASET = "dataset"


def _names(stage: Place, made: Repository) -> tuple[list[str], list[str]]:
    refs = stage.api().list_repo_refs(made.id, repo_type=DATASET)
    return [each.name for each in refs.branches], [each.name for each in refs.tags]


def test_branches(stage: Place) -> None:
    made = stage.make("alice/refs-1", {"a": "1"})
    api = stage.api()
    first = api.dataset_info(made.id).sha
    second = stage.commit(made, {"b": "2"})
    api.create_branch(made.id, repo_type=DATASET, branch="from-main")
    api.create_branch(made.id, repo_type=DATASET, branch="feature/x", revision=first)
    api.create_branch(made.id, repo_type=DATASET, branch="again", revision="feature/x")
    refs = api.list_repo_refs(made.id, repo_type=DATASET)
    assert {each.name: (each.ref, each.target_commit) for each in refs.branches} == {
        "main": ("refs/heads/main", second),
        "from-main": ("refs/heads/from-main", second),
        "feature/x": ("refs/heads/feature/x", first),
        "again": ("refs/heads/again", first),
    }
    assert (refs.tags, refs.converts, refs.pull_requests) == ([], [], None)
    with pytest.raises(HfHubHTTPError, match="Reference refs/heads/again already exists") as caught:
        api.create_branch(made.id, repo_type=DATASET, branch="again")
    assert caught.value.response.status_code == 409
    api.create_branch(made.id, repo_type=DATASET, branch="again", exist_ok=True)
    api.delete_branch(made.id, repo_type=DATASET, branch="feature/x")
    assert _names(stage, made)[0] == ["again", "from-main", "main"]


def test_branches_that_cannot_be(stage: Place) -> None:
    made = stage.make("alice/refs-2", {"a": "1"})
    api = stage.api()
    for name in (
        "refs/heads/x",
        "refs/pr/1",
        "a..b",
        "a b",
        ".a",
        "a.lock",
        "0" * 40,
        "\0",
        "\r\nX-Evil: 1",
        "a" * 300,
    ):
        with pytest.raises(BadRequestError):
            api.create_branch(made.id, repo_type=DATASET, branch=name)
    with pytest.raises(RevisionNotFoundError, match="Invalid rev id"):
        api.create_branch(made.id, repo_type=DATASET, branch="x", revision="nothing")
    with pytest.raises(HfHubHTTPError, match="Cannot delete refs/heads/main") as caught:
        api.delete_branch(made.id, repo_type=DATASET, branch="main")
    assert caught.value.response.status_code == 403
    with pytest.raises(RevisionNotFoundError, match="Invalid rev id"):
        api.delete_branch(made.id, repo_type=DATASET, branch="nothing")
    with pytest.raises(HfHubHTTPError, match="in its way"):
        api.create_branch(made.id, repo_type=DATASET, branch="main/x")
    assert _names(stage, made) == (["main"], [])


def test_branches_as_javascript_makes_them(stage: Place) -> None:
    made = stage.make("alice/refs-3", {"a": "1"})
    url = f"/api/datasets/{made.id}/branch/{quote('empty/one', safe='')}"
    assert stage.http().post(url, json={"emptyBranch": True}).status_code == 200
    assert stage.api().list_repo_files(made.id, repo_type=DATASET, revision="empty/one") == []
    assert stage.http().post(url, json={"startingPoint": "main"}).status_code == 409
    assert stage.http().post(url, json={"startingPoint": "main", "overwrite": True}).status_code == 200
    assert "a" in stage.api().list_repo_files(made.id, repo_type=DATASET, revision="empty/one")
    assert stage.http().post(url, json={"emptyBranch": "yes"}).status_code == 400


def test_tags(stage: Place) -> None:
    made = stage.make("alice/refs-4", {"a": "1"})
    api = stage.api()
    first = api.dataset_info(made.id).sha
    second = stage.commit(made, {"b": "2"})
    api.create_tag(made.id, repo_type=DATASET, tag="v1", revision=first, tag_message="The first")
    api.create_tag(made.id, repo_type=DATASET, tag="v2/rc", revision="main")
    refs = api.list_repo_refs(made.id, repo_type=DATASET)
    assert {each.name: each.target_commit for each in refs.tags} == {"v1": first, "v2/rc": second}
    with pytest.raises(HfHubHTTPError, match="Tag reference exists already"):
        api.create_tag(made.id, repo_type=DATASET, tag="v1")
    api.create_tag(made.id, repo_type=DATASET, tag="v1", exist_ok=True)
    with pytest.raises(RevisionNotFoundError):
        api.create_tag(made.id, repo_type=DATASET, tag="v3", revision="nothing")
    # The revision is looked for first.
    with pytest.raises(RevisionNotFoundError):
        api.create_tag(made.id, repo_type=DATASET, tag="a..b", revision="nothing")
    for name in ("a..b", "refs/tags/x", "", "a~b"):
        with pytest.raises(BadRequestError):
            api.create_tag(made.id, repo_type=DATASET, tag=name)
    api.delete_tag(made.id, repo_type=DATASET, tag="v2/rc")
    with pytest.raises(RevisionNotFoundError, match="Tag not found"):
        api.delete_tag(made.id, repo_type=DATASET, tag="v2/rc")
    # A tag may have a branch's name.
    api.create_tag(made.id, repo_type=DATASET, tag="main", revision=first)
    assert _names(stage, made) == (["main"], ["main", "v1"])


@pytest.mark.parametrize("user", ["bob", "erin", "dan", "reader", ""])
def test_who_may_not_change_references(stage: Place, user: str) -> None:
    made = stage.make(f"acme/refs-{user or 'nobody'}", {"a": "1"})
    http, url = stage.http(user), f"/api/datasets/{made.id}"
    for method, path, body in (
        ("POST", "/branch/b", {}),
        ("DELETE", "/branch/main", None),
        ("POST", "/tag/main", {"tag": "v1"}),
        ("DELETE", "/tag/v1", None),
        ("POST", "/super-squash/main", {}),
        ("POST", "/lfs-files/batch", {"deletions": {"sha": ["a" * 64]}}),
    ):
        response = http.request(method, url + path, json=body)
        assert response.status_code == (403 if user else 401), (method, path, response.text)
    assert http.get(f"{url}/refs").status_code == 200
    assert stage.http("carol").post(f"{url}/branch/b", json={}).status_code == 200


def test_history(stage: Place) -> None:
    made = stage.make("alice/commits", {"a": "0"})
    ids = [stage.api().dataset_info(made.id).sha]
    ids += [stage.commit(made, {"a": str(each)}, f"Number {each}\n\n<b>bold</b>\nmore") for each in range(1, 121)]
    found = stage.api().list_repo_commits(made.id, repo_type=DATASET, formatted=True)
    assert [each.commit_id for each in found] == ids[::-1]
    newest = found[0]
    assert (newest.title, newest.message, newest.authors) == ("Number 120", "<b>bold</b>\nmore", ["alice"])
    assert newest.formatted_title == "Number 120"
    assert "<b>" not in str(newest.formatted_message)
    http = stage.http()
    response = http.get(f"/api/datasets/{made.id}/commits/{ids[3]}?limit=3")
    assert response.headers["x-total-count"] == "4"
    assert [each["id"] for each in response.json()] == [ids[3], ids[2], ids[1]]
    assert [each["id"] for each in http.get(response.links["next"]["url"]).json()] == [ids[0]]
    assert http.get(f"/api/datasets/{made.id}/commits/main?p=99").json() == []
    for query, status in (("p=x", 400), ("limit=-1", 400), ("p=999999999", 200)):
        assert http.get(f"/api/datasets/{made.id}/commits/main?{query}").status_code == status
    with pytest.raises(RevisionNotFoundError):
        stage.api().list_repo_commits(made.id, repo_type=DATASET, revision="nothing")


def test_squash(stage: Place) -> None:
    made = stage.make("alice/squash", {"a": "0"})
    for each in range(3):
        stage.commit(made, {f"f{each}": "x"})
    api = stage.api()
    before = api.list_repo_files(made.id, repo_type=DATASET)
    api.create_branch(made.id, repo_type=DATASET, branch="kept")
    api.super_squash_history(made.id, repo_type=DATASET, commit_message="All of it")
    found = api.list_repo_commits(made.id, repo_type=DATASET)
    assert [each.title for each in found] == ["All of it"]
    assert api.list_repo_files(made.id, repo_type=DATASET) == before
    assert len(api.list_repo_commits(made.id, repo_type=DATASET, revision="kept")) == 4
    with stage.hub.change(made) as git:
        git.set_reference("refs/pr/1", git.resolve("kept"), expected=None)
    api.super_squash_history(made.id, repo_type=DATASET, branch="refs/pr/1")
    assert len(api.list_repo_commits(made.id, repo_type=DATASET, revision="refs/pr/1")) == 1
    refs = api.list_repo_refs(made.id, repo_type=DATASET, include_pull_requests=True)
    assert [(each.name, each.ref) for each in refs.pull_requests or ()] == [("refs/pr/1", "refs/pr/1")]
    for branch in ("nothing", "refs/tags/x", "\0"):
        with pytest.raises(RevisionNotFoundError):
            api.super_squash_history(made.id, repo_type=DATASET, branch=branch)


def test_large_files_listed_and_removed_for_good(stage: Place) -> None:
    made = stage.make("alice/large", {"a": "0"})
    pointers = [Pointer(digit * 64, size) for digit, size in (("a", 10), ("b", 20), ("c", 30))]
    stage.hub.holdings.link(made.uuid, [(each.sha256, each.size) for each in pointers])
    names = ["now.bin", "data/then.bin"]
    stage.commit(made, {name: bytes(each).decode() for name, each in zip(names, pointers, strict=False)})
    stage.commit(made, {"data/then.bin": None})
    api = stage.api()
    found = list(api.list_lfs_files(made.id, repo_type=DATASET))
    assert {(each.oid, each.file_oid, each.filename, each.size, each.ref) for each in found} == {
        ("a" * 64, "a" * 64, "now.bin", 10, "refs/heads/main"),
        ("b" * 64, "b" * 64, "data/then.bin", 20, None),
        # It was sent, and no commit has it.
        ("c" * 64, "c" * 64, "", 30, None),
    }
    api.permanently_delete_lfs_files(made.id, [each for each in found if each.size != 10], repo_type=DATASET)
    assert [each.filename for each in api.list_lfs_files(made.id, repo_type=DATASET)] == ["now.bin"]
    assert stage.hub.holdings.of(made.uuid) == {"a" * 64: 10}
    assert len(api.list_repo_commits(made.id, repo_type=DATASET)) == 3
    with stage.hub.open(made) as git:
        assert "b" * 64 not in {p.sha256 for each in git.log("main") for _, p in git.large_files(each.id, set())}
    remaining = list(api.list_lfs_files(made.id, repo_type=DATASET))
    api.permanently_delete_lfs_files(made.id, remaining, repo_type=DATASET, rewrite_history=False)
    assert list(api.list_lfs_files(made.id, repo_type=DATASET)) == []
    # Then the pointer stays, and leads nowhere.
    assert "now.bin" in api.list_repo_files(made.id, repo_type=DATASET)
    assert stage.http().get(f"/datasets/{made.id}/resolve/main/now.bin").status_code == 404


def test_another_repositorys_large_files_stay(stage: Place) -> None:
    mine, other = stage.make("alice/large-mine"), stage.make("bob/large-other", {})
    for made in (mine, other):
        stage.hub.holdings.link(made.uuid, [("d" * 64, 5)])
    body = {"deletions": {"sha": ["d" * 64], "rewriteHistory": True}}
    assert stage.http().post(f"/api/datasets/{mine.id}/lfs-files/batch", json=body).status_code == 200
    assert stage.hub.holdings.of(other.uuid) == {"d" * 64: 5}
    assert stage.http().post(f"/api/datasets/{other.id}/lfs-files/batch", json=body).status_code == 403
    for bad in ({}, {"deletions": {"sha": "x"}}, {"deletions": {"sha": ["x"] * 10_001}}):
        assert stage.http().post(f"/api/datasets/{mine.id}/lfs-files/batch", json=bad).status_code == 400
