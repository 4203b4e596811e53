"""The small text that git keeps in place of a large file. Pure.

Source: the git-lfs specification, `docs/spec.md`.
"""

import re
from dataclasses import dataclass

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize (\d{1,18})\n?"
)

# No pointer is longer, so no longer file needs to be read to know that it is none.
LONGEST_POINTER = 1024

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Pointer:
    """A large file's checksum and its size in bytes."""

    sha256: str
    size: int

    def __bytes__(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()


def read_pointer(content: bytes) -> Pointer | None:
    """The pointer that a file's content is; None if it is something else."""
    if len(content) > LONGEST_POINTER:
        return None
    found = _POINTER.fullmatch(content)
    return None if found is None else Pointer(found[1].decode(), int(found[2]))
