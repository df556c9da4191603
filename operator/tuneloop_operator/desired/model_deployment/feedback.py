"""The Secret with the keys of feedback, and the claim or the bucket for its rows, as servers get them.

The user makes the Secret: the operator has no right on Secrets, and never sees a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.feedback_row import deployment_folder
from tuneloop_api.contract.server_config import UPLOAD_SECONDS, FeedbackSettings, FeedbackStore
from tuneloop_api.v1alpha1.model_deployment.feedback import DEFAULT_RETENTION, DEFAULT_SAMPLE_RATE
from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.uris import ClaimPath, ObjectPath, object_path

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment, ModelDeploymentSpec

KEYS = "keys"
"""Key of the Secret, and name of the file."""
VOLUME = "feedback-keys"
ROWS_VOLUME = "feedback-rows"
_DIRECTORY = "/etc/tuneloop-feedback"
_ROWS_DIRECTORY = "/tuneloop/feedback"
"""Where the claim for rows is mounted: beside the claims that are only read, since it may be one of them."""


def takes_feedback(spec: ModelDeploymentSpec) -> bool:
    """Whether predictions go out with a token."""
    return spec.feedback is not None and spec.feedback.is_on


def secret_name(deployment: ModelDeployment) -> str:
    """Return the name of the Secret that the user makes."""
    return f"{deployment.metadata['name']}-feedback"


def feedback_settings(deployment: ModelDeployment) -> FeedbackSettings | None:
    """Return the settings of servers; None where there is no feedback."""
    if not takes_feedback(deployment.spec):
        return None
    return FeedbackSettings(keys_path=f"{_DIRECTORY}/{KEYS}", store=_store(deployment))


def rows_place(deployment: ModelDeployment) -> ClaimPath | ObjectPath | None:
    """Return where the rows of a deployment are kept; None where none are."""
    options, name = deployment.spec.feedback, deployment.metadata["name"]
    if options is None or not options.keeps_rows or options.storage is None:
        return None
    storage = options.storage
    if storage.claim is not None:
        return ClaimPath(storage.claim, deployment_folder(name, sub_path=storage.sub_path))
    place = object_path(storage.uri or "")
    return place and place._replace(path=deployment_folder(name, sub_path=place.path))


def rows_secrets(deployment: ModelDeployment) -> dict[str, str]:
    """Return the Secret that opens the bucket for the rows, by its scheme; empty where there is none."""
    place, options = rows_place(deployment), deployment.spec.feedback
    if not isinstance(place, ObjectPath) or options is None or options.storage is None:
        return {}
    secret = options.storage.secret_ref
    return {} if secret is None else {place.scheme: secret.name}


def upload_seconds(deployment: ModelDeployment) -> int:
    """Return how long servers that end may take to bring their last rows to a bucket; 0 where they bring none."""
    return UPLOAD_SECONDS if isinstance(rows_place(deployment), ObjectPath) else 0


def _store(deployment: ModelDeployment) -> FeedbackStore | None:
    place, options = rows_place(deployment), deployment.spec.feedback
    if place is None or options is None:
        return None
    is_sample = options.store_inputs == "sample"
    return FeedbackStore(
        folder=f"{_ROWS_DIRECTORY}/{place.path}" if isinstance(place, ClaimPath) else None,
        bucket=place.uri if isinstance(place, ObjectPath) else None,
        text_rate=(options.sample_rate or DEFAULT_SAMPLE_RATE) if is_sample else 1.0,
        redact=options.redact is not False,
        retention_seconds=seconds(options.retention or DEFAULT_RETENTION),
    )


def with_rows_claim(
    deployment: ModelDeployment, volumes: list[dict[str, Any]], mounts: list[Any]
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return the volumes and mounts of claims that are only read, and that of the claim for rows.

    A claim has one volume in a pod. Where the artifact is on the same one, the volume may be written, and the mount of the artifact may not.
    """
    place = rows_place(deployment)
    if not isinstance(place, ClaimPath):
        return volumes, mounts
    found = next((volume for volume in volumes if _claim(volume) == place.claim), None)
    name = found["name"] if found else ROWS_VOLUME
    own = {"name": name, "persistentVolumeClaim": {"claimName": place.claim}}
    others = [volume for volume in volumes if volume is not found]
    return [*others, own], [*mounts, {"name": name, "mountPath": _ROWS_DIRECTORY}]


def _claim(volume: dict[str, Any]) -> str:
    claim: str = volume["persistentVolumeClaim"]["claimName"]
    return claim


def feedback_volume(deployment: ModelDeployment) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the volume with the keys and its mount; both empty where there is no feedback.

    A folder, not a `subPath`: the kubelet brings a changed Secret into a folder only, and keys are changed while servers run.
    """
    if not takes_feedback(deployment.spec):
        return {}, {}
    secret = {"secretName": secret_name(deployment), "items": [{"key": KEYS, "path": KEYS}]}
    return {"name": VOLUME, "secret": secret}, {"name": VOLUME, "mountPath": _DIRECTORY, "readOnly": True}
