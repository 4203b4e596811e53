"""Patterns as git reads them, and no pattern that keeps the server busy."""

import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from embedhub.hub.attributes import NEW_REPOSITORY, ignore_rule, large_file_rule, with_large_files
from embedhub.hub.patterns import matcher

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

NAMES = ("a", "b", "ab", "ba", "aab", "a.b", "a b", "a]", "a*b", "A")
PARTS = (*"ab*?", "**", "a*", "*b", "*a*", "a*b*", "[ab]", "[!a]*", "[a-c]", "a.b", "\\*", "*.b", "[[:space:]]", "a[")


@pytest.mark.parametrize("path", ["data.npy", "deep/er/x.parquet", "events.out.tfevents.123", "a.tar"])
def test_formats_of_no_lines_are_large(path: str) -> None:
    assert large_file_rule(NEW_REPOSITORY)(path)
    assert not large_file_rule(NEW_REPOSITORY)(f"{path}.txt") or "tfevents" in path


def test_the_last_line_that_fits_decides() -> None:
    rule = large_file_rule("*.bin filter=lfs\nsmall/*.bin -filter\n# *.txt filter=lfs\n*.md text\n[attr]x filter=lfs\n")
    assert rule("a.bin")
    assert rule("big/a.bin")
    assert not rule("small/a.bin")
    assert not rule("a.txt")
    assert not rule("a.md")
    assert not rule("x")


@pytest.mark.parametrize("path", ["a b.bin", "a*.bin", "[x]", "d/e f", "a?b", "back\\slash"])
def test_a_line_for_a_path_fits_it_alone(path: str) -> None:
    rule = large_file_rule(with_large_files("", [path]))
    assert rule(path)
    assert not rule(f"other/{path}")
    assert not rule(path.translate(str.maketrans("*?[", "xyz")).replace("\\", "/")) or not set(path) & set("*?[\\")


def test_what_is_in_a_folder_that_is_left_out_is_so_too() -> None:
    rule = ignore_rule("# all\nbuild/\n*.log\n!keep.log\n/top\na/**/z\n\n!build/keep\n")
    for path in ("build/x", "deep/build/x/y", "build/keep", "a.log", "d/a.log", "top", "top/x", "a/z", "a/b/c/z/x"):
        assert rule(path), path
    for path in ("build", "keep.log", "d/top", "z", "README.md"):
        assert not rule(path), path


@needs_git
def test_patterns_are_gits_own(tmp_path: Path) -> None:
    chance = random.Random(5)
    paths = sorted({"/".join(chance.choices(NAMES, k=chance.randint(1, 4))) for _ in range(150)})
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    patterns = {"/".join(chance.choices(PARTS, k=chance.randint(1, 4))) for _ in range(100)}
    patterns |= {f"/{pattern}" for pattern in list(patterns)[::5]}
    # An attribute a pattern: git is asked once.
    lines = [f"{pattern.replace(' ', '[[:space:]]')} p{number}" for number, pattern in enumerate(sorted(patterns))]
    (tmp_path / ".gitattributes").write_text("\n".join(lines))
    names = [f"p{number}" for number in range(len(lines))]
    told = subprocess.run(
        ["git", "-C", tmp_path, "check-attr", "-z", "--stdin", *names],
        input="\0".join(paths), capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    git = {(path, name) for path, name, value in zip(told[::3], told[1::3], told[2::3], strict=False) if value == "set"}
    assert git
    for number, pattern in enumerate(sorted(patterns)):
        fits = matcher(pattern)
        for path in paths:
            assert fits(path) == ((path, f"p{number}") in git), (pattern, path)


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 31 + "*b",
        "a*" * 300 + "b",
        "**/a/" * 15 + "b",
        "**/*a/" * 10 + "*b",
        "?*" * 32 + "b",
        "*/" * 32 + "b",
        "[a]*" * 32 + "b",
        "*" * 900,
        "**/" * 15 + "b",
    ],
)
def test_no_pattern_takes_long(pattern: str) -> None:
    started = time.perf_counter()
    for path in ("a" * 1000, "a/" * 499 + "a"):
        large_file_rule(f"{pattern} filter=lfs")(path)
        ignore_rule(pattern)(path)
    assert time.perf_counter() - started < 10  # as a plain regular expression: longer than there is time
