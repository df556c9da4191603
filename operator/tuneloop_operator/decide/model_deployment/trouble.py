"""Why the servers of a revision do not come up, in the words of the server, the kubelet, the scheduler or the Deployment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.redaction import last_lines
from tuneloop_api.contract.server_end import ServerEnd
from tuneloop_api.wire.serving_failure import OF_ARTIFACT, ServingFailureClass
from tuneloop_operator.status.waiting import why_pod_waits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuneloop_operator.state.observed import ContainerEnd, ObservedPod

SERVER_ENDED = frozenset({*OF_ARTIFACT, ServingFailureClass.SERVER_ENDED})
"""Reasons of Ready=False for a server that ended with an error of its own, and would again."""
_CLASS_OF_EXIT_CODE: dict[int, ServingFailureClass] = {
    ExitCode.MODEL_ACCESS: ServingFailureClass.ARTIFACT_NOT_READABLE,
    ExitCode.OUT_OF_MEMORY_HOST: ServingFailureClass.OUT_OF_MEMORY,
    ExitCode.STORAGE: ServingFailureClass.DIGEST_MISMATCH,
}
"""Of servers that leave no message, as those of release 0.1.0: 66 stands for an artifact that is not there and for a model that cannot be loaded."""
_NO_IMAGE = frozenset(
    {
        "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable", "ImageInspectError",
        "SignatureValidationFailed",
    }
)  # fmt: skip
"""The kubelet's words for an image. Between the first two it goes to and fro."""
_NO_MEMORY = re.compile(r"OutOfMemoryError|MemoryError|out of memory|can(?:'t|not) allocate memory|bad_alloc", re.IGNORECASE)  # fmt: skip
"""Words of other servers at the end of their log."""
_REFUSED = "PodsRefused"
"""Reason for pods that the API server does not take: a quota, a LimitRange, Pod Security or a webhook. That of a job's condition PodsReady, too."""
_LONGEST_LINE = 2048


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What keeps servers from answering."""

    reason: str = ""
    """Of the condition Ready, and class of the failure; empty: the phase says enough."""
    message: str = ""
    """Of the condition Ready: which pod, how it ended, and why."""
    text: str = ""
    """The same without the pod."""
    hint: str = ""
    """What the server advises."""
    pod: ObservedPod | None = None
    """The pod that shows it."""
    exit_code: int | None = None
    lines: tuple[str, ...] = ()
    """The last lines of the server."""

    @property
    def artifact(self) -> str:
        """Reason of ModelAvailable=False, if the server finds fault with the artifact; else empty."""
        return self.reason if self.reason in OF_ARTIFACT else ""


def trouble_of(pods: Iterable[ObservedPod], status: Mapping[str, Any]) -> Trouble:
    """Return the trouble of a revision's pods, or else of its Deployment with this status; an empty one if there is none.

    How a server ended says more than that the kubelet waits before it starts the server again.
    """
    unready = [pod for pod in pods if not pod.ready]
    for pod in unready:
        if pod.ended is not None and pod.ended.exit_code:
            return _of_end(pod, pod.ended)
    for pod in unready:
        if (waiting := why_pod_waits(pod)) is not None:
            return _of_waiting(pod, *waiting)
    return _of_deployment(status)


def _of_end(pod: ObservedPod, end: ContainerEnd) -> Trouble:
    words = _read(end.message)
    kind = _class_of_end(end, words)
    lines = end.message.splitlines() if words is None else words.last_lines or ()
    if end.reason == "OOMKilled":
        message, text = f"pod {pod.name} used more memory than its limit", "the server used more memory than its limit"
    else:
        text = words.message if words else next((line.strip() for line in reversed(lines) if line.strip()), "")
        text = text[:_LONGEST_LINE]
        message = f"pod {pod.name} ended with exit code {end.exit_code}{f': {text}' if text else ''}"
    return Trouble(
        reason=kind.value,
        message=message,
        text=text or f"the server ended with exit code {end.exit_code}",
        hint=words.hint or "" if words else "",
        pod=pod,
        exit_code=end.exit_code,
        # of the pod's secrets the operator knows no value: here only what looks like one is hidden, the server itself hides the others
        lines=tuple(last_lines(lines, environment={})),
    )


def _class_of_end(end: ContainerEnd, words: ServerEnd | None) -> ServingFailureClass:
    if end.reason == "OOMKilled":
        return ServingFailureClass.OUT_OF_MEMORY
    if words is not None:
        return words.failure_class
    if _NO_MEMORY.search(end.message):
        return ServingFailureClass.OUT_OF_MEMORY
    return _CLASS_OF_EXIT_CODE.get(end.exit_code, ServingFailureClass.SERVER_ENDED)


def _of_waiting(pod: ObservedPod, reason: str, words: str) -> Trouble:
    kind = ServingFailureClass.IMAGE_PULL.value if reason in _NO_IMAGE else reason
    return Trouble(reason=kind, message=f"pod {pod.name}: {words}", text=words, pod=pod)


def _of_deployment(status: Mapping[str, Any]) -> Trouble:
    """Return why the pods of a Deployment do not come up, by its conditions; an empty trouble if it names no reason."""
    for condition in status.get("conditions") or ():
        is_refusal = condition["type"] == "ReplicaFailure"
        good = "False" if is_refusal else "True"
        if condition["type"] in {"ReplicaFailure", "Progressing"} and condition["status"] != good:
            words = f"{condition.get('reason', condition['type'])}: {condition.get('message', '')}"
            return Trouble(reason=_REFUSED, message=words, text=words) if is_refusal else Trouble(message=words)
    return Trouble()


def _read(text: str) -> ServerEnd | None:
    """Return the message that a server wrote; None if the text is something else, such as the end of a log."""
    if not text.startswith("{"):
        return None
    try:
        return ServerEnd.model_validate_json(text)
    except ValidationError:
        return None
