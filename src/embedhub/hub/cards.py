"""The head of a README.md: what a repository says of itself. Pure.

Knows YAML, and that whoever writes it may mean harm: what it becomes is bounded, and always JSON.
"""

import datetime
import math
import re
from collections.abc import Mapping
from typing import Any

import yaml

from embedhub.errors import HubContentError

# Beyond this a head is not read: parsing takes as long as a text is, and an alias may stand for a lot.
_LONGEST_HEAD = 1 << 20
_MOST_VALUES = 200_000
_DEEPEST = 50

_HEAD = re.compile(r"\s*---[ \t]*\r?\n(.*?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)

# Written in C where PyYAML was built with it, which is many times faster.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Fields whose values become tags: for models as they are, for datasets behind the field's name.
_PLAIN_TAGS = ("library_name", "pipeline_tag", "language")
_PREFIXED_TAGS = (
    "license",
    "language",
    "task_categories",
    "task_ids",
    "size_categories",
    "annotations_creators",
    "multilinguality",
    "source_datasets",
)


def read_card(readme: str) -> dict[str, Any]:
    """What stands in the head of a README.md, as JSON would have it; empty without one.

    Raises:
        HubContentError: it is no YAML, no mapping, or far too much.
    """
    head = _HEAD.match(readme.lstrip("\ufeff"))
    if head is None:
        return {}
    text = head[1] or ""
    if len(text) > _LONGEST_HEAD:
        raise HubContentError(f"the head of README.md is longer than {_LONGEST_HEAD >> 20} MB")
    try:
        metadata: Any = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise HubContentError(f"the head of README.md is no YAML: {' '.join(str(error).split())[:500]}") from error
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise HubContentError("the head of README.md is to be a mapping of names to values")
    plain: dict[str, Any] = _Plain().value(metadata, 0)
    return plain


def card_body(readme: str) -> str:
    """What stands behind the head of a README.md: for people, in Markdown."""
    text = readme.lstrip("\ufeff")
    head = _HEAD.match(text)
    return text if head is None else text[head.end() :]


def tags_of(card: Mapping[str, Any], kind: str) -> list[str]:
    """What a repository is found by: its own tags, and those that other fields stand for, each once."""
    found = list(_words(card.get("tags")))
    if kind == "dataset":
        found += [f"{name}:{word}" for name in _PREFIXED_TAGS for word in _words(card.get(name))]
    else:
        found += [word for name in _PLAIN_TAGS for word in _words(card.get(name))]
        found += [f"license:{word}" for word in _words(card.get("license"))]
        found += [f"dataset:{word}" for word in _words(card.get("datasets"))]
        found += [f"base_model:{word}" for word in _words(card.get("base_model"))]
    return list(dict.fromkeys(found))


def _words(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(each) for each in values if isinstance(each, str | int | float) and not isinstance(each, bool)]


class _Plain:
    """Turns what YAML may hold into what JSON may hold, and counts it."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def value(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise HubContentError("the head of README.md holds far too much")
        if isinstance(value, dict):
            return {_key(key): self.value(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple | set):
            return [self.value(each, depth + 1) for each in value]
        return _scalar(value)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(_scalar(key))


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else str(hex(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
