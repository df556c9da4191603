"""The Secret with the keys of feedback, as servers mount it. The user makes it: the operator has no right on Secrets, and never sees a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.server_config import FeedbackSettings

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment, ModelDeploymentSpec

KEYS = "keys"
"""Key of the Secret, and name of the file."""
VOLUME = "feedback-keys"
_DIRECTORY = "/etc/tuneloop-feedback"


def takes_feedback(spec: ModelDeploymentSpec) -> bool:
    """Whether predictions go out with a token."""
    return spec.feedback is not None and spec.feedback.is_on


def secret_name(deployment: ModelDeployment) -> str:
    """Return the name of the Secret that the user makes."""
    return f"{deployment.metadata['name']}-feedback"


def feedback_settings(deployment: ModelDeployment) -> FeedbackSettings | None:
    """Return what servers are told; None where there is no feedback."""
    return FeedbackSettings(keys_path=f"{_DIRECTORY}/{KEYS}") if takes_feedback(deployment.spec) else None


def feedback_volume(deployment: ModelDeployment) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the volume with the keys and its mount; both empty where there is no feedback.

    A folder, not a `subPath`: the kubelet brings a changed Secret into a folder only, and keys are changed while servers run.
    """
    if not takes_feedback(deployment.spec):
        return {}, {}
    secret = {"secretName": secret_name(deployment), "items": [{"key": KEYS, "path": KEYS}]}
    return {"name": VOLUME, "secret": secret}, {"name": VOLUME, "mountPath": _DIRECTORY, "readOnly": True}
