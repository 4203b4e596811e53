"""Patterns of .gitignore and .gitattributes, tried on paths. Pure.

They come from strangers, so that none may take long: `*a*a*a*b`, as a plain regular expression, keeps a processor busy
for minutes. Here each part between two stars is looked for once, from left to right, and the first place where it fits
is never given up (an atomic group), which finds a fit if there is one: what follows a star needs but a suffix.

Source: gitignore(5), gitattributes(5).
"""

import re
from collections.abc import Callable

_LONGEST_PATTERN = 1000

# Nobody's own have more; even so each costs another look at the path.
_MOST_STARS = 32


def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether a pattern fits a path, from its top to its end.

    Args:
        pattern: as in the file, without `!` before it and the slash behind it that asks for a folder.
    """
    if not 0 < len(pattern) <= _LONGEST_PATTERN or pattern.count("*") > _MOST_STARS:
        return lambda path: False
    compiled = re.compile(_expression(pattern), re.DOTALL)
    return lambda path: compiled.fullmatch(f"{path}/") is not None


def _expression(pattern: str) -> str:
    """A regular expression for a path with a slash at its end."""
    parts = pattern.removeprefix("/").split("/")
    if "/" not in pattern:
        parts.insert(0, "**")
    runs: list[list[str]] = [[]]
    for part in parts:
        if part == "**":
            runs.append([])
        else:
            runs[-1].append(part)
    first, *others = ("".join(f"{_segment(part)}/" for part in run) for run in runs)
    if not others:
        return first
    *middle, last = others
    looked_for = "".join(f"(?>(?:[^/]+/)*?{run})" for run in middle if run)
    # The last one must reach the end, so it is looked for in every place; without one, anything is beneath.
    return f"{first}{looked_for}(?:[^/]+/)*{last or '[^/]+/'}"


def _segment(glob: str) -> str:
    """One name, without its slash."""
    chunks = [""]
    place = 0
    while place < len(glob):
        character = glob[place]
        place += 1
        if character == "*":
            chunks.append("")
        elif character == "?":
            chunks[-1] += "[^/]"
        elif character == "[" and (found := _CLASS.match(glob, place - 1)):
            chunks[-1] += _class(found)
            place = found.end()
        else:
            if character == "\\" and place < len(glob):
                character = glob[place]
                place += 1
            chunks[-1] += re.escape(character)
    if len(chunks) == 1:
        return chunks[0]
    first, *middle, last = chunks
    looked_for = "".join(f"(?>[^/]*?{chunk})" for chunk in middle if chunk)
    return f"{first}{looked_for}(?>[^/]*{last}(?=/))"


_CLASS = re.compile(r"\[([!^]?)(\]?(?:\[:[a-z]+:\]|[^\]\\]|\\.)*)\]", re.DOTALL)

_NAMED = {
    "[:space:]": " ",
    "[:alpha:]": "A-Za-z",
    "[:digit:]": "0-9",
    "[:alnum:]": "A-Za-z0-9",
    "[:upper:]": "A-Z",
    "[:lower:]": "a-z",
}


def _class(found: re.Match[str]) -> str:
    """A set of characters; one that is none fits nothing."""
    inner = "".join(
        _NAMED.get(part, "") if part.startswith("[:") else part if part == "-" else re.escape(part.removeprefix("\\"))
        for part in re.findall(r"\[:[a-z]+:\]|\\.|.", found[2], re.DOTALL)
    )
    expression = f"(?!/)[{'^' if found[1] else ''}{inner}]"
    try:
        re.compile(expression)
    except re.error:
        return "(?!)"
    return expression
