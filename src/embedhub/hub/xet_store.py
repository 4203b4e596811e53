"""Uploads of Hugging Face's current clients: xorbs wait here until a shard says how files are made of them.

Knows xorbs and epochs. A client remembers for weeks which xorbs it has sent to an address, and does not send them
again; so they are kept while that address, which has the epoch in it, is in use, and whenever something does not fit a
new epoch begins, in which the client starts from nothing. That is also why xorbs need not survive a power cut: the
files made of them do.

An epoch is one user's in one repository: nobody can read another's bytes, or spoil them, by naming their xorbs.

    xorbs/<repository>/<epoch>/<hash>
"""

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Self

from embedhub.errors import HubContentError, XetError
from embedhub.hub.blobs import BlobStore, BlobWriter
from embedhub.hub.staging import Receiver, StagedFile, hub_storage_errors
from embedhub.hub.xet import MAX_XORB_BYTES, Data, XorbIndex, decode_chunk, index_xorb, parse_shard

# How long an address is given out, and how long it works after that: longer than its tokens and than an upload.
EPOCH_SECONDS = 86_400.0
GRACE_SECONDS = 86_400.0

# Of a shard's files together: decompressing 256 GiB takes minutes, and nobody sends as much at once.
MAX_FILES_BYTES = 256 << 30

# Files of many versions are made of many xorbs in turn.
_OPEN_XORBS = 32

_COMPARE_BYTES = 1 << 20

_REPOSITORY = re.compile(r"[0-9a-f][0-9a-f-]{0,63}")
_EPOCH = re.compile(r"([0-9a-f]{16})-([0-9a-f]{12})")
_HASH = re.compile(r"[0-9a-f]{64}")


class XorbWriter(Receiver):
    """A xorb that is being received."""

    def __init__(self, staged: StagedFile, target: Path, base: Path) -> None:
        super().__init__(staged)
        self._target = target
        self._base = base

    def finish(self) -> bool:
        """Keep the xorb; gives whether it is new. Other bytes under the same hash are replaced.

        Raises:
            XetError: it is not a xorb; nothing is kept.
            StorageFullError: no space left.
        """
        try:
            index_xorb(self._staged.read, self._staged.size)
            if self._is_here():
                return False
            self._staged.keep(self._target, self._base, durable=False)
        finally:
            self.abort()
        return True

    def _is_here(self) -> bool:
        try:
            with self._target.open("rb", buffering=0) as file:
                place = 0
                while True:
                    piece = self._staged.read(_COMPARE_BYTES, place)
                    if file.read(len(piece) or 1) != piece:
                        return False
                    if not piece:
                        return True
                    place += len(piece)
        except FileNotFoundError:
            return False


class XetStore:
    """The xorbs under a folder. Any number of threads may use it.

    Args:
        blobs: where files go; the xorbs are beside them.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._folder = blobs.root / "xorbs"

    def epoch(self, repository: str, user: str) -> str:
        """The epoch for a user's next upload to a repository: digits, letters and a dash, to be part of an address.

        Args:
            repository: its uuid.
            user: whoever uploads, by a name that is nobody else's.
        """
        owner = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        epochs = self._epochs(repository, owner)
        if epochs and time.time() - _begun(epochs[-1]) < EPOCH_SECONDS:
            return epochs[-1]
        return self._begin_epoch(repository, owner)

    def begin(self, repository: str, epoch: str, xorb: str) -> XorbWriter:
        """Receive a xorb.

        Args:
            repository: its uuid.
            epoch: of `epoch`.
            xorb: its hash, as text.

        Raises:
            XetError: that is no xorb's hash, or the epoch is over.
            HubStorageError: the folder cannot be written.
        """
        target = self._of(repository, epoch) / _checked(xorb)
        return XorbWriter(self._blobs.staging.begin(MAX_XORB_BYTES), target, self._folder)

    def ingest(
        self, repository: str, epoch: str, shard: Data, max_bytes: int = MAX_FILES_BYTES
    ) -> list[tuple[str, int]]:
        """Put a shard's files together and into the blob store; gives sha256 and size of each, in order.

        Args:
            repository: its uuid.
            epoch: of `epoch`.
            shard: what the client sent.
            max_bytes: of all files together.

        Raises:
            XetError: it is no shard, a xorb is not here or does not fit, or a file has another sha256 than it was said
                to have. The files before that one are in the store. The user's next epoch is a new one.
            StorageFullError: no space left; likewise, but for the epoch.
        """
        folder = self._of(repository, epoch)
        total = 0
        known: set[str] = set()
        try:
            for file in parse_shard(shard):
                total += file.size
                if total > max_bytes:
                    raise XetError(f"the files of a shard have {max_bytes} bytes at most: send fewer at once")
                for xorb in file.xorbs():
                    if xorb not in known and not (folder / xorb).is_file():
                        raise XetError(f"xorb {xorb} is not here: start the upload again")
                    known.add(xorb)
            files = []
            with _OpenXorbs(folder) as xorbs:
                for file in parse_shard(shard):
                    with self._blobs.begin(file.size) as writer:
                        for segment in file.segments():
                            _copy_chunks(xorbs, segment.xorb, segment.first, segment.end, segment.size, writer)
                        files.append((_finish(writer, file.sha256, file.size), file.size))
            return files
        except XetError:
            # A xorb may be damaged that the client would never send again to this address.
            self._begin_epoch(repository, epoch.partition("-")[0])
            raise

    def drop(self, repository: str) -> None:
        """Forget all xorbs of a repository, as when it is deleted."""
        shutil.rmtree(self._repository(repository), ignore_errors=True)

    def expire(self, *, remove: bool = True) -> int:
        """Forget the epochs that are over, of all repositories, or only count them; gives how many that were."""
        expired = 0
        with contextlib.suppress(FileNotFoundError):
            for repository in self._folder.iterdir():
                for epoch in _epochs_in(repository):
                    if time.time() - _begun(epoch) > EPOCH_SECONDS + GRACE_SECONDS:
                        if remove:
                            shutil.rmtree(repository / epoch, ignore_errors=True)
                        expired += 1
                if remove:
                    with contextlib.suppress(OSError):
                        # Refused while there is something in it.
                        repository.rmdir()
        return expired

    def _begin_epoch(self, repository: str, owner: str) -> str:
        """A new epoch. Of those before, the last goes on working for uploads that run; of the others, the young."""
        milliseconds = int(time.time() * 1000)
        before = self._epochs(repository, owner)
        if before:
            milliseconds = max(milliseconds, int(before[-1].partition("-")[2], 16) + 1)
        epoch = f"{owner}-{milliseconds:012x}"
        with hub_storage_errors():
            (self._repository(repository) / epoch).mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in before[:-1]:
            if time.time() - _begun(old) > GRACE_SECONDS:
                shutil.rmtree(self._repository(repository) / old, ignore_errors=True)
        return epoch

    def _epochs(self, repository: str, owner: str) -> list[str]:
        return [epoch for epoch in _epochs_in(self._repository(repository)) if epoch.startswith(owner)]

    def _repository(self, repository: str) -> Path:
        if not _REPOSITORY.fullmatch(repository):
            raise XetError(f"{repository!r:.100} is no repository's id")
        return self._folder / repository

    def _of(self, repository: str, epoch: str) -> Path:
        folder = self._repository(repository) / epoch
        if not _EPOCH.fullmatch(epoch) or not folder.is_dir():
            raise XetError("this address for uploads is no longer in use: start the upload again")
        return folder


class _OpenXorbs:
    """Xorbs that are read in turn, each opened and indexed once as long as there are not too many."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: OrderedDict[str, tuple[int, XorbIndex]] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor, _ in self._open.values():
            os.close(descriptor)

    def get(self, xorb: str) -> tuple[int, XorbIndex]:
        if xorb in self._open:
            self._open.move_to_end(xorb)
            return self._open[xorb]
        if len(self._open) == _OPEN_XORBS:
            os.close(self._open.popitem(last=False)[1][0])
        try:
            descriptor = os.open(self._folder / xorb, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise XetError(f"xorb {xorb} is no longer here: start the upload again") from error
        try:
            index = index_xorb(lambda count, place: os.pread(descriptor, count, place), os.fstat(descriptor).st_size)
        except BaseException:
            os.close(descriptor)
            raise
        self._open[xorb] = descriptor, index
        return descriptor, index


def _copy_chunks(xorbs: _OpenXorbs, xorb: str, first: int, end: int, size: int, writer: BlobWriter) -> None:
    with hub_storage_errors():
        descriptor, index = xorbs.get(xorb)
    if index.size(first, end) != size:
        raise XetError(f"chunks {first} to {end} of xorb {xorb} do not have the {size} bytes that the shard says")
    places, counts = index.offsets[first:end].tolist(), index.stored[first:end].tolist()
    schemes, starts = index.schemes[first:end].tolist(), index.starts[first : end + 1].tolist()
    for number, (place, count, scheme) in enumerate(zip(places, counts, schemes, strict=True)):
        # Not by a map of the file into memory: a disk that fails would end the process.
        with hub_storage_errors():
            stored = os.pread(descriptor, count, place)
        writer.write(decode_chunk(scheme, stored, starts[number + 1] - starts[number]))


def _finish(writer: BlobWriter, sha256: str | None, size: int) -> str:
    found = writer.sha256
    try:
        writer.finish(sha256, size)
    except HubContentError as error:
        raise XetError(f"a file put together has sha256 {found}, not {sha256}: start the upload again") from error
    return found


def _checked(xorb: str) -> str:
    if not _HASH.fullmatch(xorb):
        raise XetError(f"{xorb!r:.100} is no xorb's hash: 64 digits of 0-9 and a-f")
    return xorb


def _epochs_in(folder: Path) -> list[str]:
    """Names of the epochs in a repository's folder, of one owner in the order in which they began."""
    try:
        return sorted(entry.name for entry in folder.iterdir() if _EPOCH.fullmatch(entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _begun(epoch: str) -> float:
    return int(epoch.partition("-")[2], 16) / 1000
