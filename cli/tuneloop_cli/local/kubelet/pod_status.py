"""The status that a kubelet writes for a pod, one function for each state. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_cli.local.cluster.pod_objects import with_condition
from tuneloop_cli.local.processes.ports import LOOPBACK

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

Status = dict[str, Any]

_LOST = "the session that ran this pod was killed"
_STOPPED = "the session that ran this pod was stopped"


def waiting(pod: Manifest, *, reason: str, message: str, now: str) -> Status:
    """The container waits for its first or next start."""
    return _status(pod, phase=None, ready=False, now=now) | _container(
        pod, {"waiting": {"reason": reason, "message": message}}
    )


def running(pod: Manifest, *, started: str, ready: bool, now: str) -> Status:
    """The container runs."""
    status = _status(pod, phase="Running", ready=ready, now=now)
    status |= {"podIP": LOOPBACK, "podIPs": [{"ip": LOOPBACK}], "startTime": pod["status"].get("startTime", now)}
    return status | _container(pod, {"running": {"startedAt": started}}, ready=ready)


def terminated(pod: Manifest, *, exit_code: int, message: str, started: str, last: bool, now: str) -> Status:
    """The container ended. `last`: it is not started again."""
    state = {
        "terminated": {
            "exitCode": exit_code,
            "reason": "Completed" if exit_code == 0 else "Error",
            "startedAt": started,
            "finishedAt": now,
        }
        | ({"signal": exit_code - 128} if exit_code > 128 else {})
        | ({"message": message} if message else {})
    }
    phase = ("Succeeded" if exit_code == 0 else "Failed") if last else None
    return _status(pod, phase=phase, ready=False, now=now) | _container(pod, state, restarted=not last)


def lost(pod: Manifest, *, now: str) -> Status:
    """The processes are gone and their end was not observed, as when a node is lost."""
    status = _disrupted(pod, reason="DeletionByPodGC", message=_LOST, now=now)
    return status | {"phase": "Failed", "reason": "NodeLost", "message": _LOST}


def stopped(pod: Manifest, *, now: str) -> Status:
    """The session stopped the processes because it ends, as a node that shuts down."""
    status = _disrupted(pod, reason="TerminationByKubelet", message=_STOPPED, now=now)
    return status | {"phase": "Failed", "reason": "Terminated", "message": _STOPPED}


def _disrupted(pod: Manifest, *, reason: str, message: str, now: str) -> Status:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    status = _status(pod, phase=None, ready=False, now=now)
    return status | {"conditions": with_condition(status["conditions"], condition, now=now)}


def _status(pod: Manifest, *, phase: str | None, ready: bool, now: str) -> Status:
    conditions = pod["status"].get("conditions")
    for kind, holds in (("PodScheduled", True), ("ContainersReady", ready), ("Ready", ready)):
        conditions = with_condition(conditions, {"type": kind, "status": "True" if holds else "False"}, now=now)
    old: Status = pod["status"]
    return old | {"conditions": conditions} | ({"phase": phase} if phase else {})


def _container(pod: Manifest, state: dict[str, Any], *, ready: bool = False, restarted: bool = False) -> Status:
    container = pod["spec"]["containers"][0]
    before = (pod["status"].get("containerStatuses") or [{}])[0]
    status = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",  # no image runs here
        "ready": ready,
        "started": "running" in state,
        "restartCount": before.get("restartCount", 0) + restarted,
        "state": state,
    }
    ended = before.get("state", {}) if "terminated" in before.get("state", {}) else before.get("lastState")
    return {"containerStatuses": [status | ({"lastState": ended} if ended else {})]}
