"""What becomes of a pod, as data: a `PodLifecycle` of steps. A script chooses the lifecycle of each pod; ready-made ones are here. No I/O.

A script is a function `(pod, attempt, stage, index) -> PodLifecycle`: the pod's manifest, the number of the run of its stage from 1, `prepare`,
`train`, `export` or `serve`, and the rank of the pod in its gang.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from stage_messages import EXIT_CODE_OF_CLASS, failure, success

from tuneloop_api.wire.failure_class import FailureClass

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

Pod = dict[str, Any]


@dataclass(frozen=True)
class Unschedulable:
    """The scheduler finds no node."""

    message: str = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


@dataclass(frozen=True)
class Bind:
    """The scheduler chooses a node; None: one of the patcher's, by the pod's rank."""

    node: str | None = None


@dataclass(frozen=True)
class Waiting:
    """The container does not start yet."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Run:
    """The container runs; `ready`: its readiness probe holds."""

    ready: bool = True
    address: str = ""
    """Of the pod; by default one that is always the same, and no machine's."""


@dataclass(frozen=True)
class Wait:
    """Nothing happens for so long."""

    seconds: float


@dataclass(frozen=True)
class Until:
    """Nothing happens until the test sets the event."""

    event: threading.Event


@dataclass(frozen=True)
class Disrupt:
    """The pod gets the condition DisruptionTarget."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class End:
    """The container ends, and the pod with it."""

    exit_code: int = 0
    message: str = ""
    """The termination message."""
    reason: str = ""
    """Of the container; by default Completed or Error."""
    pod_reason: str = ""
    """`status.reason`, as the kubelet sets it when it ends a pod itself."""


Step = Unschedulable | Bind | Waiting | Run | Wait | Until | Disrupt | End


@dataclass(frozen=True)
class Stop:
    """What the container does when its pod is deleted: it ends so long after SIGTERM, at the end of the grace period at the latest."""

    seconds: float = 0.0
    end: End = End(143)
    lingers: float = 0.0
    """Seconds for which the pod is still there after it has ended; a real kubelet takes its volumes and control groups away meanwhile."""


@dataclass(frozen=True)
class PodLifecycle:
    """Steps in order; after the last one, the pod stays as it is."""

    steps: tuple[Step, ...] = ()
    stop: Stop = field(default_factory=Stop)


Script = Callable[[Pod, int, str, int], PodLifecycle]


def succeed(pod: Pod, attempt: int, stage: str, index: int) -> PodLifecycle:
    """Run, and end well with the termination message of the stage."""
    return PodLifecycle((Bind(), Run(), End(message=success(stage, index=index))))


def succeed_at_once(pod: Pod, attempt: int, stage: str, index: int) -> PodLifecycle:
    """As `succeed` in a single write, without a node: for thousands of pods."""
    return PodLifecycle((End(message=success(stage, index=index)),))


def hang(pod: Pod, attempt: int, stage: str, index: int) -> PodLifecycle:
    """Run, be ready, and never end by itself."""
    return PodLifecycle((Bind(), Run()))


def never_scheduled(pod: Pod, attempt: int, stage: str, index: int) -> PodLifecycle:
    """Wait for a node for ever."""
    return PodLifecycle((Unschedulable(),))


def no_image(pod: Pod, attempt: int, stage: str, index: int) -> PodLifecycle:
    """Wait for an image that cannot be pulled for ever."""
    image = pod["spec"]["containers"][0]["image"]
    why = f'Back-off pulling image "{image}"'
    return PodLifecycle((Bind(), Waiting("ErrImagePull", f"{image}: not found"), Waiting("ImagePullBackOff", why)))


def fail(kind: FailureClass, exit_code: int | None = None, *, saved_step: int | None = None) -> Script:
    """Run, and end as a failure of this class does. `exit_code`: instead of the usual one; `saved_step`: the newest checkpoint that it names."""
    if kind is FailureClass.IMAGE_PULL:
        return no_image
    code = EXIT_CODE_OF_CLASS[kind] if exit_code is None else exit_code

    def script(pod: Pod, attempt: int, stage: str, index: int) -> PodLifecycle:
        message = failure(kind, stage=stage, index=index, saved_step=saved_step)
        return PodLifecycle((Bind(), Run(), *_LAST_STEPS.get(kind, _own_end)(code, message)))

    return script


def _own_end(code: int, message: str) -> tuple[Step, ...]:
    return (End(code, message=message),)


_LAST_STEPS: dict[FailureClass, Callable[[int, str], tuple[Step, ...]]] = {
    FailureClass.OUT_OF_MEMORY_HOST: lambda code, _: (End(code, reason="OOMKilled"),),
    FailureClass.EVICTED: lambda code, _: (Disrupt("EvictionByEvictionAPI"), End(code, pod_reason="Evicted")),
    FailureClass.NODE_LOST: lambda code, _: (Disrupt("DeletionByTaintManager"), End(code, pod_reason="NodeLost")),
    FailureClass.PREEMPTED: lambda code, message: (Disrupt("PreemptionByScheduler"), End(code, message=message)),
}


def by_attempt(*scripts: Script) -> Script:
    """Use one script for each run of the stage; the last one for all that follow."""
    return lambda pod, attempt, stage, index: scripts[min(attempt, len(scripts)) - 1](pod, attempt, stage, index)


def by_index(scripts: Mapping[int, Script], *, otherwise: Script) -> Script:
    """Use a script of its own for some ranks."""
    return lambda pod, attempt, stage, index: scripts.get(index, otherwise)(pod, attempt, stage, index)


def before_the_end(script: Script, *steps: Step) -> Script:
    """Put steps, such as `Wait` or `Until`, before the last one of a script."""

    def longer(pod: Pod, attempt: int, stage: str, index: int) -> PodLifecycle:
        lifecycle = script(pod, attempt, stage, index)
        return replace(lifecycle, steps=(*lifecycle.steps[:-1], *steps, *lifecycle.steps[-1:]))

    return longer


NAMED: dict[str, Script] = {
    "succeed": succeed,
    "succeed_at_once": succeed_at_once,
    "hang": hang,
    "never_scheduled": never_scheduled,
    "no_image": no_image,
}
"""Ready-made scripts that need no arguments; the others are made by `fail`."""
