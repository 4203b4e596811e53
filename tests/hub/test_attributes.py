"""Which files are large, and which are left out: git's rules, and patterns that were written to hurt."""

import subprocess
import time
from pathlib import Path

import pytest

from embedhub.hub.attributes import NEW_REPOSITORY, ignore_rule, large_file_rule, with_large_files

RULES = """
*.npy filter=lfs diff=lfs merge=lfs -text
docs/*.txt filter=lfs -text
build filter=lfs -text
*.small.npy -filter
a[[:space:]]b filter=lfs -text
/top filter=lfs -text
deep/**/x filter=lfs -text
*.txt text
"""

PATHS = [
    "a.npy",
    "d/a.npy",
    "a.small.npy",
    "docs/a.txt",
    "d/docs/a.txt",
    "build",
    "d/build",
    "build/inside",
    "a b",
    "top",
]
PATHS += ["d/top", "deep/x", "deep/a/b/x", "x", "a.txt"]


def test_the_same_files_are_large_as_git_says(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitattributes").write_text(RULES)
    words = ["git", "-C", str(tmp_path), "check-attr", "-z", "filter", "--", *PATHS]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split("\0")
    expected = {path: value == "lfs" for path, value in zip(told[::3], told[2::3], strict=False)}
    is_large = large_file_rule(RULES)
    assert {path: is_large(path) for path in PATHS} == expected


@pytest.mark.parametrize("path", ["a b.bin", "sub/[x]*.dat", "#c", "!d", "e\\f", "ü.x"])
def test_a_path_that_is_added_is_large_and_nothing_else_is(path: str) -> None:
    is_large = large_file_rule(with_large_files("*.npy filter=lfs", [path]))
    assert is_large(path)
    assert not is_large(f"elsewhere/{path}")
    assert is_large("x.npy")


def test_formats_of_vectors_are_large_in_a_new_repository() -> None:
    is_large = large_file_rule(NEW_REPOSITORY)
    assert all(map(is_large, ["data/train-00000-of-00001.parquet", "model.safetensors", "x.npz", "runs/tfevents.1"]))
    assert not any(map(is_large, ["README.md", "config.json", "data.csv"]))


def test_what_is_left_out() -> None:
    is_ignored = ignore_rule(".git*\n!.gitattributes\nbuild/\n[\n")
    assert [is_ignored(path) for path in (".gitignore", ".gitattributes", "a/build/x", "x")] == [
        True,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("pattern", ["*a" * 60 + "b", "**/" * 200 + "b", "[" * 300, "a" * 100_000])
def test_no_pattern_is_slow(pattern: str) -> None:
    started = time.process_time()
    for rule in (ignore_rule(pattern), large_file_rule(f"{pattern} filter=lfs")):
        assert not rule("a" * 900 + "/c")
    assert time.process_time() - started < 2
