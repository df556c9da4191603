"""A queue that holds back the Job of `prepare` or `export`: the stage waits, and nothing is counted."""

from __future__ import annotations

import pytest
from observed_jobs import NOW, RESULT, STAMP, TRAINING, a_job, observed, stage_job
from stored_conditions import condition

from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_operator.decide.fine_tune_job.stop import requeued_by_queue

TRAINED = {"train": {"name": "r-a1", "uid": "u-a1", "ended": True, "result": RESULT}}
CHILDREN = {"prepare": {}, "export": TRAINING["children"] | TRAINED}


@pytest.mark.parametrize("stage", CHILDREN)
@pytest.mark.parametrize("reason", ["Starting", "Unschedulable", "AllReady", "NoAttemptRuns"])
def test_a_stage_that_a_queue_takes_back_is_no_disruption_of_a_gang(stage: str, reason: str) -> None:
    children = CHILDREN[stage] | {stage: {"name": f"r-{stage}", "uid": f"u-{stage}"}}
    shown_before = {"startTime": STAMP, "children": children, "conditions": [condition("PodsReady", reason=reason)]}
    status = FineTuneJobStatus.from_wire(shown_before)
    assert (
        requeued_by_queue(observed(a_job(shown_before), jobs=(stage_job(stage, suspended=True),)), status, now=NOW)
        == status
    )
