"""Runs the test tiers one after another and prints their counts and times: `python dev/run_tests.py [--quick | --full]`.

The budgets are those of the design. A tier over its budget is marked, but does not fail, since a slow machine is no defect.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "test-reports"
"""JUnit XML of each tier, from the last run."""


@dataclass(frozen=True)
class Tier:
    """Tests with a time budget in minutes."""

    name: str
    tests: str
    """A folder, or the name of one test."""
    minutes: int
    workers: int = 1
    """Processes that share the files out; more than there are cores, where tests mostly wait."""
    first: tuple[str, ...] = ()
    """The files that take longest: begun last, they would keep one process busy while the others have nothing left."""


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


UNIT = Tier("unit", "tests/unit", 1, workers=2)
TIERS = (
    UNIT,
    Tier("component", "tests/component", 4, workers=3),
    Tier(
        "local stories", "tests/stories/local", 15, workers=2,
        first=("test_interrupted_runs.py", "test_nothing_is_lost.py"),
    ),
    Tier("chart", "tests/stories/chart", 2),
    Tier("images", "tests/stories/images", 3),
    Tier(
        "control plane", "tests/stories/control_plane", 12, workers=3,
        first=("test_gang_upgrade.py", "test_operator_faults.py", "test_chart.py", "test_operator_storms.py", "test_bad_manifests.py"),
    ),
    Tier("cluster", "tests/stories/cluster", 8),
)  # fmt: skip
_WHOLE_WAY = "test_the_server_answers_as_plain_transformers_does_on_the_exported_folder"
QUICK_TIERS = (UNIT, Tier("smallest story", f"tests/stories/local/test_whole_way.py::{_WHOLE_WAY}", 1))
"""What is run between two edits: a small model is trained, exported and served, and its answers are compared."""


def environment() -> dict[str, str]:
    """Return the environment of the tests. Compiled modules are kept: stories start the trainer dozens of times."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"HF_HUB_OFFLINE": "1"}


def processor_seconds() -> float:
    """Return the processor time of all ended children so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(tier: Tier, *, full: bool, report: Path) -> Outcome:
    """Run one tier with pytest; its output passes through."""
    select = [] if full else ["-m", "not full"]
    report.unlink(missing_ok=True)
    started, used = time.monotonic(), processor_seconds()
    print(f"\n=== {tier.name} (budget {tier.minutes} min)", flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "--durations=5", f"--junit-xml={report}", *select, tier.tests]
    if tier.workers > 1:
        command += ["-n", str(tier.workers), "--dist", "loadfile"]
    if tier.first:
        command += ["--no-loadscope-reorder", *(f"--begin-with={name}" for name in tier.first)]
    code = subprocess.run(command, cwd=ROOT, check=False, env=environment()).returncode
    seconds, used = time.monotonic() - started, processor_seconds() - used
    if not report.exists():
        return Outcome(tier, passed=0, failed=1, skipped=0, seconds=seconds, processor_seconds=used)
    suite = next(ET.parse(report).getroot().iter("testsuite"))
    count = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    passed = count["tests"] - failed - count["skipped"]
    return Outcome(tier, passed, failed or int(code != 0), count["skipped"], seconds, used)


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
    full, tiers = chosen.full, QUICK_TIERS if chosen.quick else TIERS
    REPORTS.mkdir(parents=True, exist_ok=True)
    outcomes = [run(tier, full=full, report=REPORTS / f"{tier.name.replace(' ', '-')}.xml") for tier in tiers]
    print(f"\n{'tier':<16}{'passed':>8}{'failed':>8}{'skipped':>9}{'minutes':>9}{'budget':>8}{'cores':>7}")
    for outcome in outcomes:
        print(_row(outcome, full=full))
    passed, failed, skipped = (sum(getattr(o, name) for o in outcomes) for name in ("passed", "failed", "skipped"))
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
