"""Why a pod of ours does not run: one rule for the pods of all stages and for model servers. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tuneloop_operator.state.observed import CREATING, STARTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tuneloop_operator.state.observed import ObservedPod

_WORD = re.compile(r"[A-Z][A-Za-z0-9]{0,99}")


def why_waiting(pods: Iterable[ObservedPod]) -> tuple[str, str] | None:
    """Return reason and message, in the cluster's words, of the first pod that something keeps from running; None if there is none.

    The reason is the kubelet's own word, such as ErrImageNeverPull.
    """
    for pod in pods:
        if (found := why_pod_waits(pod)) is not None:
            reason, words = found
            return reason, f"pod {pod.name}: {words}"
    return None


def why_pod_waits(pod: ObservedPod) -> tuple[str, str] | None:
    """Return reason and words of the cluster if something keeps a pod from running; None if nothing does."""
    if pod.waiting and pod.waiting not in STARTS:
        reason = pod.waiting if _WORD.fullmatch(pod.waiting) else "Waiting"
        return reason, f"{pod.waiting} {pod.waiting_message}".strip()
    if pod.waiting == CREATING and pod.mount_failure:
        return "FailedMount", pod.mount_failure
    return ("Unschedulable", pod.unschedulable) if pod.unschedulable else None
