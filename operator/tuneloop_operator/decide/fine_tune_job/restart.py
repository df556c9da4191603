"""What follows a failure: the action by class, the job's own rules, the limits, and the delay before a restart."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.failure_policy import FailurePolicy
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_api.wire.model import changed

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1.fine_tune_job.status import Failure, Restarts

_FIRST_DELAY_SECONDS = 10.0
_LONGEST_DELAY_SECONDS = 600.0
_MOST_REDUCTIONS = 2


class Action(StrEnum):
    """What follows a failure."""

    RESTART = "Restart"
    """Counts against `maxRestarts` (without a newer checkpoint) and `maxTotalRestarts`."""
    RESTART_FREE = "RestartFree"
    """Counts against `maxDisruptions`: the cluster ended the run, and neither the job nor its data is at fault."""
    REDUCE_MICRO_BATCH = "ReduceMicroBatch"
    """A restart with half as many rows in a micro-batch and the same global batch; twice at most."""
    REPLAY = "Replay"
    """A restart from the checkpoint before the newest. Training is deterministic: if the failure does not come again, the hardware was at fault."""
    PREPARE_AGAIN = "PrepareAgain"
    """A restart before which the data is prepared again."""
    FAIL = "Fail"
    """No restart: it would fail in the same way."""


ACTION_OF_CLASS = {
    FailureClass.OUT_OF_MEMORY_HOST: Action.RESTART,
    FailureClass.COLLECTIVE: Action.RESTART,
    FailureClass.HANG: Action.RESTART,
    FailureClass.STORAGE: Action.RESTART,
    FailureClass.UNKNOWN: Action.RESTART,
    FailureClass.EVICTED: Action.RESTART_FREE,
    FailureClass.NODE_LOST: Action.RESTART_FREE,
    FailureClass.PREEMPTED: Action.RESTART_FREE,
    FailureClass.OUT_OF_MEMORY_GPU: Action.REDUCE_MICRO_BATCH,
    FailureClass.NON_FINITE_LOSS: Action.REPLAY,
    FailureClass.PREPARED_DATA_LOST: Action.PREPARE_AGAIN,
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
_OURS = frozenset({FailureClass.START_DEADLINE, FailureClass.DEADLINE_EXCEEDED, FailureClass.BUDGET_EXCEEDED})
"""Failures that the operator itself declares, because the spec asks for it. No rule of the job overrides them."""


@dataclass(frozen=True, kw_only=True)
class RestartDecision:
    """What follows a failure."""

    action: Action
    """FAIL also if a limit is reached."""
    restarts: Restarts
    """The counters after the decision; unchanged if no run follows."""
    exhausted: str = ""
    """The limit that is reached, as a sentence; empty if none is."""

    @property
    def restarts_run(self) -> bool:
        """Whether another run follows."""
        return self.action is not Action.FAIL


def action_of(failure: Failure, policy: FailurePolicy | None) -> Action:
    """Return the action of the first rule of the job that matches the failure, else the action of its class."""
    kind = FailureClass(failure.failure_class)
    for rule in (policy and policy.rules_) or ():
        fits = rule.failure_class is kind or failure.exit_code in (rule.exit_codes or ())
        if fits and kind not in _OURS:
            return Action(rule.action)
    return ACTION_OF_CLASS[kind]


def restart_decision(
    failure: Failure, *, restarts: Restarts, policy: FailurePolicy | None, now: str
) -> RestartDecision:
    """Return what follows a failure, within the limits of the policy. now: RFC 3339, for the counters."""
    action = action_of(failure, policy)
    if action is Action.FAIL:
        return RestartDecision(action=action, restarts=restarts)
    if exhausted := _exhausted(action, failure, restarts=restarts, policy=policy or FailurePolicy()):
        return RestartDecision(action=Action.FAIL, restarts=restarts, exhausted=exhausted)
    is_failure = action not in {Action.RESTART_FREE, Action.REPLAY}
    counted = changed(
        restarts,
        total=restarts.total + 1,
        failure=restarts.failure + is_failure,
        disruption=restarts.disruption + (action is Action.RESTART_FREE),
        without_progress=restarts.without_progress + is_failure,
        since_checkpoint=restarts.since_checkpoint + 1,
        last_reason=failure.failure_class,
        last_time=now,
    )
    if action is Action.REDUCE_MICRO_BATCH:
        counted = changed(counted, reduced=(restarts.reduced or 0) + 1)
    if action is Action.REPLAY:
        counted = changed(counted, non_finite_step=failure.step or 0)
    return RestartDecision(action=action, restarts=counted)


def _exhausted(action: Action, failure: Failure, *, restarts: Restarts, policy: FailurePolicy) -> str:
    if action is Action.RESTART_FREE:
        most = 100 if policy.max_disruptions is None else policy.max_disruptions
        return f"disrupted more than {most} times (failurePolicy.maxDisruptions)" if restarts.disruption >= most else ""
    if action is Action.REPLAY:
        before = restarts.non_finite_step
        again = before is not None and (failure.step or 0) <= before
        return "it came again after training went one checkpoint back" if again else ""
    if action is Action.REDUCE_MICRO_BATCH and (restarts.reduced or 0) >= _MOST_REDUCTIONS:
        return f"the micro-batch was halved {_MOST_REDUCTIONS} times already"
    most = 3 if policy.max_restarts is None else policy.max_restarts
    if restarts.without_progress >= most:
        return f"restarted {most} times without a newer checkpoint (failurePolicy.maxRestarts)"
    most = 50 if policy.max_total_restarts is None else policy.max_total_restarts
    return f"restarted {most} times in all (failurePolicy.maxTotalRestarts)" if restarts.failure >= most else ""


def halved(micro_batch: int, *, global_batch: int) -> int | None:
    """Return the largest divisor of the global batch that is at most half the micro-batch; None if the micro-batch is one row."""
    return next((size for size in range(micro_batch // 2, 0, -1) if global_batch % size == 0), None)


def delay_seconds(since_checkpoint: int) -> float:
    """Return the seconds to wait before the n-th restart since the newest checkpoint: 0, 10, 20, 40 … 600."""
    if since_checkpoint <= 1:
        return 0.0
    return min(_FIRST_DELAY_SECONDS * 2.0 ** min(since_checkpoint - 2, 16), _LONGEST_DELAY_SECONDS)
