"""Which files are large files (`.gitattributes`), and which are not to be uploaded (`.gitignore`). Pure.

Knows git's patterns by way of pathspec. Refuses to know where the two files lie.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache

import re2
from pathspec import GitIgnoreSpec

from embedhub.errors import HubContentError

_LARGE = "filter=lfs diff=lfs merge=lfs -text"

# What is kept as a large file in a new repository, whatever its size: formats that no line of text is compared in.
_LARGE_SUFFIXES = """
    7z arrow avro bin bz2 ckpt duckdb ftz gguf gz h5 joblib lz4 mds mlmodel model msgpack npy npz onnx ot parquet pb
    pickle pkl pt pth rar safetensors tar tflite tgz wasm xz zip zst bmp flac gif jpeg jpg mp3 mp4 ogg pcm png tiff wav
    webm webp
"""

NEW_REPOSITORY = "".join(
    f"{pattern} {_LARGE}\n" for pattern in (*(f"*.{suffix}" for suffix in _LARGE_SUFFIXES.split()), "*tfevents*")
)

# Patterns of somebody else's file that are tried on every path.
_MOST_PATTERNS = 2000
_LONGEST_PATTERN = 1000

# Single rules that were compiled: most repositories have those that they were made with.
_KEPT_RULES = 1000


def large_file_rule(gitattributes: str) -> Callable[[str], bool]:
    """A function that tells whether a path is that of a large file; the last line that fits decides, as in git."""
    rules: list[tuple[GitIgnoreSpec, bool, bool]] = []
    for line in gitattributes.splitlines()[:_MOST_PATTERNS]:
        pattern, _, rest = line.strip().partition(" ")
        words = rest.split()
        if not pattern or pattern[0] in "#[!" or not words or len(pattern) > _LONGEST_PATTERN:
            continue
        large = "filter=lfs" in words
        if large or any(word.lstrip("-!").startswith("filter") for word in words):
            # Without a slash it fits a file's name, and not, as in .gitignore, what lies in a folder of that name.
            whole = "/" in pattern
            rules.append((_single_rule(pattern.replace("[[:space:]]", "[ ]").strip('"')), whole, large))
    rules.reverse()

    def is_large(path: str) -> bool:
        name = path.rpartition("/")[2]
        return next((large for spec, whole, large in rules if spec.match_file(path if whole else name)), False)

    return is_large


def with_large_files(gitattributes: str, paths: Iterable[str]) -> str:
    """The file with a line for each of the paths, so that git takes them for large files too."""
    text = gitattributes
    if text and not text.endswith("\n"):
        text += "\n"
    return text + "".join(f"{_escaped(path)} {_LARGE}\n" for path in paths)


def ignore_rule(gitignore: str) -> Callable[[str], bool]:
    """A function that tells whether a path is to be left out."""
    spec = _spec(gitignore.splitlines()[:_MOST_PATTERNS])
    return spec.match_file


def _spec(lines: Iterable[str]) -> GitIgnoreSpec:
    kept = []
    for line in lines:
        try:
            if len(line) <= _LONGEST_PATTERN:
                _compiled([line])
                kept.append(line)
        except (ValueError, re2.error):
            # git passes over patterns that are none.
            continue
    try:
        return _compiled(kept)
    except re2.error as error:
        raise HubContentError("there are too many patterns in .gitignore or .gitattributes") from error


@lru_cache(_KEPT_RULES)
def _single_rule(line: str) -> GitIgnoreSpec:
    return _spec([line])


def _compiled(lines: list[str]) -> GitIgnoreSpec:
    # Whoever writes the patterns must not be able to make them slow: this way takes time in proportion to the path.
    return GitIgnoreSpec.from_lines(lines, backend="re2")


def _escaped(path: str) -> str:
    """A path as a pattern that fits nothing else."""
    escaped = "".join(f"\\{character}" if character in "*?[\\" else character for character in path)
    escaped = escaped.replace(" ", "[[:space:]]")
    return escaped if "/" in path else f"/{escaped}"
