"""`make test-hub`: huggingface_hub's and datasets' own tests against a running server, held to the lists.

    python -m tests.hub_gate.run [SUITE ...] [--survey] [--endpoint URL --tokens FILE]

Without an endpoint a server of its own is started. `--survey` runs everything that is in scope and tells of which tests
that ask the server the lists say nothing. Prints a line a suite, then what is not asked for and why; the exit status is
1 if a test of the lists did not pass.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.hub_gate.host import HostError, hosting
from tests.hub_gate.prepare import PrepareError, prepare
from tests.hub_gate.suites import HERE, SUITES, WORKSHOP, Suite
from tests.hub_gate.verdict import NotAskedFor, Outcome, judge, read_ids, read_not_asked_for, unexpected, unsaid

RUNS = WORKSHOP / "runs"
SECONDS_A_TEST = 60
WORKERS = 2

# A door that nobody answers: whoever leaves this machine by it fails at once.
NOWHERE = "http://127.0.0.1:9"


def main() -> int:
    """Run the suites that are named, or all; gives the exit status."""
    chosen = _arguments()
    try:
        suites = [suite for suite in SUITES if not chosen.suites or suite.name in chosen.suites]
        for suite in suites:
            prepare(suite.library)
        shutil.rmtree(RUNS, ignore_errors=True)
        RUNS.mkdir(parents=True)
        with _server(chosen) as (endpoint, tokens):
            held = [_run(suite, endpoint, tokens, survey=chosen.survey) for suite in suites]
    except (HostError, PrepareError) as error:
        _say(str(error))
        return 1
    for reason, prefixes in _reasons(suites).items():
        _say(f"not asked for: {reason} ({prefixes} of the list)")
    return 0 if all(held) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(suite.name for suite in SUITES))
    parser.add_argument("--survey", action="store_true", help="run all that is in scope, not only the lists")
    parser.add_argument("--endpoint", default=os.environ.get("EMBEDHUB_GATE_ENDPOINT"), help="a server that runs")
    parser.add_argument(
        "--tokens",
        type=Path,
        default=os.environ.get("EMBEDHUB_GATE_TOKENS"),
        help="JSON: a token for each of its users",
    )
    chosen = parser.parse_args()
    if unknown := set(chosen.suites) - {suite.name for suite in SUITES}:
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(suite.name for suite in SUITES)}")
    if bool(chosen.endpoint) != bool(chosen.tokens):
        parser.error("--endpoint and --tokens go together")
    return chosen


@contextmanager
def _server(chosen: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    tokens = RUNS / "tokens.json"
    if chosen.endpoint:
        yield chosen.endpoint, Path(chosen.tokens).resolve()
        return
    with hosting(RUNS) as (endpoint, made):
        tokens.touch(mode=0o600)
        tokens.write_text(json.dumps(made))
        yield endpoint, tokens


def _run(suite: Suite, endpoint: str, tokens: Path, *, survey: bool) -> bool:
    asked = [test for name in suite.lists for test in read_ids((HERE / "lists" / name).read_text())]
    folder = RUNS / suite.name
    folder.mkdir()
    (folder / "asked").write_text("\n".join(asked))
    files = suite.survey if survey else sorted({test.partition("::")[0] for test in asked})
    command = [str(suite.library.python), "-m", "pytest", *files, "-n", str(WORKERS), "--dist", "worksteal"]
    command += ["--timeout", str(SECONDS_A_TEST), "-q", "--no-header", "--durations=25", "-p", "no:cacheprovider"]
    if survey:
        command += ["-m", "not production and not inference"]
        command += ["-k", " and ".join(f"not {word}" for word in suite.not_chosen)] if suite.not_chosen else []
    began = time.monotonic()
    log, outcomes_file = folder / "pytest.log", folder / "outcomes.json"
    with log.open("wb") as told:
        variables = _variables(suite, endpoint, tokens, folder, outcomes_file, survey=survey)
        subprocess.run(command, cwd=suite.library.folder, env=variables, stdout=told, stderr=told, check=False)
    outcomes: dict[str, Outcome] = json.loads(outcomes_file.read_text()) if outcomes_file.is_file() else {}
    verdict = judge(asked, outcomes)
    took = time.monotonic() - began
    _say(f"{suite.title}: {verdict.passed} of {verdict.asked} passed, {took:.0f} s")
    for test, outcome in verdict.failures:
        _say(f"  {outcome}: {test}")
    said = unsaid(suite.name, asked, _not_asked_for(), outcomes) if survey else []
    for test, outcome in said:
        _say(f"  {outcome}, and in no list: {test}")
    if verdict.failures:
        _say(f"  what pytest wrote: {log}")
    for test in unexpected(suite.name, _not_asked_for(), outcomes):
        _say(f"  passed, though not asked for: {test}")
    return bool(asked) and not verdict.failures and not said


def _variables(
    suite: Suite, endpoint: str, tokens: Path, folder: Path, outcomes: Path, *, survey: bool
) -> dict[str, str]:
    home = folder / "home"
    home.mkdir()
    proxies = {f"{scheme}_proxy": NOWHERE for scheme in ("http", "https", "all")}
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "TMPDIR": str(_made(folder / "tmp")),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(HERE / "laid"),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "GATE_TOKENS": str(tokens),
        "GATE_LIST": str(folder / "asked"),
        "GATE_OUTCOMES": str(outcomes),
        **({"GATE_SURVEY": "1"} if survey else {}),
        **proxies,
        "no_proxy": "127.0.0.1,localhost",
        **suite.variables,
    }


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _not_asked_for() -> list[NotAskedFor]:
    return read_not_asked_for((HERE / "lists" / "not-asked-for.txt").read_text())


def _reasons(suites: list[Suite]) -> dict[str, int]:
    names = {suite.name for suite in suites}
    reasons: dict[str, int] = {}
    for each in _not_asked_for():
        if not each.suites or each.suites & names:
            reasons[each.reason] = reasons.get(each.reason, 0) + 1
    return reasons


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
