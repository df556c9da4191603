"""What follows a failure: the table of classes, the limits, and the delay."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tuneloop_api.exit_codes import FailureClass
from tuneloop_api.v1alpha1.fine_tune_job_policy import FailurePolicy
from tuneloop_api.v1alpha1.fine_tune_job_status import Restarts

_FIRST_DELAY_SECONDS = 10.0
_LONGEST_DELAY_SECONDS = 600.0


class Action(StrEnum):
    """What follows a failure."""

    RESTART = "Restart"
    """Counts against `maxRestarts` (without a newer checkpoint) and `maxTotalRestarts`."""
    RESTART_FREE = "RestartFree"
    """Counts against `maxDisruptions`: nobody's fault."""
    FAIL = "Fail"
    """The same would happen again."""


ACTION_OF_CLASS = {
    FailureClass.OUT_OF_MEMORY_HOST: Action.RESTART,
    FailureClass.COLLECTIVE: Action.RESTART,
    FailureClass.HANG: Action.RESTART,
    FailureClass.STORAGE: Action.RESTART,
    FailureClass.UNKNOWN: Action.RESTART,
    FailureClass.EVICTED: Action.RESTART_FREE,
    FailureClass.NODE_LOST: Action.RESTART_FREE,
    FailureClass.PREEMPTED: Action.RESTART_FREE,
    # training is deterministic: the same batch would not fit, or not be finite, again
    FailureClass.OUT_OF_MEMORY_GPU: Action.FAIL,
    FailureClass.NON_FINITE_LOSS: Action.FAIL,
    FailureClass.USER_CODE: Action.FAIL,
    FailureClass.DATA: Action.FAIL,
    FailureClass.CONFIG: Action.FAIL,
    FailureClass.MODEL_ACCESS: Action.FAIL,
    FailureClass.IMAGE_PULL: Action.FAIL,
    FailureClass.CHECKPOINT_LOST: Action.FAIL,
    FailureClass.START_DEADLINE: Action.FAIL,
    FailureClass.DEADLINE_EXCEEDED: Action.FAIL,
    FailureClass.BUDGET_EXCEEDED: Action.FAIL,
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a failure leads to."""

    restart: bool
    restarts: Restarts
    """The counters afterwards; unchanged where nothing is restarted."""
    exhausted: str = ""
    """The limit that was reached, as a sentence; empty where none was."""


def verdict(failure: FailureClass, *, restarts: Restarts, policy: FailurePolicy | None, now: str) -> Verdict:
    """Return whether to restart after a failure of this class, with the counters that say so."""
    action = ACTION_OF_CLASS[failure]
    if action is Action.FAIL:
        return Verdict(restart=False, restarts=restarts)
    if exhausted := _exhausted(action, restarts=restarts, policy=policy or FailurePolicy()):
        return Verdict(restart=False, restarts=restarts, exhausted=exhausted)
    blamed = action is Action.RESTART
    counted = Restarts(
        total=restarts.total + 1,
        failure=restarts.failure + blamed,
        disruption=restarts.disruption + (not blamed),
        without_progress=restarts.without_progress + blamed,
        since_checkpoint=restarts.since_checkpoint + 1,
        last_reason=failure.value,
        last_time=now,
    )
    return Verdict(restart=True, restarts=counted)


def _exhausted(action: Action, *, restarts: Restarts, policy: FailurePolicy) -> str:
    if action is Action.RESTART_FREE:
        most = 100 if policy.max_disruptions is None else policy.max_disruptions
        return f"disrupted more than {most} times (failurePolicy.maxDisruptions)" if restarts.disruption >= most else ""
    most = 3 if policy.max_restarts is None else policy.max_restarts
    if restarts.without_progress >= most:
        return f"restarted {most} times without a newer checkpoint (failurePolicy.maxRestarts)"
    most = 50 if policy.max_total_restarts is None else policy.max_total_restarts
    return f"restarted {most} times in all (failurePolicy.maxTotalRestarts)" if restarts.failure >= most else ""


def after_checkpoint(restarts: Restarts) -> Restarts:
    """Return the counters once a newer checkpoint, or a whole stage, is safe."""
    return restarts.model_copy(update={"without_progress": 0, "since_checkpoint": 0})


def delay_seconds(since_checkpoint: int) -> float:
    """Return the wait before the restart with this number since the newest checkpoint: 0, 10, 20, 40 … 600 seconds."""
    if since_checkpoint <= 1:
        return 0.0
    return min(_FIRST_DELAY_SECONDS * 2.0 ** min(since_checkpoint - 2, 16), _LONGEST_DELAY_SECONDS)
