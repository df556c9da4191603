"""Runs the test tiers and prints their counts and times: `python dev/run_tests.py [--quick | --full]`.

Tiers run one after another, except those that mostly wait, which run beside a long one.

The budgets are those of the design. A tier over its budget is marked, but does not fail, since a slow machine is no defect.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "test-reports"
"""JUnit XML of each tier, from the last run."""
MOST_FAILURES, MOST_CHARACTERS = 20, 300
"""How much of the failures is repeated below the table: the end of a long log is all that some readers see."""


@dataclass(frozen=True)
class Tier:
    """Tests with a time budget in minutes."""

    name: str
    tests: str
    """A folder, or the name of one test."""
    minutes: int
    more: tuple[str, ...] = ()
    """Further folders."""
    without: tuple[str, ...] = ()
    """Files and folders in that folder which another tier runs."""
    workers: int = 1
    """Processes that share the files out; more than there are cores, where tests mostly wait."""
    first: tuple[str, ...] = ()
    """The files that take longest: begun last, they would keep one process busy while the others have nothing left."""
    captures_logs: bool = True
    """pytest's log capture puts handlers on all of torch's loggers three times a test: 6 % of the time of tests that take milliseconds."""


@dataclass(frozen=True)
class Step:
    """A tier, and those that run at the same time."""

    tier: Tier
    beside: tuple[Tier, ...] = ()
    """They run one after another, each with one process."""


@dataclass(frozen=True)
class Outcome:
    """What pytest counted in one tier."""

    tier: Tier
    passed: int
    failed: int
    skipped: int
    seconds: float
    processor_seconds: float
    """Of pytest and the processes that it started and waited for."""
    failures: tuple[str, ...]
    """A line for each failed test: its file, its name, and the first line of its message."""


# one process for each half: the tests of programs that import torch share one, since the import takes longer than many tests
_MODELS = (
    "tests/unit/trainer",
    "tests/unit/server",
    "tests/unit/api/test_messages.py",
    "tests/unit/api/test_wire_golden.py",
)
_EXPLORATIONS = (
    "tests/unit/operator/decide/test_every_order.py",
    "tests/unit/operator/decide/rollout/test_every_rollout.py",
    "tests/unit/operator/decide/gates",
    "tests/unit/operator/leader/test_never_two.py",
    "tests/unit/operator/leader/test_namespaces.py",
    "tests/unit/operator/test_blockers.py",
    "tests/unit/cli/local/test_job_controller.py",
    "tests/unit/trainer/evaluation",
    "tests/unit/trainer/train/test_loss_spikes.py",
)
"""They go through all orders of events, or draw thousands of samples: pure, but half a minute, which nobody waits for between two edits."""
UNIT = Step(
    Tier("unit", "tests/unit", 1, without=(*_MODELS, *_EXPLORATIONS), captures_logs=False),
    beside=(Tier("unit, models", _MODELS[0], 1, more=_MODELS[1:], without=_EXPLORATIONS, captures_logs=False),),
)
EXPLORATIONS = Tier("explorations", _EXPLORATIONS[0], 1, more=_EXPLORATIONS[1:], captures_logs=False)
LOCAL = Tier(
    "local stories", "tests/stories/local", 20, workers=2,
    first=(
        "test_bad_revisions.py", "test_failure_classes.py", "test_disturbed_canaries.py", "test_canary.py", "test_interrupted_runs.py", "test_nothing_is_lost.py", "test_bad_input.py", "test_sessions.py",
        "test_plan.py", "test_whole_way.py", "test_training_saves.py",
    ),
)  # fmt: skip
CONTROL_PLANE = Tier(
    "control plane", "tests/stories/control_plane", 15, workers=3,
    first=(
        "test_gang_upgrade.py", "test_operator_faults.py", "test_chart.py", "test_operator_storms.py", "test_operator_outages.py",
        "test_bad_manifests.py", "test_contract_agreement.py", "test_disturbed_canaries.py", "test_first_hour.py",
    ),
)  # fmt: skip
COMPONENT = Tier(
    "component", "tests/component", 4, workers=3,
    first=("test_one_rank.py", "test_server.py", "test_architectures.py", "test_stage.py", "test_failing_revisions.py"),
)  # fmt: skip
ATTACKS = Tier("attacks", "tests/stories/attacks", 1)
"""They mostly wait for limits of time, and measure: beside two cores' worth of other work they would be late."""
STEPS = (
    Step(UNIT.tier, beside=(*UNIT.beside, ATTACKS)),
    Step(COMPONENT),
    Step(CONTROL_PLANE, beside=(EXPLORATIONS, Tier("chart", "tests/stories/chart", 2))),
    # the cluster takes nearly as long as the local stories: what else is beside them would keep the run from its end
    Step(LOCAL, beside=(Tier("images", "tests/stories/images", 3), Tier("cluster", "tests/stories/cluster", 8))),
)
_WHOLE_WAY = "test_the_server_answers_as_plain_transformers_does_on_the_exported_folder"
QUICK_STEPS = (UNIT, Step(Tier("smallest story", f"tests/stories/local/test_whole_way.py::{_WHOLE_WAY}", 1)))
"""What is run between two edits: a small model is trained, exported and served, and its answers are compared."""


def environment() -> dict[str, str]:
    """Return the environment of the tests. Compiled modules are kept: stories start the trainer dozens of times."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"HF_HUB_OFFLINE": "1"}


class Counts(NamedTuple):
    """What a report counts."""

    passed: int
    failed: int
    skipped: int


def run_step(step: Step, *, full: bool) -> list[Outcome]:
    """Run the tiers of a step. The output of those beside the first is printed when all have ended."""
    logs = {tier: REPORTS / f"{_file_name(tier)}.log" for tier in step.beside}
    with ThreadPoolExecutor(max_workers=1) as pool:
        beside = pool.submit(lambda: [run(tier, full=full, log=log) for tier, log in logs.items()])
        outcomes = [run(step.tier, full=full, log=None), *beside.result()]
    for log in logs.values():
        sys.stdout.write(log.read_text(errors="replace"))
    return outcomes


def run(tier: Tier, *, full: bool, log: Path | None) -> Outcome:
    """Run one tier with pytest; its output goes to `log`, or passes through."""
    report = REPORTS / f"{_file_name(tier)}.xml"
    report.unlink(missing_ok=True)
    started = time.monotonic()
    with log.open("w") if log else nullcontext() as output:
        print(f"\n=== {tier.name} (budget {tier.minutes} min)", flush=True, file=output)
        process = subprocess.Popen(
            _command(tier, full=full, report=report), cwd=ROOT, env=environment(), stdout=output, stderr=output
        )
        _, status, used = os.wait4(process.pid, 0)
    seconds, processor_seconds = time.monotonic() - started, used.ru_utime + used.ru_stime
    counts = _counts(report, code=os.waitstatus_to_exitcode(status))
    return Outcome(tier, counts.passed, counts.failed, counts.skipped, seconds, processor_seconds, failures_in(report))


def _file_name(tier: Tier) -> str:
    return tier.name.replace(",", "").replace(" ", "-")


def _command(tier: Tier, *, full: bool, report: Path) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-q", "--durations=5", f"--junit-xml={report}", tier.tests, *tier.more]
    command += [f"--ignore={folder}" for folder in tier.without]
    if not tier.captures_logs:
        command += ["-p", "no:logging"]
    if not full:
        command += ["-m", "not full"]
    if tier.workers > 1:
        command += ["-n", str(tier.workers), "--dist", "loadfile"]
    if tier.first:
        command += ["--no-loadscope-reorder", *(f"--begin-with={name}" for name in tier.first)]
    return command


def _counts(report: Path, *, code: int) -> Counts:
    """Read a report. A run without a report, and one that ends with an error but names no failed test, count as one failure."""
    if not report.exists():
        return Counts(passed=0, failed=1, skipped=0)
    suite = next(ET.parse(report).getroot().iter("testsuite"))
    count = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    return Counts(count["tests"] - failed - count["skipped"], failed or int(code != 0), count["skipped"])


def failures_in(report: Path) -> tuple[str, ...]:
    """Return a line for each failed test of a report, which may be missing."""
    if not report.exists():
        return ()
    return tuple(
        f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}: {_first_line(problem)}"
        for case in ET.parse(report).getroot().iter("testcase")
        for problem in case
        if problem.tag in ("failure", "error")
    )


def _first_line(problem: ET.Element) -> str:
    return (problem.get("message") or "no message").splitlines()[0][:MOST_CHARACTERS]


def _row(outcome: Outcome, *, full: bool) -> str:
    minutes, tier = outcome.seconds / 60, outcome.tier
    over = "  over budget" if minutes > tier.minutes and not full else ""
    counts = f"{outcome.passed:>8}{outcome.failed:>8}{outcome.skipped:>9}"
    cores = outcome.processor_seconds / max(outcome.seconds, 1.0)
    return f"{tier.name:<16}{counts}{minutes:>9.1f}{tier.minutes:>8}{cores:>7.1f}{over}"


def main() -> int:
    """Return 0 if every tier passed."""
    options = argparse.ArgumentParser(description=__doc__)
    scope = options.add_mutually_exclusive_group()
    scope.add_argument("--quick", action="store_true", help="run the unit tests and the smallest story alone")
    scope.add_argument("--full", action="store_true", help="also run what is marked `full`")
    chosen = options.parse_args()
    full, steps = chosen.full, QUICK_STEPS if chosen.quick else STEPS
    REPORTS.mkdir(parents=True, exist_ok=True)
    outcomes = [outcome for step in steps for outcome in run_step(step, full=full)]
    print(f"\n{'tier':<16}{'passed':>8}{'failed':>8}{'skipped':>9}{'minutes':>9}{'budget':>8}{'cores':>7}")
    for outcome in outcomes:
        print(_row(outcome, full=full))
    passed, failed, skipped = (sum(getattr(o, name) for o in outcomes) for name in ("passed", "failed", "skipped"))
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    for line in [line for outcome in outcomes for line in outcome.failures][:MOST_FAILURES]:
        print(f"failed: {line}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
