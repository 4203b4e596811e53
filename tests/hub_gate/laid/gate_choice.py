"""A pytest plugin: of all that is collected only the listed ids are run, and what became of each is written down.

With `GATE_SURVEY` all that is collected is run, and for each test is told how often it asked the server: one that never
does cannot fail because of it and is no part of a gate. Judges nothing: that is `verdict.py`.
"""

import importlib
import json
import os
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from gate_accounts import ENDPOINT

_SURVEY = bool(os.environ.get("GATE_SURVEY"))
# From the worst to the best: a test that passes and whose repository cannot be deleted has failed.
_WORST_FIRST = ("failed", "skipped", "passed")

_outcomes: dict[str, str] = {}
_requests: dict[str, int] = defaultdict(int)
_asked = 0
_asked_before = 0


def pytest_configure(config: pytest.Config) -> None:
    if _SURVEY:
        for library, client in (("httpx2", "Client"), ("httpx", "Client"), ("requests", "Session")):
            _count(library, client)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if _SURVEY:
        return
    chosen = set(Path(os.environ["GATE_LIST"]).read_text().splitlines())
    others = [item for item in items if item.nodeid not in chosen]
    items[:] = [item for item in items if item.nodeid in chosen]
    config.hook.pytest_deselected(items=others)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol() -> None:
    global _asked_before
    _asked_before = _asked


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # Counted where the test runs, told where the reports are gathered.
    report.user_properties.append(("requests", _asked - _asked_before))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    known = _outcomes.get(report.nodeid, "passed")
    _outcomes[report.nodeid] = min(known, report.outcome, key=_WORST_FIRST.index)
    _requests[report.nodeid] = max(int(str(value)) for name, value in report.user_properties if name == "requests")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        told = {name: {"outcome": outcome, "requests": _requests[name]} for name, outcome in _outcomes.items()}
        Path(os.environ["GATE_OUTCOMES"]).write_text(json.dumps(told, indent=1))


def _count(library: str, client: str) -> None:
    try:
        owner: Any = getattr(importlib.import_module(library), client)
    except ImportError:
        return
    send = owner.send

    def counted(self: Any, request: Any, *arguments: Any, **named: Any) -> Any:
        global _asked
        _asked += str(request.url).startswith(ENDPOINT)
        return send(self, request, *arguments, **named)

    owner.send = counted
