"""sha256 of files. Knows bytes, refuses to know what they mean."""

import hashlib
from collections.abc import Sequence
from pathlib import Path


def file_sha256(path: Path) -> str:
    """The sha256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def combined_sha256(paths: Sequence[Path]) -> str:
    """The sha256 of one file; of several, the sha256 of their checksums, one a line."""
    return combined([file_sha256(path) for path in paths])


def combined(sums: Sequence[str]) -> str:
    """One checksum as it is; several as the sha256 of them, one a line."""
    if len(sums) == 1:
        return sums[0]
    return hashlib.sha256("".join(f"{line}\n" for line in sums).encode()).hexdigest()
