"""A browser's page that is watched: what a person would not see, but a site must not do, fails the test.

Knows a page of Playwright. An error in the console, a violation of the page's policy, an exception in a script and any
request to another origin are problems; a test that provokes one says so first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page, Request

_AXE = Path(__file__).with_name("node_modules") / "axe-core" / "axe.min.js"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_SERIOUS = ("serious", "critical")

_TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (violation) => {
  console.error(`policy: ${violation.violatedDirective} forbids ${violation.blockedURI || "inline"}`);
});
"""


@dataclass
class Watch:
    """What was seen of pages.

    Attributes:
        origin: the only one that may be asked.
        problems: what went wrong, in order.
        met: what went wrong as expected.
    """

    origin: str
    problems: list[str] = field(default_factory=list)
    met: list[str] = field(default_factory=list)
    _expected: list[re.Pattern[str]] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """Say that problems which this regular expression is found in are what the test is about."""
        self._expected.append(re.compile(pattern))

    def over(self, page: "Page") -> None:
        """Begin to watch a page."""
        page.add_init_script(_TELL_VIOLATIONS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._note(f"exception: {error}"))
        page.context.on("request", self._request)

    def _console(self, message: "ConsoleMessage") -> None:
        if message.type == "error":
            self._note(f"console: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: "Request") -> None:
        if not request.url.startswith((f"{self.origin}/", "data:", f"blob:{self.origin}/")):
            self._note(f"a request to another origin: {request.url}")

    def _note(self, problem: str) -> None:
        expected = any(pattern.search(problem) for pattern in self._expected)
        (self.met if expected else self.problems).append(problem)


def inaccessible(page: "Page") -> list[str]:
    """What axe-core finds serious about the page as it is now, a line each."""
    page.evaluate(_AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = page.evaluate(
        "(tags) => axe.run(document, { runOnly: { type: 'tag', values: tags } })", _RULES
    )
    return list(_lines(found["violations"]))


def _lines(violations: list[dict[str, Any]]) -> Iterator[str]:
    for violation in violations:
        if violation["impact"] in _SERIOUS:
            for node in violation["nodes"]:
                yield f"{violation['id']} ({violation['impact']}): {node['html']}: {node['failureSummary']}"
