"""Files in parts: any order, sent again, replaced; joined only if the whole is what was announced."""

import hashlib
import os
import random
from pathlib import Path

import pytest

from embedhub.errors import HubContentError, StorageFullError
from embedhub.hub.blobs import BlobStore
from embedhub.hub.multipart import MAX_PARTS, PartUploads

PARTS = [bytes([number]) * 700_000 for number in range(1, 4)] + [b"the end"]
WHOLE = b"".join(PARTS)
SHA256 = hashlib.sha256(WHOLE).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


@pytest.fixture
def uploads(store: BlobStore) -> PartUploads:
    return PartUploads(store)


def send(uploads: PartUploads, upload: str, number: int, data: bytes) -> str:
    with uploads.part(upload, number, 700_000) as part:
        part.write(data)
        return part.finish()


def send_all(uploads: PartUploads, upload: str) -> list[tuple[int, str]]:
    numbers = list(range(1, len(PARTS) + 1))
    random.Random(1).shuffle(numbers)
    return sorted((number, send(uploads, upload, number, PARTS[number - 1])) for number in numbers)


def files(store: BlobStore) -> list[str]:
    return sorted(path.name for path in store.root.rglob("*") if path.is_file())


def test_parts_in_any_order_become_the_whole(store: BlobStore, uploads: PartUploads) -> None:
    upload = uploads.begin()
    path = uploads.complete(upload, send_all(uploads, upload), SHA256, len(WHOLE))
    assert path == store.path(SHA256)
    assert path.read_bytes() == WHOLE
    assert files(store) == [SHA256]
    assert not (store.root / "tmp" / upload).exists()


def test_clients_send_etags_in_quotes(uploads: PartUploads) -> None:
    upload = uploads.begin()
    parts = [(number, f'"{etag}"') for number, etag in send_all(uploads, upload)]
    assert uploads.complete(upload, parts, SHA256, len(WHOLE)).exists()


def test_a_part_that_was_replaced_is_known_by_its_new_etag_only(uploads: PartUploads) -> None:
    upload = uploads.begin()
    parts = send_all(uploads, upload)
    again = send(uploads, upload, 4, PARTS[3])
    with pytest.raises(HubContentError, match="part 4 is another than ETag"):
        uploads.complete(upload, parts, SHA256, len(WHOLE))
    assert uploads.complete(upload, [*parts[:3], (4, again)], SHA256, len(WHOLE)).exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda parts: parts[1:], "do not have the"),
        (lambda parts: parts[::-1], "order of their numbers"),
        (lambda parts: [*parts, parts[-1]], "order of their numbers"),
        (lambda parts: [], "order of their numbers"),
        (lambda parts: [*parts, (9, "x")], "part 9 is not here"),
        (lambda parts: [(-1, "x"), *parts], "part -1 is not here"),
    ],
)
def test_other_lists_of_parts_are_refused(store: BlobStore, uploads: PartUploads, change: object, words: str) -> None:
    assert callable(change)
    upload = uploads.begin()
    parts = send_all(uploads, upload)
    with pytest.raises(HubContentError, match=words):
        uploads.complete(upload, change(parts), SHA256, len(WHOLE))
    assert not store.has(SHA256)
    assert uploads.complete(upload, parts, SHA256, len(WHOLE)).exists()


def test_a_whole_of_another_hash_is_not_kept_and_its_parts_are(store: BlobStore, uploads: PartUploads) -> None:
    upload = uploads.begin()
    parts = send_all(uploads, upload)
    with pytest.raises(HubContentError, match="have sha256"):
        uploads.complete(upload, parts, "1" * 64, len(WHOLE))
    assert files(store) == ["1", "2", "3", "4"]
    assert list(store) == []


def test_knowing_a_sha256_is_not_having_the_file(store: BlobStore, uploads: PartUploads) -> None:
    with store.begin() as writer:
        writer.write(WHOLE)
        writer.finish(SHA256, len(WHOLE))
    with pytest.raises(HubContentError, match="part 1 is not here"):
        uploads.complete(uploads.begin(), [(1, "x")], SHA256, len(WHOLE))


def test_a_part_is_no_larger_than_agreed(store: BlobStore, uploads: PartUploads) -> None:
    with uploads.part(uploads.begin(), 1, 10) as part:
        part.write(b"x" * 10)
        with pytest.raises(HubContentError, match="more than the 10 bytes"):
            part.write(b"x")
    assert files(store) == []
    with pytest.raises(StorageFullError):
        uploads.part(uploads.begin(), 1, 1 << 60)


@pytest.mark.parametrize("number", [0, -1, MAX_PARTS + 1])
def test_impossible_numbers_are_refused(uploads: PartUploads, number: int) -> None:
    with pytest.raises(HubContentError, match="parts are numbered"):
        uploads.part(uploads.begin(), number, 10)


@pytest.mark.parametrize("upload", ["", "..", "/etc", "a/b", "unfinished-00", "A" * 32, "a" * 31, "a" * 32 + "\n"])
def test_what_is_no_upload_reaches_no_path(store: BlobStore, uploads: PartUploads, upload: str) -> None:
    with pytest.raises(HubContentError, match="no upload in parts"):
        uploads.part(upload, 1, 10)
    with pytest.raises(HubContentError, match="no upload in parts"):
        uploads.complete(upload, [(1, "x")], SHA256, 1)
    with pytest.raises(HubContentError, match="no upload in parts"):
        uploads.abort(upload)
    assert files(store) == []


def test_uploads_that_nobody_continues_expire(store: BlobStore, uploads: PartUploads) -> None:
    assert uploads.expire(0) == 0
    old, new = uploads.begin(), uploads.begin()
    parts = send_all(uploads, new)
    send(uploads, old, 1, PARTS[0])
    os.utime(store.root / "tmp" / old, (1, 1))
    assert uploads.expire(3600) == 1
    assert not (store.root / "tmp" / old).exists()
    with pytest.raises(HubContentError, match="part 1 is not here"):
        uploads.complete(old, [(1, "x")], SHA256, len(WHOLE))
    assert uploads.complete(new, parts, SHA256, len(WHOLE)).exists()


def test_an_upload_can_be_aborted(store: BlobStore, uploads: PartUploads) -> None:
    upload = uploads.begin()
    send_all(uploads, upload)
    uploads.abort(upload)
    uploads.abort(upload)
    assert files(store) == []


def test_cleaning_at_start_keeps_parts(store: BlobStore, uploads: PartUploads) -> None:
    upload = uploads.begin()
    parts = send_all(uploads, upload)
    assert store.staging.clean() == 0
    assert uploads.complete(upload, parts, SHA256, len(WHOLE)).exists()
