"""The names that datasets' tests import from utils: what they need, and what may excuse them, which here is nothing."""

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest


def for_all_test_methods(*decorators: Callable[[Any], Any]) -> Callable[[type], type]:
    """A decorator of classes that decorates each of their tests."""

    def decorate(owner: type) -> type:
        for name in [name for name in vars(owner) if name.startswith("test")]:
            for decorator in decorators:
                setattr(owner, name, decorator(getattr(owner, name)))
        return owner

    return decorate


def xfail_if_500_502_http_error(test: Callable[..., Any]) -> Callable[..., Any]:
    """The test as it is: an error of a server of one's own is no excuse."""
    return test


def _require(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"needs {module}")


require_pil = _require("PIL")
require_torchcodec = _require("torchcodec")
