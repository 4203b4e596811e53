"""From words to values: one function for each kind of setting or argument. Knows no setting's name."""

import operator
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedhub.errors import SettingError

Parse = Callable[[str], Any]

# As browsers write it: no path, no slash at the end.
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(\[[0-9A-Fa-f:.]+\]|[^\s/?#:@\[\]*]+)(:[0-9]{1,5})?")


def text(value: str) -> str:
    """Any text."""
    return value


def address(value: str) -> str:
    """An address or a name of one."""
    return value


def web_address(value: str) -> str:
    """The address of a server."""
    if not value.startswith(("http://", "https://")):
        raise ValueError("not an address such as http://127.0.0.1:4318")
    return value.rstrip("/")


def flag(value: str) -> bool:
    """A yes or a no."""
    lowered = value.strip().lower()
    if lowered in {"1", "true", "yes", "on"}:
        return True
    if lowered in {"", "0", "false", "no", "off"}:
        return False
    raise ValueError("not a yes or a no")


def count(value: str) -> int:
    """0 or more."""
    number = int(value)
    if number < 0:
        raise ValueError("negative")
    return number


def positive(value: str) -> int:
    """1 or more."""
    number = int(value)
    if number < 1:
        raise ValueError("not at least 1")
    return number


def choice(*allowed: str) -> Parse:
    """One of these words."""

    def parse(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"not one of {', '.join(allowed)}")
        return value

    parse.__doc__ = "|".join(allowed)
    return parse


def path(value: str) -> Path:
    """A file or folder."""
    return Path(value).expanduser()


def port(value: str) -> int:
    """A port of TCP; 0 lets the system choose."""
    number = int(value)
    if not 0 <= number <= 65535:
        raise ValueError("not a port, 0 to 65535")
    return number


def names(value: str) -> tuple[str, ...]:
    """Names with commas between."""
    return tuple(name.strip() for name in value.split(",") if name.strip())


def origins(value: str) -> tuple[str, ...]:
    """Origins of web pages with commas between, or `*` or `none`."""
    found = names(value)
    for name in found:
        if name not in ("*", "none", "null") and not _ORIGIN.fullmatch(name):
            raise ValueError(f"{name:.100} is no origin: scheme, name and port, such as https://example.org:8443")
    return tuple(name.lower() for name in found)


def pairs(value: str) -> tuple[tuple[str, str], ...]:
    """`name=value`, with commas between."""
    found = [name.partition("=") for name in names(value)]
    if any(not name.strip() or not word.strip() for name, _, word in found):
        raise ValueError("not name=model")
    return _without_chains(tuple((name.strip(), word.strip()) for name, _, word in found))


def _without_chains(found: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The pairs, of which none stands for another: there are no loops then, and nobody has to look twice."""
    given = dict(found)
    if len(given) < len(found):
        raise ValueError("a name is given twice")
    for name, word in found:
        if word in given:
            raise ValueError(f"{name} stands for {word}, which is such a name itself; name the model")
    return found


_PLACEHOLDERS: dict[Parse, str] = {
    web_address: "URL",
    text: "TEXT",
    address: "ADDRESS",
    count: "NUMBER",
    positive: "NUMBER",
    path: "PATH",
    port: "PORT",
    names: "A,B,…",
    origins: "ORIGIN,…",
    pairs: "NAME=MODEL,…",
}


def placeholder(parse: Parse) -> str:
    """What stands for such a value in the help of a command."""
    return _PLACEHOLDERS.get(parse) or parse.__doc__ or "VALUE"


def from_toml(parse: Parse, value: object) -> Any:
    """A value as TOML has it: numbers, booleans, lists and tables where the kind has them, else as text.

    Raises:
        ValueError: of another kind.
    """
    if isinstance(value, bool):
        if parse is not flag:
            raise ValueError("not true or false")
        return value
    if isinstance(value, list) and parse is names and all(isinstance(each, str) for each in value):
        return tuple(value)
    if isinstance(value, dict) and parse is pairs and all(isinstance(each, str) for each in value.values()):
        return _without_chains(tuple(value.items()))
    if isinstance(value, int | str):
        return parse(str(value))
    raise ValueError("not of this kind")


def whole_number(name: str, value: Any, *, low: int = 1) -> int:
    """A caller's argument as a whole number.

    Raises:
        SettingError: it is none, or one below `low`; the message has the argument's name.
    """
    try:
        number: int = operator.index(value)
    except TypeError:
        number = low - 1
    if number < low or isinstance(value, bool):
        raise SettingError(f"{name} must be a whole number of at least {low}, not {value!r}")
    return number
