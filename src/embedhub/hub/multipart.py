"""Large files that come in parts, in any order and again where a connection broke; then joined and checked as a whole.

Knows parts and where they wait. Refuses to know who may send them: the name of an upload is secret, and whoever gives
it away signs what it is for.
"""

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from embedhub.errors import HubContentError
from embedhub.hub.blobs import BlobStore
from embedhub.hub.staging import Receiver, StagedFile, hub_storage_errors

# As many as S3 allows, by whose rules the clients cut their files.
MAX_PARTS = 10_000

_UPLOAD = re.compile(r"[0-9a-f]{32}")
_JOIN_BYTES = 1 << 20


class PartWriter(Receiver):
    """A part that is being received."""

    def __init__(self, staged: StagedFile, target: Path, base: Path) -> None:
        super().__init__(staged)
        self._target = target
        self._base = base

    def finish(self) -> str:
        """The part's ETag, without quotes, for `complete`. A part of the same number is replaced.

        Parts do not survive a power cut: it is the whole that is made to last.
        """
        try:
            self._staged.keep(self._target, self._base, durable=False)
        finally:
            self.abort()
        with hub_storage_errors():
            return _etag(self._target.stat())


class PartUploads:
    """Uploads in parts on their way into a store.

    Args:
        store: where the whole goes; the parts wait in its folder `tmp`.
    """

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._folder = store.staging.folder

    def begin(self) -> str:
        """The name of a new upload: nothing that is guessed. It costs nothing until a part comes."""
        return secrets.token_hex(16)

    def part(self, upload: str, number: int, limit: int) -> PartWriter:
        """Receive a part.

        Args:
            upload: of `begin`.
            number: from 1.
            limit: bytes it may have at most.

        Raises:
            HubContentError: an impossible upload or number.
            StorageFullError: there is no space for so many bytes.
        """
        folder = self._of(upload)
        if not 1 <= number <= MAX_PARTS:
            raise HubContentError(f"part {number}: parts are numbered from 1 to {MAX_PARTS}")
        return PartWriter(self._store.staging.begin(limit), folder / str(number), self._folder)

    def complete(self, upload: str, parts: Sequence[tuple[int, str]], sha256: str, size: int) -> Path:
        """Join the parts; gives the file's place in the store, as `BlobWriter.finish` does.

        A second call finds no parts: whoever answers a repeated request looks whether the repository holds the file.

        Args:
            upload: of `begin`.
            parts: number and ETag of each, in order.
            sha256: of the whole.
            size: of the whole, in bytes.

        Raises:
            HubContentError: a part is missing or another than the ETag says, or the whole is not what was announced.
                The parts stay, so that one can be sent again.
            StorageFullError: no space left; likewise.
        """
        folder = self._of(upload)
        numbers = [number for number, _ in parts]
        if not numbers or sorted(set(numbers)) != numbers:
            raise HubContentError("the parts must be listed in the order of their numbers, each once")
        if sum(self._check(folder, number, etag) for number, etag in parts) != size:
            raise HubContentError(f"the parts together do not have the {size} bytes that were announced")
        buffer = memoryview(bytearray(_JOIN_BYTES))
        with self._store.begin(size) as whole:
            for number in numbers:
                try:
                    file = (folder / str(number)).open("rb", buffering=0)
                except FileNotFoundError as error:
                    raise HubContentError(f"part {number} is no longer here: begin a new upload") from error
                with file:
                    while count := file.readinto(buffer):
                        whole.write(buffer[:count])
            path = whole.finish(sha256, size)
        self.abort(upload)
        return path

    def abort(self, upload: str) -> None:
        """Forget an upload and its parts."""
        shutil.rmtree(self._of(upload), ignore_errors=True)

    def expire(self, seconds: float, *, remove: bool = True) -> int:
        """Forget the uploads that got no part for so long, or only count them; gives how many that were."""
        expired = 0
        with contextlib.suppress(FileNotFoundError):
            for folder in self._folder.iterdir():
                if not _UPLOAD.fullmatch(folder.name):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - folder.stat().st_mtime > seconds:
                        if remove:
                            shutil.rmtree(folder, ignore_errors=True)
                        expired += 1
        return expired

    def _of(self, upload: str) -> Path:
        if not _UPLOAD.fullmatch(upload):
            raise HubContentError(f"{upload!r:.100} is no upload in parts: ask for a new one")
        return self._folder / upload

    def _check(self, folder: Path, number: int, etag: str) -> int:
        """Bytes of a part."""
        try:
            found = (folder / str(number)).stat()
        except FileNotFoundError as error:
            raise HubContentError(f"part {number} is not here: send it, or begin a new upload") from error
        if etag.strip('"') != _etag(found):
            raise HubContentError(f"part {number} is another than ETag {etag:.100} says: send it again")
        return found.st_size


def _etag(found: os.stat_result) -> str:
    # The hash of the whole decides; this only tells a part from the one it replaced, and costs no second reading.
    return f"{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ino:x}"
