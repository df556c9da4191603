"""The status of a pod after a step of its lifecycle, as the patch that the kubelet or the scheduler would send. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pod_scripts import Disrupt, End, Run, Unschedulable, Waiting

if TYPE_CHECKING:
    from datetime import datetime

    from pod_scripts import Pod

Patch = dict[str, Any]
IMAGE_DIGEST = "sha256:" + "c" * 64
"""What every image turns out to be."""


def patch_after(pod: Pod, step: Unschedulable | Waiting | Run | Disrupt | End, *, now: datetime) -> Patch:
    """Return a strategic merge patch of the pod's status; it names the pod's uid, so that it fits no other one."""
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    match step:
        case Unschedulable(message=message):
            status = {"conditions": [_condition("PodScheduled", False, at=at, reason="Unschedulable", message=message)]}
        case Waiting(reason=reason, message=message):
            waiting = {"waiting": {"reason": reason, "message": message}}
            status = _shown(pod, "Pending", waiting, ready=False, at=at)
        case Run(ready=ready, address=address):
            status = _shown(pod, "Running", {"running": {"startedAt": at}}, ready=ready, at=at)
            status |= {"startTime": at, "hostIP": "127.0.0.1", "podIP": address or _address(pod)}
        case Disrupt(reason=reason, message=message):
            status = {"conditions": [_condition("DisruptionTarget", True, at=at, reason=reason, message=message)]}
        case End():
            status = _ended(pod, step, at=at)
    return {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}


def is_terminal(pod: Pod) -> bool:
    """Whether nothing of the pod runs any more."""
    return pod["status"].get("phase") in {"Succeeded", "Failed"}


def _ended(pod: Pod, step: End, *, at: str) -> Patch:
    terminated = {
        "exitCode": step.exit_code,
        "reason": step.reason or ("Error" if step.exit_code else "Completed"),
        "message": step.message,
        "startedAt": pod["status"].get("startTime", at),
        "finishedAt": at,
    }
    phase = "Failed" if step.exit_code else "Succeeded"
    status = _shown(pod, phase, {"terminated": terminated}, ready=False, at=at)
    return status | ({"reason": step.pod_reason} if step.pod_reason else {})


def _shown(pod: Pod, phase: str, state: Patch, *, ready: bool, at: str) -> Patch:
    reason = "PodCompleted" if phase == "Succeeded" else ""
    return {
        "phase": phase,
        "conditions": [
            _condition("Initialized", True, at=at),
            _condition("ContainersReady", ready, at=at, reason=reason),
            _condition("Ready", ready, at=at, reason=reason),
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "" if "waiting" in state else _image_id(container["image"]),
                "ready": ready,
                "started": phase == "Running",
                "restartCount": 0,
                "state": state,
            }
            for container in pod["spec"]["containers"]
        ],
    }


def _condition(kind: str, holds: bool, *, at: str, reason: str = "", message: str = "") -> Patch:
    texts = {"reason": reason, "message": message}
    found = {"type": kind, "status": str(holds), "lastTransitionTime": at}
    return found | {name: value for name, value in texts.items() if value}


def _image_id(image: str) -> str:
    if "@" in image:
        return image
    repository, _, tag = image.rpartition(":")
    return f"{repository if repository and '/' not in tag else image}@{IMAGE_DIGEST}"


def _address(pod: Pod) -> str:
    """Return an address that the same pod always has."""
    number = int(pod["metadata"]["uid"][:6], 16)
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
