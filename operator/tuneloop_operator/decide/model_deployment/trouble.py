"""Why the servers of a revision do not come up, in the words of the server, the kubelet, the scheduler or the Deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_operator.status.waiting import why_waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuneloop_operator.state.observed import ContainerEnd, ObservedPod

DAMAGED = "ArtifactDamaged"
_REASON_OF_ARTIFACT: dict[int, str] = {
    ExitCode.MODEL_ACCESS: "ArtifactNotReadable",
    ExitCode.STORAGE: DAMAGED,
}
"""Reason of Ready=False and of ModelAvailable=False by the exit code of a server."""
SERVER_ENDED = frozenset({"ServerEnded", *_REASON_OF_ARTIFACT.values()})
"""Reasons of Ready=False for a server that ended with an error of its own."""
_OUT_OF_MEMORY = "OOMKilled"
_LONGEST_LINE = 2048


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What keeps servers from answering."""

    reason: str = ""
    """Of the condition Ready; empty: the phase says enough."""
    message: str = ""
    artifact: str = ""
    """Reason of ModelAvailable=False, if the server finds fault with the artifact."""


def trouble_of(pods: Iterable[ObservedPod], status: Mapping[str, Any]) -> Trouble:
    """Return the trouble of a revision's pods, or else of its Deployment with this status; an empty one if there is none.

    How a server ended says more than that the kubelet waits before it starts the server again.
    """
    unready = [pod for pod in pods if not pod.ready]
    for pod in unready:
        if pod.ended is not None and pod.ended.exit_code:
            return _of_end(pod.name, pod.ended)
    if (waiting := why_waiting(unready)) is not None:
        reason, message = waiting
        return Trouble(reason=reason, message=message)
    return Trouble(message=_of_deployment(status))


def _of_end(name: str, end: ContainerEnd) -> Trouble:
    if end.reason == _OUT_OF_MEMORY:
        return Trouble(reason=_OUT_OF_MEMORY, message=f"pod {name} used more memory than its limit")
    lines = [line.strip() for line in end.message.splitlines() if line.strip()]
    last_line = f": {lines[-1][:_LONGEST_LINE]}" if lines else ""
    artifact = _REASON_OF_ARTIFACT.get(end.exit_code, "")
    return Trouble(
        reason=artifact or "ServerEnded",
        message=f"pod {name} ended with exit code {end.exit_code}{last_line}",
        artifact=artifact,
    )


def _of_deployment(status: Mapping[str, Any]) -> str:
    """Return why the pods of a Deployment do not come up, by its conditions; empty if it names no reason."""
    for condition in status.get("conditions") or ():
        good = "False" if condition["type"] == "ReplicaFailure" else "True"
        if condition["type"] in {"ReplicaFailure", "Progressing"} and condition["status"] != good:
            return f"{condition.get('reason', condition['type'])}: {condition.get('message', '')}"
    return ""
