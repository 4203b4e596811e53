"""Discussions and pull requests, as Hugging Face's own client asks for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.community import DiscussionComment, DiscussionStatusChange, DiscussionTitleChange
from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RepositoryNotFoundError
from tests.server.processes import Running, eventually, running

from embedhub.hub.hosting import Hub
from embedhub.hub.names import Kind
from embedhub.hub.trees import FILE


@dataclass
class Place:
    """A server, and two people who know it; the repositories are ann's."""

    server: Running
    hub: Hub
    ann: HfApi
    bob: HfApi
    count: int = 0

    def make(self, kind: Kind = Kind.DATASET, visibility: str = "public") -> str:
        """A repository of ann's."""
        self.count += 1
        name = f"ann/r{self.count}"
        self.hub.create(self.hub.actor("ann", "write"), kind, name, visibility=visibility)
        return name


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Place]:
    with running(tmp_path_factory.mktemp("discussions"), tiny_folder, "--allow-anonymous") as server:
        tokens = [server.accounts().create_token(user, "write")[0] for user in ("ann", "bob")]
        ann, bob = (HfApi(endpoint=server.address, token=token) for token in tokens)
        hub = Hub(server.home)
        assert eventually(lambda: _knows(server, bob))
        yield Place(server, hub, ann, bob)
        hub.close()
        assert "Traceback" not in server.told()


def _knows(server: Running, client: HfApi) -> bool:
    headers = {"Authorization": f"Bearer {client.token}"}
    return httpx.get(f"{server.address}/api/whoami-v2", headers=headers).status_code == 200


def test_a_discussion_from_beginning_to_end(place: Place) -> None:
    name = place.make()
    made = place.bob.create_discussion(name, " A question ! ", repo_type="dataset", description="of *mine*")
    assert (made.num, made.title, made.author, made.status) == (1, "A question !", "bob", "open")
    assert (made.is_pull_request, made.repo_id, made.repo_type) == (False, name, "dataset")
    assert made.url == f"{place.server.address}/datasets/{name}/discussions/1"
    said = place.ann.comment_discussion(name, 1, "<b>&\n\nline", repo_type="dataset")
    assert isinstance(said, DiscussionComment)
    assert (said.content, said.author, said.edited, said.hidden) == ("<b>&\n\nline", "ann", False, False)
    assert said.rendered == "<p>&lt;b&gt;&amp;\n\nline</p>"
    edited = place.ann.edit_discussion_comment(name, 1, said.id, "better 🤗", repo_type="dataset")
    assert (edited.id, edited.content, edited.edited, edited.number_of_edits) == (said.id, "better 🤗", True, 1)
    assert (edited.last_edited_by, edited.edit_history[0]["raw"]) == ("ann", "<b>&\n\nline")
    assert edited.last_edited_at >= edited.created_at
    renamed = place.bob.rename_discussion(name, 1, "Another", repo_type="dataset")
    assert isinstance(renamed, DiscussionTitleChange)
    assert (renamed.old_title, renamed.new_title) == ("A question !", "Another")
    closed = place.ann.change_discussion_status(name, 1, "closed", comment="done", repo_type="dataset")
    assert isinstance(closed, DiscussionStatusChange)
    assert closed.new_status == "closed"
    with pytest.warns(UserWarning, match="irreversible"):
        hidden = place.ann.hide_discussion_comment(name, 1, made.events[0].id, repo_type="dataset")
    assert (hidden.hidden, "mine" in hidden.content) == (True, False)
    details = place.bob.get_discussion_details(name, 1, repo_type="dataset")
    assert (details.title, details.status, details.diff, details.conflicting_files) == ("Another", "closed", None, None)
    assert [event.type for event in details.events] == [
        "comment",
        "comment",
        "title-change",
        "comment",
        "status-change",
    ]
    assert details.events[0] == hidden
    assert details.events[1] == edited
    raw = httpx.get(f"{place.server.address}/api/datasets/{name}/discussions/1").json()
    assert raw["createdAt"].endswith("Z")
    assert raw["createdAt"][-5] == "."
    assert "mine" not in str(raw)


def test_lists_are_filtered_and_paged(place: Place) -> None:
    name = place.make(Kind.MODEL)
    repository = place.hub.repositories.find(Kind.MODEL, name)
    for number in range(52):
        place.hub.discussions.open(repository, place.hub.actor("bob", "write"), f"number {number}", "x")
    place.ann.create_pull_request(name, "a change")
    place.ann.change_discussion_status(name, 1, "closed")
    listed = list(place.ann.get_repo_discussions(name))
    assert [each.num for each in listed] == list(range(53, 0, -1))

    def numbers(**wanted: str) -> list[int]:
        return [each.num for each in place.bob.get_repo_discussions(name, **wanted)]  # type: ignore[arg-type]

    assert numbers(discussion_type="pull_request") == [53]
    assert numbers(discussion_type="pull_request", discussion_status="open") == [53]
    assert numbers(discussion_status="closed", discussion_type="discussion") == [1]
    assert numbers(author="ann") == [53]
    assert numbers(author="nobody") == []
    asked = httpx.get(f"{place.server.address}/api/models/{name}/discussions?status=none")
    assert (asked.status_code, "one of all, open, closed" in asked.text) == (400, True)


def test_a_pull_request_is_proposed_and_merged(place: Place) -> None:
    name = place.make(Kind.MODEL)
    made = place.ann.create_pull_request(name, "a change", description="why")
    assert (made.status, made.git_reference, made.target_branch) == ("draft", "refs/pr/1", "refs/heads/main")
    assert (made.diff, made.conflicting_files, made.merge_commit_oid) == ("", [], None)
    operation = CommitOperationAdd("new.txt", b"hello\n")
    done = place.ann.create_commit(name, [operation], commit_message="add new.txt", revision="refs/pr/1")
    details = place.bob.get_discussion_details(name, 1)
    assert [(event.type, getattr(event, "oid", None)) for event in details.events] == [
        ("comment", None),
        ("commit", done.oid),
    ]
    assert details.diff is not None
    assert "+hello" in details.diff
    place.ann.change_discussion_status(name, 1, "open")
    with pytest.raises(HfHubHTTPError, match="may not write to"):
        place.bob.merge_pull_request(name, 1)
    place.ann.merge_pull_request(name, 1, comment="thank you")
    merged = place.ann.get_discussion_details(name, 1)
    assert (merged.status, merged.merge_commit_oid) == ("merged", done.oid)
    assert sorted(event.type for event in merged.events) == [
        "comment",
        "comment",
        "commit",
        "status-change",
        "status-change",
    ]


def test_conflicts_are_told(place: Place) -> None:
    name = place.make(Kind.MODEL)
    place.bob.create_pull_request(name, "a change")
    place.ann.change_discussion_status(name, 1, "open")
    repository = place.hub.repositories.find(Kind.MODEL, name)
    for reference in ("refs/pr/1", "refs/heads/main"):
        with place.hub.change(repository) as git:
            head = git.resolve(reference)
            top = git.entry(head, "")
            assert top is not None
            tree = git.edit_tree(top.oid, {"a.txt": (git.write_blob(reference.encode()), FILE)})
            git.commit(reference, tree, [head], "change", "bob", expected=head)
    assert place.ann.get_discussion_details(name, 1).conflicting_files == ["a.txt"]
    with pytest.raises(HfHubHTTPError, match=r"conflicts with refs/heads/main in a\.txt") as raised:
        place.ann.merge_pull_request(name, 1)
    assert raised.value.response.status_code == 409


def test_who_may_take_part(place: Place) -> None:
    private = place.make(visibility="private")
    place.ann.create_discussion(private, "ours", repo_type="dataset")
    stranger = HfApi(endpoint=place.server.address, token=False)
    for client in (place.bob, stranger):
        with pytest.raises(RepositoryNotFoundError):
            client.get_discussion_details(private, 1, repo_type="dataset")
        with pytest.raises(RepositoryNotFoundError):
            client.create_discussion(private, "mine", repo_type="dataset")
    public = place.make()
    place.ann.create_discussion(public, "ours", repo_type="dataset")
    assert stranger.get_discussion_details(public, 1, repo_type="dataset").title == "ours"
    with pytest.raises(HfHubHTTPError, match="a token is needed"):
        stranger.comment_discussion(public, 1, "x", repo_type="dataset")
    with pytest.raises(HfHubHTTPError, match="403"):
        place.bob.rename_discussion(public, 1, "x", repo_type="dataset")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("", b'{"title": ""}', 400),
        ("", b'{"title": 1}', 400),
        ("", b"{", 400),
        ("", b'{"title": "' + b"x" * 201 + b'", "description": "x"}', 400),
        ("/2/comment", b'{"comment": "x"}', 404),
        ("/0/comment", b'{"comment": "x"}', 404),
        ("/x/comment", b'{"comment": "x"}', 404),
        ("/%31%32%33%34%35%36%37%38%39%30/comment", b'{"comment": "x"}', 404),
        ("/1/comment", b"{}", 400),
        ("/1/comment", b'{"comment": "' + b"x" * 70_000 + b'"}', 400),
        ("/1/comment", b'{"comment": "' + b"x" * (1 << 20) + b'"}', 413),
        ("/1/comment/0/edit", b'{"content": "x"}', 404),
        ("/1/comment/%00/hide", b"", 404),
        ("/1/status", b'{"status": "merged"}', 400),
        ("/1/merge", b"", 409),
        ("/1/merge", b"[]", 400),
    ],
)
def test_hostile_requests_get_a_line(place: Place, path: str, body: bytes, status: int) -> None:
    if not _exists(place, "ann/target"):
        place.hub.create(place.hub.actor("ann", "write"), Kind.MODEL, "ann/target")
        place.ann.create_discussion("ann/target", "one")
    url = f"{place.server.address}/api/models/ann/target/discussions{path}"
    asked = httpx.post(url, content=body, headers={"Authorization": f"Bearer {place.ann.token}"})
    assert asked.status_code == status, asked.text
    assert "\n" not in asked.json()["error"]


def _exists(place: Place, name: str) -> bool:
    return any(repository.id == name for repository in place.hub.repositories.all())


def test_an_error_may_name_what_no_header_can(place: Place) -> None:
    for name in ("a%00", "a%0d%0ax: y", "%F0%9F%A4%97"):
        asked = httpx.get(f"{place.server.address}/api/models/{name}/b/discussions")
        assert asked.status_code in (400, 401)
        assert "not found" in asked.headers["x-error-message"]
        assert "x" not in asked.headers


def test_the_client_checks_titles_as_we_do(place: Place) -> None:
    with pytest.raises(BadRequestError, match="a title has 1 to 200 characters"):
        place.ann.create_discussion(place.make(Kind.MODEL), "  ")
