"""Which files are large files (`.gitattributes`), and which are not to be uploaded (`.gitignore`). Pure.

Knows what stands beside git's patterns (`patterns`). Refuses to know where the two files lie.
"""

from collections.abc import Callable, Iterable

from embedhub.hub.patterns import matcher

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
_MOST_PATTERNS = 10_000


def large_file_rule(gitattributes: str) -> Callable[[str], bool]:
    """A function that tells whether a path is that of a large file; the last line that fits decides, as in git."""
    rules: list[tuple[Callable[[str], bool], bool]] = []
    for line in gitattributes.splitlines()[:_MOST_PATTERNS]:
        pattern, _, rest = line.strip().partition(" ")
        words = rest.split()
        # A folder has no content, and a macro is no path.
        if not pattern or pattern.startswith(("#", "!", "[attr]")) or pattern.endswith("/") or not words:
            continue
        large = "filter=lfs" in words
        if large or any(word.lstrip("-!").startswith("filter") for word in words):
            rules.append((matcher(pattern.strip('"')), large))

    def is_large(path: str) -> bool:
        return next((large for fits, large in reversed(rules) if fits(path)), False)

    return is_large


def with_large_files(gitattributes: str, paths: Iterable[str]) -> str:
    """The file with a line for each of the paths, so that git takes them for large files too."""
    text = gitattributes
    if text and not text.endswith("\n"):
        text += "\n"
    return text + "".join(f"{_escaped(path)} {_LARGE}\n" for path in paths)


def ignore_rule(gitignore: str) -> Callable[[str], bool]:
    """A function that tells whether a path is to be left out; what is in a folder that is left out is so, too."""
    rules: list[tuple[Callable[[str], bool], bool, bool]] = []
    for line in gitignore.splitlines()[:_MOST_PATTERNS]:
        pattern = line if line.endswith("\\ ") else line.rstrip()
        if not pattern or pattern.startswith("#"):
            continue
        leaves_out = not pattern.startswith("!")
        pattern = pattern.removeprefix("!")
        rules.append((matcher(pattern.removesuffix("/")), pattern.endswith("/"), leaves_out))

    def is_left_out(path: str, *, is_folder: bool) -> bool:
        fitting = (out for fits, folders, out in reversed(rules) if (is_folder or not folders) and fits(path))
        return next(fitting, False)

    def is_ignored(path: str) -> bool:
        parts = path.split("/")
        above = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        return any(is_left_out(folder, is_folder=True) for folder in above) or is_left_out(path, is_folder=False)

    return is_ignored


def _escaped(path: str) -> str:
    """A path as a pattern that fits nothing else."""
    escaped = "".join(f"\\{character}" if character in "*?[\\" else character for character in path)
    escaped = escaped.replace(" ", "[[:space:]]")
    return escaped if "/" in path else f"/{escaped}"
