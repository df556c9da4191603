"""Where every tier is required (TUNELOOP_REQUIRE_CLUSTER=1), a skipped test is a failure, unless its reason is allowed here."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ALLOWED_REASONS = (
    r"other plans are asked for",
    r"no plans are asked for by TUNELOOP_PLANS",
)
"""Patterns of whole reasons. A reason belongs here only if the person who runs the tests chose the skip, never if the machine lacks something."""


def are_all_required() -> bool:
    """Return whether a test that cannot run fails the run."""
    return os.environ.get("TUNELOOP_REQUIRE_CLUSTER") == "1"


def fail_unless_allowed(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn the report of a skip into the report of a failure, unless its reason is allowed. An expected failure is no skip."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if any(re.fullmatch(pattern, reason) for pattern in ALLOWED_REASONS):
        return
    report.outcome = "failed"
    report.longrepr = (
        f"{report.nodeid} was skipped, and every test is required here (TUNELOOP_REQUIRE_CLUSTER=1): {reason}\n"
        "Give the machine what the test needs, or add the reason to ALLOWED_REASONS in tests/support/required_tests.py."
    )
