"""What the kubelet says of the containers of a pod: of ours, and of those that others put beside it, such as a mesh's proxy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_operator.controller.observe.common import time_of
from tuneloop_operator.names import CHECK_CONTAINER
from tuneloop_operator.state.observed import LONG_AGO, STARTS, ContainerEnd

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Containers:
    """The statuses of a pod's containers."""

    own: Mapping[str, Any]
    """Of our container; empty before the kubelet has reported it."""
    beside: tuple[Mapping[str, Any], ...] = ()
    """Of containers that run beside ours until they end by themselves, as those of a mesh without native sidecars."""
    init: tuple[Mapping[str, Any], ...] = ()
    """Of init containers. Native sidecars are among them; the kubelet ends those after all other containers."""

    @property
    def state(self) -> Mapping[str, Any]:
        """The state of our container: waiting, running or terminated."""
        return self.own.get("state") or {}

    @property
    def is_outlived(self) -> bool:
        """Whether our container has ended, and one beside it keeps the pod from ending."""
        others = [container.get("state") or {} for container in self.beside]
        return "terminated" in self.state and any("terminated" not in state for state in others)

    @property
    def check(self) -> Mapping[str, Any]:
        """The container of ours that checks the artifact before ours starts; empty if there is none."""
        return next((found for found in self.init if found.get("name") == CHECK_CONTAINER), {})

    @property
    def failed_check(self) -> Mapping[str, Any] | None:
        """How the check of the artifact ended, if it failed last."""
        ended: Mapping[str, Any] | None = (self.check.get("state") or {}).get("terminated") or (
            self.check.get("lastState") or {}
        ).get("terminated")
        return ended if ended and ended["exitCode"] else None

    def waiting(self) -> tuple[str, str]:
        """Return why our container does not run, or not well, in the kubelet's words: reason and message, empty if it runs or has ended.

        A reason of our own container comes first. Then follow init containers, which run before ours, and containers beside ours. If nothing
        is wrong with any of them, our container starts.
        """
        if "terminated" in self.state:
            return "", ""
        for container in (self.own, *self.init, *self.beside):
            reason, message = _waiting(container)
            if reason and reason not in STARTS:
                name = "" if container is self.own else f"container {container.get('name', '')}: "
                return reason, f"{name}{message}".removesuffix(": ")
        return _waiting(self.own)


def containers_of(status: Mapping[str, Any], *, own: str) -> Containers:
    """Return the containers of a pod by its status. own: the name of our container; the API server sorts the statuses by name."""
    statuses = status.get("containerStatuses") or ()
    mine: Mapping[str, Any] = next((found for found in statuses if found.get("name", own) == own), {})
    beside = tuple(found for found in statuses if found is not mine)
    return Containers(own=mine, beside=beside, init=tuple(status.get("initContainerStatuses") or ()))


def unschedulable(status: Mapping[str, Any]) -> str:
    """Return why the scheduler finds no node for a pod; empty if it found one."""
    conditions = status.get("conditions") or ()
    scheduled: Mapping[str, Any] = next((found for found in conditions if found["type"] == "PodScheduled"), {})
    message: str = scheduled.get("message", "") if scheduled.get("status") == "False" else ""
    return message


def not_before(time: datetime | None, created: datetime) -> datetime | None:
    """Return a time of the kubelet, whose clock may be behind the API server's: no container did anything before its pod was created."""
    return max(time, created) if time else None


def container_end(terminated: Mapping[str, Any] | None, *, created: datetime = LONG_AGO) -> ContainerEnd | None:
    """Return how a container ended; None if it has not. created: when its pod was."""
    if terminated is None:
        return None
    return ContainerEnd(
        exit_code=terminated["exitCode"],
        reason=terminated.get("reason", ""),
        message=terminated.get("message", ""),
        finished=not_before(time_of(terminated.get("finishedAt")), created) or LONG_AGO,
    )


def _waiting(container: Mapping[str, Any]) -> tuple[str, str]:
    waiting = (container.get("state") or {}).get("waiting") or {}
    return waiting.get("reason", ""), waiting.get("message", "")
