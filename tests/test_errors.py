"""The tree of errors: drawn as it is, with codes that are one of a kind."""

import re

from embedhub import errors
from embedhub.errors import EmbedhubError


def classes(base: type[EmbedhubError] = EmbedhubError) -> list[type[EmbedhubError]]:
    return [base, *(found for child in base.__subclasses__() for found in classes(child))]


def test_every_class_is_drawn_with_its_code_in_its_place() -> None:
    drawn = re.findall(r'^ *([│├└─ ]*)(\w+) +"(\w+)"', errors.__doc__ or "", re.MULTILINE)
    assert [(name, code) for _, name, code in drawn] == [(found.__name__, found.code) for found in classes()]
    depth = {name: len(lines) // 4 for lines, name, _ in drawn}
    for found in classes():
        assert depth[found.__name__] == len(found.__mro__) - len(EmbedhubError.__mro__)


def test_codes_are_one_of_a_kind() -> None:
    codes = [found.code for found in classes()]
    assert len(codes) == len(set(codes))
    assert all(found.exit_status > 0 for found in classes())
