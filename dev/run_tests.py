"""Runs the test tiers one after another and prints their counts and times: `python dev/run_tests.py [--full]`.

The budgets are those of the design; going over one is said, not failed, since a slow machine is no defect.
"""

from __future__ import annotations

import argparse
import os
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
    """A folder of tests with a time budget in minutes."""

    name: str
    folder: str
    minutes: int
    workers: int = 1
    """Processes that share the files out; more than there are cores, where tests mostly wait."""


@dataclass(frozen=True)
class Outcome:
    """What pytest counted in one tier."""

    tier: Tier
    passed: int
    failed: int
    skipped: int
    seconds: float


TIERS = (
    Tier("unit", "tests/unit", 3, workers=3),
    Tier("local stories", "tests/stories/local", 8),
    Tier("chart", "tests/stories/chart", 2),
    Tier("images", "tests/stories/images", 3),
    Tier("control plane", "tests/stories/control_plane", 10, workers=3),
    Tier("cluster", "tests/stories/cluster", 8),
)


def run(tier: Tier, *, full: bool, report: Path) -> Outcome:
    """Run one tier with pytest; its output passes through."""
    select = [] if full else ["-m", "not full"]
    report.unlink(missing_ok=True)
    started = time.monotonic()
    print(f"\n=== {tier.name} (budget {tier.minutes} min)", flush=True)
    command = [sys.executable, "-m", "pytest", "-q", "--durations=5", *select, f"--junit-xml={report}", tier.folder]
    if tier.workers > 1:
        command += ["-n", str(tier.workers), "--dist", "loadfile"]
    code = subprocess.run(command, cwd=ROOT, check=False, env=os.environ | {"HF_HUB_OFFLINE": "1"}).returncode
    seconds = time.monotonic() - started
    if not report.exists():
        return Outcome(tier, passed=0, failed=1, skipped=0, seconds=seconds)
    suite = next(ET.parse(report).getroot().iter("testsuite"))
    count = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    passed = count["tests"] - failed - count["skipped"]
    return Outcome(tier, passed, failed or int(code != 0), count["skipped"], seconds)


def main() -> int:
    """Return 0 if every tier passed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--full", action="store_true", help="also run what is marked `full`")
    full = options.parse_args().full
    REPORTS.mkdir(parents=True, exist_ok=True)
    outcomes = [run(tier, full=full, report=REPORTS / f"{tier.name.replace(' ', '-')}.xml") for tier in TIERS]
    print(f"\n{'tier':<16}{'passed':>8}{'failed':>8}{'skipped':>9}{'minutes':>9}{'budget':>8}")
    for o in outcomes:
        over = "  over budget" if o.seconds > o.tier.minutes * 60 and not full else ""
        print(
            f"{o.tier.name:<16}{o.passed:>8}{o.failed:>8}{o.skipped:>9}{o.seconds / 60:>9.1f}{o.tier.minutes:>8}{over}"
        )
    passed, failed, skipped = (sum(getattr(o, name) for o in outcomes) for name in ("passed", "failed", "skipped"))
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
