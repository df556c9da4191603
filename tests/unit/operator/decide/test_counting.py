"""Which changes of a status wait for their turn: counts and numbers in sentences, while a step goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tuneloop_operator.decide.model_deployment.counting import counts_alone_differ, seconds_to_wait
from tuneloop_operator.settings.operator import OperatorSettings

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def status(*, message: str = "10 of 500 requests; next step in 4 min", **rollout: Any) -> dict[str, Any]:
    """Return a status in the middle of a step. rollout: other fields of it; None takes one away."""
    gate = {"name": "errors", "verdict": "NoData", "action": "Hold", "reason": "10 of 250 requests"}
    usual = {"canary": "7d1f", "stepStartedAt": "2026-01-01T11:00:00Z", "requests": 10, "gates": [gate]}
    return {
        "conditions": [{"type": "Ready", "status": "False", "reason": "Progressing", "message": message}],
        "rollout": {name: value for name, value in (usual | rollout).items() if value is not None},
    }


OLD = status()
DECIDED = {"name": "errors", "verdict": "Pass", "action": "Advance", "reason": "10 of 250 requests"}


@pytest.mark.parametrize(
    ("new", "waits"),
    [
        pytest.param(status(requests=20), True, id="another count"),
        pytest.param(status(message="20 of 500 requests; next step in 3 min"), True, id="other numbers"),
        pytest.param(status(message="20 of 500 requests; waits: nobody asks"), False, id="other words"),
        pytest.param(status(gates=[DECIDED]), False, id="another verdict"),
        pytest.param(status(step=2, requests=0), False, id="another step"),
        pytest.param(status(canary=None), False, id="no canary"),
        pytest.param(status(stepStartedAt=None), False, id="no step in force"),
    ],
)
def test_nothing_but_counts_waits(new: dict[str, Any], waits: bool) -> None:
    assert counts_alone_differ(OLD, new) is waits


def test_the_first_status_does_not_wait() -> None:
    assert not counts_alone_differ(None, OLD)


@pytest.mark.parametrize(("since", "wait"), [(0.0, 20.0), (15.0, 5.0), (20.0, 0.0), (-1.0, 0.0)])
def test_counts_wait_for_twice_the_interval_of_progress(since: float, wait: float) -> None:
    written = NOW - timedelta(seconds=since)
    assert seconds_to_wait(written, now=NOW, settings=OperatorSettings()) == wait
    assert seconds_to_wait(None, now=NOW, settings=OperatorSettings()) == 0.0
