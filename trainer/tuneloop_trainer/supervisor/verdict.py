"""From how the ranks of a pod ended to one exit code and one message: pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.contract.exit_codes import CLASS_OF_EXIT_CODE, ExitCode
from tuneloop_api.contract.results import TerminationMessage
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_trainer.redaction import last_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

KILLED, TERMINATED = 128 + signal.SIGKILL, 128 + signal.SIGTERM


@dataclass(frozen=True, kw_only=True)
class RankEnd:
    """How one rank ended."""

    rank: int
    exit_code: int
    """128 + signal where a signal ended it."""
    by_supervisor: bool
    """It was killed by us after something else had gone wrong: it says nothing."""
    message: TerminationMessage | None
    """What it said itself."""
    last_lines: tuple[str, ...]
    """The newest lines of its stderr, oldest first."""


@dataclass(frozen=True, kw_only=True)
class PodState:
    """What the supervisor knows besides."""

    step: int
    """Last step that any rank made."""
    out_of_memory_kills: int
    """How many processes of this pod the kernel killed for want of memory."""
    asked_to_stop: bool
    hang: str | None
    """How the ranks hung, in a sentence; None: they did not."""


@dataclass(frozen=True)
class Verdict:
    """How the pod ends."""

    exit_code: int
    message: TerminationMessage


def verdict(ends: Sequence[RankEnd], pod: PodState) -> Verdict:
    """Return how a pod ends whose ranks ended in this order."""
    if pod.hang is not None:
        stacks = "The stacks of all ranks stand in the log; a rank in state T was stopped from outside."
        found = _failed(ExitCode.HANG, pod, message=pod.hang, hint=stacks, kind=FailureClass.HANG)
        return _with_last_lines(found, ends[0])
    end = telling(ends)
    if end is None:
        return _without_failure(ends, pod)
    if end.message is not None:
        known = {"rank": end.rank} | ({} if end.message.step is not None else {"step": pod.step})
        return _with_last_lines(Verdict(end.exit_code, end.message.model_copy(update=known)), end)
    return _with_last_lines(_silent(end, pod), end)


def telling(ends: Sequence[RankEnd]) -> RankEnd | None:
    """Return the end that explains the others: what only follows from another rank's end comes last, then the first in time."""
    own = [end for end in ends if end.exit_code != 0 and not end.by_supervisor]
    return min(own, key=lambda end: _noise(end.exit_code), default=None)


def _noise(exit_code: int) -> int:
    order = (ExitCode.PREEMPTED, TERMINATED, ExitCode.COLLECTIVE)
    return order.index(exit_code) + 1 if exit_code in order else 0


def _without_failure(ends: Sequence[RankEnd], pod: PodState) -> Verdict:
    """No rank failed by itself: all succeeded, or they were too slow to stop."""
    late = [end for end in ends if end.by_supervisor]
    if late:
        text = f"rank {late[0].rank} did not save and leave within the grace period; the newest checkpoint is used"
        return _failed(TERMINATED, pod, message=text, kind=FailureClass.PREEMPTED, rank=late[0].rank)
    said = next((end.message for end in sorted(ends, key=lambda end: end.rank) if end.message), None)
    return Verdict(ExitCode.OK, said or TerminationMessage(stage="train", outcome="Succeeded"))


def _silent(end: RankEnd, pod: PodState) -> Verdict:
    """A rank ended without a word of its own: its code and its last line have to do."""
    code, rank = end.exit_code, end.rank
    if code == KILLED and pod.out_of_memory_kills > 0:
        text = f"rank {rank} was killed by the kernel: the pod used more memory than its limit"
        hint = "Give the training pods more memory (spec.resources.memory), or lower training.microBatchSize."
        return _failed(code, pod, message=text, hint=hint, kind=FailureClass.OUT_OF_MEMORY_HOST, rank=rank)
    if code == TERMINATED and pod.asked_to_stop:
        text = f"rank {rank} was asked to stop before it had begun"
        return _failed(code, pod, message=text, kind=FailureClass.PREEMPTED, rank=rank)
    how = f"was killed by signal {code - 128} ({_name(code - 128)})" if code > 128 else f"ended with exit code {code}"
    lines = last_lines(end.last_lines)
    text = f"rank {rank} {how}" + (f": {lines[-1]}" if lines else "")
    return _failed(code, pod, message=text, kind=CLASS_OF_EXIT_CODE.get(code, FailureClass.UNKNOWN), rank=rank)


def _with_last_lines(found: Verdict, end: RankEnd) -> Verdict:
    """Return the verdict on a failure with what the rank wrote last."""
    if found.message.outcome != "Failed":
        return found
    return Verdict(found.exit_code, found.message.model_copy(update={"last_lines": last_lines(end.last_lines) or None}))


def _failed(
    code: int, pod: PodState, *, message: str, kind: FailureClass, hint: str | None = None, rank: int | None = None
) -> Verdict:
    return Verdict(
        code,
        TerminationMessage(
            stage="train",
            outcome="Preempted" if kind is FailureClass.PREEMPTED else "Failed",
            failure_class=kind,
            message=message,
            hint=hint,
            rank=rank,
            step=pod.step,
        ),
    )


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
