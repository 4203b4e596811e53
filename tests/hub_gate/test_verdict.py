"""The gate's verdict: nothing passes by not being there, and nothing is left out without a reason."""

import pytest
from tests.hub_gate.suites import HERE, SUITES, Suite
from tests.hub_gate.verdict import (
    NotAskedFor,
    Outcome,
    judge,
    read_ids,
    read_not_asked_for,
    unexpected,
    unsaid,
)

LISTS = HERE / "lists"


def became(outcome: str, requests: int = 1) -> Outcome:
    return {"outcome": outcome, "requests": requests}


def test_what_passed_passes() -> None:
    verdict = judge(["a::b"], {"a::b": became("passed"), "a::c": became("failed")})
    assert (verdict.asked, verdict.passed, verdict.failures) == (1, 1, ())


@pytest.mark.parametrize("outcome", ["failed", "skipped"])
def test_what_did_not_pass_fails(outcome: str) -> None:
    assert judge(["a::b"], {"a::b": became(outcome)}).failures == (("a::b", outcome),)


def test_what_was_not_collected_fails() -> None:
    verdict = judge(["a::b", "a::c"], {"a::b": became("passed")})
    assert (verdict.passed, verdict.failures) == (1, (("a::c", "not found"),))


def test_lists_are_for_people_too() -> None:
    assert read_ids("# of that version\n\na::b\na::c[x y]\n") == ["a::b", "a::c[x y]"]


def test_an_id_listed_twice_is_told() -> None:
    with pytest.raises(ValueError, match="listed twice: a::b"):
        read_ids("a::b\na::c\na::b\n")


def test_reasons_hold_for_their_paragraph() -> None:
    found = read_not_asked_for("# [xet lfs] not hosted\na::b\na::c\n\n# too slow\na::d\n")
    assert found == [
        NotAskedFor("a::b", "not hosted", frozenset({"xet", "lfs"})),
        NotAskedFor("a::c", "not hosted", frozenset({"xet", "lfs"})),
        NotAskedFor("a::d", "too slow"),
    ]


def test_no_exception_without_a_reason() -> None:
    with pytest.raises(ValueError, match="a::d: not asked for, but without a reason"):
        read_not_asked_for("# not hosted\na::b\n\na::d\n")


@pytest.mark.parametrize("test", ["a::b", "a::b::c", "a::b[1]"])
def test_an_exception_covers_what_it_begins(test: str) -> None:
    assert NotAskedFor("a::b", "why").covers(test, "xet")


def test_an_exception_covers_nothing_else() -> None:
    assert not NotAskedFor("a::b", "why").covers("a::bucket", "xet")
    assert not NotAskedFor("a::b", "why", frozenset({"older"})).covers("a::b", "xet")


def test_a_survey_tells_what_nothing_is_said_of() -> None:
    outcomes = {
        "a::b": became("passed"),
        "a::c": became("failed"),
        "a::d": became("passed"),
        "a::e": became("passed", 0),
    }
    assert unsaid("xet", ["a::b"], [NotAskedFor("a::c", "why")], outcomes) == [("a::d", "passed")]


def test_a_survey_tells_what_could_be_asked_for() -> None:
    outcomes = {"a::b": became("passed"), "a::c": became("failed"), "a::d": became("passed")}
    others = [NotAskedFor("a::b", "why"), NotAskedFor("a::c", "why"), NotAskedFor("a::d", "why", frozenset({"older"}))]
    assert unexpected("xet", others, outcomes) == ["a::b"]


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_the_lists_agree_with_each_other(suite: Suite) -> None:
    asked = [test for name in suite.lists for test in read_ids((LISTS / name).read_text())]
    others = read_not_asked_for((LISTS / "not-asked-for.txt").read_text())
    assert len(asked) > 30
    assert len(set(asked)) == len(asked)
    assert not [test for test in asked if any(other.covers(test, suite.name) for other in others)]
    assert all("::" in test and test.startswith("tests/test_") for test in asked)


def test_exceptions_are_said_of_suites_there_are() -> None:
    others = read_not_asked_for((LISTS / "not-asked-for.txt").read_text())
    assert {suite for other in others for suite in other.suites} <= {suite.name for suite in SUITES}


def test_every_list_is_used() -> None:
    used = {name for suite in SUITES for name in suite.lists} | {"not-asked-for.txt"}
    assert {path.name for path in LISTS.iterdir()} == used
