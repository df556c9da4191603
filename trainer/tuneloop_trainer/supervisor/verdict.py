"""Decides the exit code and the termination message of a pod from how its ranks ended. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.contract.exit_codes import CLASS_OF_EXIT_CODE, ExitCode
from tuneloop_api.contract.results import TerminationMessage
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_api.wire.model import changed
from tuneloop_trainer.redaction import last_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

KILLED, TERMINATED = 128 + signal.SIGKILL, 128 + signal.SIGTERM


@dataclass(frozen=True, kw_only=True)
class RankEnd:
    """How one rank ended."""

    rank: int
    exit_code: int
    """Exit code of the process; 128 + the signal if a signal ended it."""
    by_supervisor: bool
    """The supervisor killed the rank after something else had gone wrong, so that this end has no meaning."""
    message: TerminationMessage | None
    """The message that the rank itself has left."""
    last_lines: tuple[str, ...]
    """The newest lines of its stderr, oldest first."""


@dataclass(frozen=True, kw_only=True)
class PodState:
    """What the supervisor knows of the pod as a whole."""

    step: int
    """Last step that any rank has made."""
    out_of_memory_kills: int
    """Number of processes of this pod that the out-of-memory killer has ended."""
    asked_to_stop: bool
    hang: str | None
    """A sentence about the hang; None if the ranks did not hang."""
    locked_memory: str | None = None
    """A sentence about the limit of locked memory; None if it is no trouble."""


@dataclass(frozen=True)
class Verdict:
    """How the pod ends."""

    exit_code: int
    message: TerminationMessage


def verdict(ends: Sequence[RankEnd], pod: PodState) -> Verdict:
    """Return how the pod ends. ends: how its ranks ended, in this order."""
    if pod.hang is not None:
        stacks = "The stacks of all ranks stand in the log; a rank in state T was stopped from outside."
        found = _failed(ExitCode.HANG, pod, message=pod.hang, hint=stacks, kind=FailureClass.HANG)
        return _with_last_lines(found, ends[0])
    end = root_cause(ends)
    if end is None:
        return _without_failure(ends, pod)
    if end.message is not None:
        known = {"rank": end.rank} | ({} if end.message.step is not None else {"step": pod.step})
        found = Verdict(end.exit_code, changed(end.message, **known))
    else:
        found = _silent(end, pod)
    return _with_last_lines(_with_locked_memory(found, pod), end)


def root_cause(ends: Sequence[RankEnd]) -> RankEnd | None:
    """Return the end that caused the others: ends that only follow from another rank's end come last, equal ends in order of time."""
    own = [end for end in ends if end.exit_code != 0 and not end.by_supervisor]
    return min(own, key=lambda end: _echo_rank(end.exit_code), default=None)


def _echo_rank(exit_code: int) -> int:
    """Return how likely an end only echoes that of another rank: 0 is a failure of its own."""
    order = (ExitCode.PREEMPTED, TERMINATED, ExitCode.COLLECTIVE)
    return order.index(exit_code) + 1 if exit_code in order else 0


def _without_failure(ends: Sequence[RankEnd], pod: PodState) -> Verdict:
    """Return the verdict where no rank failed by itself: all succeeded, or some did not stop in time."""
    late = [end for end in ends if end.by_supervisor]
    if late:
        text = f"rank {late[0].rank} did not save and leave within the grace period; the newest checkpoint is used"
        return _failed(TERMINATED, pod, message=text, kind=FailureClass.PREEMPTED, rank=late[0].rank)
    message = next((end.message for end in sorted(ends, key=lambda end: end.rank) if end.message), None)
    return Verdict(ExitCode.OK, message or TerminationMessage(stage="train", outcome="Succeeded"))


def _silent(end: RankEnd, pod: PodState) -> Verdict:
    """Return the verdict on a rank that left no message, from its exit code and its last line."""
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
    """Return a verdict with the last lines of a rank, if it is a failure."""
    if found.message.outcome != "Failed":
        return found
    return Verdict(found.exit_code, changed(found.message, last_lines=last_lines(end.last_lines) or None))


def _with_locked_memory(found: Verdict, pod: PodState) -> Verdict:
    """Return a verdict whose hint names the limit of locked memory, if the ranks could not talk to each other."""
    if pod.locked_memory is None or found.message.failure_class is not FailureClass.COLLECTIVE:
        return found
    hints = [hint for hint in (pod.locked_memory, found.message.hint) if hint]
    return Verdict(found.exit_code, changed(found.message, hint=" ".join(hints)))


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
