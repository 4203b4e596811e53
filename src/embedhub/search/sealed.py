"""A folder of large files that is whole or not there, checked before anything maps it.

Knows bytes, checksums and locks. Refuses to know what the files hold.

A folder is filled under another name and renamed when its seal, `seal.json`, is on the disk. The seal holds a
record of the caller's and each file's CRC-32 and identity (size, device, inode, change time). A file that
kept its identity was not touched since: its checksum, a second for every 2 GB, is not computed again.
"""

import errno
import json
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from embedhub.storage import move_folder, sync, unfinished_files, whole_file

SEAL = "seal.json"
CHUNK_BYTES = 1 << 20


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold `folder` against every other process and thread; waits, and ends with the process.

    Where this process may not write it holds nothing: it cannot build, and a folder appears by one rename.
    """
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise
    try:
        yield
    finally:
        lock.release()


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder to fill and seal that takes the place of `folder` at the end; use under `exclusive`.

    The old folder goes first, to make room; who has mapped its files keeps them. After an exception neither
    is left.
    """
    building = folder.with_name(f"{folder.name}.building")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        yield building
        move_folder(building, folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def seal(folder: Path, record: dict[str, Any]) -> None:
    """Write every file of the folder through to the disk, then the seal.

    Args:
        folder: it holds files only.
        record: what `opened` is to return, as JSON.
    """
    for file in _files(folder):
        sync(file)
    _write_seal(folder, record, {file.name: _checksum(file) for file in _files(folder)})


def opened(folder: Path) -> dict[str, Any] | None:
    """The record of a folder whose files are all what was sealed, else None."""
    try:
        text = (folder / SEAL).read_bytes()
        sealed = json.loads(text)
        content = sealed["content"]
        if sealed["crc32"] != zlib.crc32(_canonical(content)):
            return None
        if sorted(content["files"]) != [file.name for file in _files(folder)]:
            return None
        if all(_identity(folder / name) == known["identity"] for name, known in content["files"].items()):
            return dict(content["record"])
        checksums = {name: known["crc32"] for name, known in content["files"].items()}
        if any(_checksum(folder / name) != checksum for name, checksum in checksums.items()):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    _renew_seal(folder, content["record"], checksums)
    return dict(content["record"])


def _renew_seal(folder: Path, record: dict[str, Any], checksums: dict[str, int]) -> None:
    """Note the new identities of files that were copied, if the folder can be written."""
    try:
        _write_seal(folder, record, checksums)
    except OSError:
        return


def _write_seal(folder: Path, record: dict[str, Any], checksums: dict[str, int]) -> None:
    files = {name: {"crc32": checksum, "identity": _identity(folder / name)} for name, checksum in checksums.items()}
    content = {"record": record, "files": files}
    with whole_file(folder / SEAL) as file:
        file.write(json.dumps({"crc32": zlib.crc32(_canonical(content)), "content": content}, indent=1).encode())


def _files(folder: Path) -> list[Path]:
    unsealed = {folder / SEAL, *unfinished_files(folder / SEAL)}
    return sorted(file for file in folder.iterdir() if file not in unsealed)


def _identity(file: Path) -> list[int]:
    """Size, device, inode and change time in nanoseconds; no program can set the last."""
    status = file.stat()
    return [status.st_size, status.st_dev, status.st_ino, status.st_ctime_ns]


def _checksum(file: Path) -> int:
    checksum = 0
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _canonical(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
