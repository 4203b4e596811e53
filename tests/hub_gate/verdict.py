"""What the gate asks for and whether it was given: lists, outcomes, a verdict. Pure; runs nothing.

A list names the tests that must pass, one id a line. An id that was not collected has failed, and so has one that was
skipped: the gate cannot shrink by itself. What is not asked for is said once, with its reason, in `not-asked-for.txt`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypedDict


class Outcome(TypedDict):
    """What became of a test.

    Attributes:
        outcome: passed, failed or skipped, with what goes before and after it.
        requests: how often the server was asked; known in a survey only.
    """

    outcome: str
    requests: int


@dataclass(frozen=True)
class NotAskedFor:
    """Tests that need not pass.

    Attributes:
        prefix: of their ids, up to a whole name.
        reason: why, for a person.
        suites: names of the suites this is said of; empty is all.
    """

    prefix: str
    reason: str
    suites: frozenset[str] = frozenset()

    def covers(self, test: str, suite: str) -> bool:
        """Whether it speaks of that test in that suite."""
        if self.suites and suite not in self.suites:
            return False
        return test == self.prefix or test.startswith((self.prefix + "::", self.prefix + "["))


@dataclass(frozen=True)
class Verdict:
    """One suite's result.

    Attributes:
        asked: how many tests had to pass.
        failures: of those, each that did not: its id and what became of it.
    """

    asked: int
    failures: tuple[tuple[str, str], ...]

    @property
    def passed(self) -> int:
        """How many did."""
        return self.asked - len(self.failures)


def read_ids(text: str) -> list[str]:
    """The ids of a list; `#` begins a line that is for people.

    Raises:
        ValueError: an id stands there twice.
    """
    ids = [line for line in text.splitlines() if line and not line.startswith("#")]
    if len(set(ids)) < len(ids):
        raise ValueError(f"listed twice: {next(test for test in ids if ids.count(test) > 1)}")
    return ids


def read_not_asked_for(text: str) -> list[NotAskedFor]:
    """Paragraphs: `# [SUITE ...] reason`, then ids, or whole beginnings of ids; without brackets all suites are meant.

    Raises:
        ValueError: an id without a reason.
    """
    found, reason, suites = [], "", frozenset[str]()
    for line in text.splitlines():
        if line.startswith("#"):
            said, _, rest = line.removeprefix("#").strip().rpartition("]")
            reason, suites = rest.strip(), frozenset(said.removeprefix("[").split())
        elif not line:
            reason = ""
        elif not reason:
            raise ValueError(f"{line}: not asked for, but without a reason")
        else:
            found.append(NotAskedFor(line, reason, suites))
    return found


def judge(asked: Iterable[str], outcomes: Mapping[str, Outcome]) -> Verdict:
    """Whether each test that was asked for passed."""
    ids = list(asked)
    became = [(test, outcomes[test]["outcome"] if test in outcomes else "not found") for test in ids]
    return Verdict(len(ids), tuple((test, outcome) for test, outcome in became if outcome != "passed"))


def unsaid(
    suite: str, asked: Iterable[str], others: Iterable[NotAskedFor], outcomes: Mapping[str, Outcome]
) -> list[tuple[str, str]]:
    """Tests of a survey that ask the server and of which nothing is said: their ids and what became of them."""
    listed, spoken = set(asked), list(others)
    return sorted(
        (test, each["outcome"])
        for test, each in outcomes.items()
        if each["requests"] and test not in listed and not any(other.covers(test, suite) for other in spoken)
    )


def unexpected(suite: str, others: Iterable[NotAskedFor], outcomes: Mapping[str, Outcome]) -> list[str]:
    """Tests that passed although they are not asked for: perhaps they could be."""
    spoken = list(others)
    return sorted(
        test
        for test, each in outcomes.items()
        if each["outcome"] == "passed" and any(other.covers(test, suite) for other in spoken)
    )
