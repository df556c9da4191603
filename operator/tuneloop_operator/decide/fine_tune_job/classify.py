"""Which pod of a failed run is to blame, what went wrong in it, and what a person can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.contract.exit_codes import CLASS_OF_EXIT_CODE
from tuneloop_api.contract.results import TerminationMessage
from tuneloop_api.v1alpha1.fine_tune_job.status import Failure
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.decide.fine_tune_job.hints import HINTS
from tuneloop_operator.decide.fine_tune_job.restart import ACTION_OF_CLASS, Action

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_operator.state.observed import ContainerEnd, PodView

_CLASS_OF_DISRUPTION = {  # reasons of the pod condition DisruptionTarget
    "PreemptionByScheduler": FailureClass.PREEMPTED,
    "DeletionByTaintManager": FailureClass.NODE_LOST,
    "DeletionByPodGC": FailureClass.NODE_LOST,
    "EvictionByEvictionAPI": FailureClass.EVICTED,
    "TerminationByKubelet": FailureClass.EVICTED,
}
_CLASS_OF_POD_REASON = {  # `status.reason` of a pod
    "Evicted": FailureClass.EVICTED,
    "Preempting": FailureClass.PREEMPTED,
    "NodeLost": FailureClass.NODE_LOST,
    "NodeShutdown": FailureClass.NODE_LOST,
    "Terminated": FailureClass.NODE_LOST,
    "NodeAffinity": FailureClass.NODE_LOST,
    "UnexpectedAdmissionError": FailureClass.NODE_LOST,
}
_START_ERRORS = frozenset({"StartError", "ContainerCannotRun", "CreateContainerConfigError", "InvalidImageName"})
_SIGTERM = 143
_ECHO_RANK = {FailureClass.UNKNOWN: 1, FailureClass.HANG: 2, FailureClass.COLLECTIVE: 3}
"""Classes that the end of another rank may cause; the larger the number, the more likely. All other classes have 0."""
_ECHO_RANK_OF_SIGTERM = 4
_LAST_LINES = 20


@dataclass(frozen=True, kw_only=True)
class Blame:
    """The failure of a pod that ended, and how likely another pod caused it."""

    failure: Failure
    echo_rank: int
    """0: this pod shows the cause. Larger: its end may be an echo of another pod's failure."""
    finished: datetime
    index: int


def blame(pods: Iterable[PodView]) -> Blame | None:
    """Return the failure that explains best why these pods of one attempt failed; None if no pod has ended.

    Pods that were deleted before they ended count only if there are no others, because the Job controller deletes the rest of a gang.
    """
    ended = [pod for pod in pods if pod.phase == "Failed" or pod.disruption or _failed(pod.ended)]
    own = [pod for pod in ended if pod.disruption or not _deleted_first(pod)]
    blames = [_blame_of(pod) for pod in own or ended]
    return min(blames, key=lambda blame: (blame.echo_rank, blame.finished, blame.index), default=None)


def termination_message_of(pod: PodView) -> TerminationMessage | None:
    """Return the termination message of a pod; None if it wrote none, or none that can be read."""
    return _read(pod.ended.message) if pod.ended else None


def job_deleted(*, name: str, stage: str) -> Failure:
    """Return the failure of a Job that is gone, and that the operator did not delete."""
    return _failure(FailureClass.EVICTED, stage=stage, message=f"Job {name} was deleted while it ran")


def pods_gone(*, name: str, stage: str, message: str) -> Failure:
    """Return the failure of a Job that failed and whose pods were deleted, so that none can show why. message: of the Job."""
    detail = f": {message}" if message else ""
    return _failure(FailureClass.EVICTED, stage=stage, message=f"the pods of Job {name} are gone{detail}")


def no_result(*, name: str, stage: str) -> Failure:
    """Return the failure of a Job that succeeded without a readable result."""
    return _failure(
        FailureClass.UNKNOWN,
        stage=stage,
        message=f"Job {name} succeeded, but wrote no result that can be read",
    )


def without_image(pod: PodView) -> Failure:
    """Return the failure of a pod whose image cannot be pulled, or whose container cannot be created."""
    kind = FailureClass.CONFIG if pod.waiting == "CreateContainerConfigError" else FailureClass.IMAGE_PULL
    return _failure(kind, stage=pod.stage, message=f"{pod.waiting}: {pod.waiting_message}".rstrip(": "), pod=pod)


def not_mounted(pod: PodView) -> Failure:
    """Return the failure of a pod whose volumes cannot be mounted."""
    return _failure(FailureClass.CONFIG, stage=pod.stage, message=f"FailedMount: {pod.mount_failure}", pod=pod)


def not_started(message: str, *, stage: str, pod: PodView | None = None) -> Failure:
    """Return the failure of a run whose pods did not start in time."""
    return _failure(FailureClass.START_DEADLINE, stage=stage, message=message, pod=pod)


def _failed(end: ContainerEnd | None) -> bool:
    return end is not None and end.exit_code != 0


def _deleted_first(pod: PodView) -> bool:
    """Whether the pod ended because it was deleted.

    SIGTERM is how the kubelet deletes. For other ends the times decide; those of the same second say that the pod ended by itself. The end
    has the time of the node, the deletion that of the API server: a node whose clock is ahead makes an end look like a deletion.
    """
    if pod.deletion_asked is None:
        return False
    return pod.ended is None or pod.ended.exit_code == _SIGTERM or pod.ended.finished > pod.deletion_asked


def _blame_of(pod: PodView) -> Blame:
    message = termination_message_of(pod)
    failure_class = _class(pod, message)
    echo_rank = _ECHO_RANK.get(failure_class, 0)
    if pod.ended and pod.ended.exit_code == _SIGTERM and failure_class is FailureClass.UNKNOWN:
        echo_rank = _ECHO_RANK_OF_SIGTERM
    failure = _failure(
        failure_class, stage=pod.stage, message=_text(pod, message), pod=pod, termination_message=message
    )
    finished = pod.ended.finished if pod.ended else (pod.deletion_asked or datetime.max.replace(tzinfo=UTC))
    return Blame(failure=failure, echo_rank=echo_rank, finished=finished, index=pod.index)


def _class(pod: PodView, message: TerminationMessage | None) -> FailureClass:
    if pod.disruption or pod.reason:
        return _CLASS_OF_DISRUPTION.get(pod.disruption) or _CLASS_OF_POD_REASON.get(pod.reason, FailureClass.EVICTED)
    if _deleted_first(pod):
        return FailureClass.EVICTED
    return FailureClass.UNKNOWN if pod.ended is None else _class_of_end(pod.ended, message)


def _class_of_end(end: ContainerEnd, message: TerminationMessage | None) -> FailureClass:
    if end.reason == "OOMKilled":
        return FailureClass.OUT_OF_MEMORY_HOST
    if end.reason in _START_ERRORS:
        return FailureClass.CONFIG
    if message is not None and message.failure_class is not None:
        return message.failure_class
    return CLASS_OF_EXIT_CODE.get(end.exit_code, FailureClass.UNKNOWN)


def _text(pod: PodView, message: TerminationMessage | None) -> str:
    if message is not None and message.message:
        return message.message
    if pod.disruption or pod.reason or pod.ended is None:
        return f"pod {pod.name}: {pod.message or pod.disruption or pod.reason or 'deleted'}"
    end = pod.ended
    if end.reason == "OOMKilled":
        return f"pod {pod.name} used more memory than its limit"
    lines = [line for line in end.message.splitlines() if line.strip()]
    last_line = f": {lines[-1].strip()}" if lines and message is None else ""
    return f"pod {pod.name} ended with exit code {end.exit_code}{last_line}"


def _failure(
    kind: FailureClass,
    *,
    stage: str,
    message: str,
    pod: PodView | None = None,
    termination_message: TerminationMessage | None = None,
) -> Failure:
    end, written = pod.ended if pod else None, termination_message
    lines = (written.last_lines or []) if written else end.message.splitlines()[-_LAST_LINES:] if end else []
    return Failure(
        failure_class=kind.value,
        stage=stage,
        exit_code=end.exit_code if end else None,
        rank=written.rank if written else None,
        step=written.step if written else None,
        pod=pod.name if pod else None,
        node=pod.node if pod else None,
        message=message[:4096],
        hint=(written.hint if written and written.hint else HINTS[kind])[:4096],
        last_lines=[line[:256] for line in lines] or None,
        retryable=ACTION_OF_CLASS[kind] is not Action.FAIL,
    )


def _read(text: str) -> TerminationMessage | None:
    """Return the message that a stage wrote; None if the text is something else, such as the end of a log."""
    if not text.startswith("{"):
        return None
    try:
        return TerminationMessage.model_validate_json(text)
    except ValidationError:
        return None
