"""How servers get the keys of feedback."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_api.contract.server_config import FeedbackStore
from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_operator.desired.model_deployment.serving import ArtifactReference, server_config, server_deployment
from tuneloop_operator.settings.operator import OperatorSettings

ARTIFACT = ArtifactReference(uri="pvc://models/artifact", digest=None)


def deployment(**spec: Any) -> ModelDeployment:
    metadata = {"name": "reviews", "namespace": "team-a", "uid": "1"}
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
    return ModelDeployment.from_wire(manifest | {"spec": {"model": {"uri": "pvc://models/artifact"}} | spec})


def pod_of(owner: ModelDeployment) -> dict[str, Any]:
    config = server_config(owner, ARTIFACT)
    made = server_deployment(owner, config, settings=OperatorSettings(default_claim="models"))
    found: dict[str, Any] = made["spec"]["template"]["spec"]
    return found


def test_the_secret_of_the_deployment_is_mounted_where_the_server_looks() -> None:
    owner = deployment(feedback={})
    pod = pod_of(owner)
    (volume,) = [found for found in pod["volumes"] if "secret" in found]
    assert volume["secret"] == {"secretName": "reviews-feedback", "items": [{"key": "keys", "path": "keys"}]}
    (mount,) = [found for found in pod["containers"][0]["volumeMounts"] if found["name"] == volume["name"]]
    assert mount == {"name": volume["name"], "mountPath": "/etc/tuneloop-feedback", "readOnly": True}
    settings = server_config(owner, ARTIFACT).feedback
    assert settings is not None
    assert settings.keys_path == "/etc/tuneloop-feedback/keys"


@pytest.mark.parametrize("spec", [{}, {"feedback": {"enabled": False}}])
def test_without_feedback_a_pod_and_its_revision_stay_as_they_were(spec: dict[str, Any]) -> None:
    owner = deployment(**spec)
    assert not [found for found in pod_of(owner)["volumes"] if "secret" in found]
    assert server_config(owner, ARTIFACT).revision == server_config(deployment(), ARTIFACT).revision


def test_another_label_delay_is_no_other_revision() -> None:
    with_a_day, with_an_hour = (deployment(feedback={"labelDelay": delay}) for delay in ("1d", "1h"))
    assert server_config(with_a_day, ARTIFACT).revision == server_config(with_an_hour, ARTIFACT).revision
    assert server_config(with_a_day, ARTIFACT).revision != server_config(deployment(), ARTIFACT).revision


KEPT = {"storeInputs": "sample", "storage": {"claim": "labels", "subPath": "team-a"}}


def test_a_claim_for_rows_is_mounted_so_that_the_server_may_write_there() -> None:
    owner = deployment(feedback=KEPT | {"sampleRate": 0.2, "retention": "30d", "redact": False})
    pod = pod_of(owner)
    assert {"name": "feedback-rows", "persistentVolumeClaim": {"claimName": "labels"}} in pod["volumes"]
    mounts = pod["containers"][0]["volumeMounts"]
    assert {"name": "feedback-rows", "mountPath": "/tuneloop/feedback"} in mounts
    settings = server_config(owner, ARTIFACT).feedback
    assert settings is not None
    assert settings.store == FeedbackStore(
        folder="/tuneloop/feedback/team-a/feedback/reviews",
        text_rate=0.2,
        redact=False,
        retention_seconds=30 * 86_400,
    )


def test_the_artifact_stays_read_only_where_rows_are_on_the_same_claim() -> None:
    pod = pod_of(deployment(feedback={"storeInputs": "all", "storage": {"claim": "models"}}))
    claims = [volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    (claim,) = claims  # two volumes of one claim may keep a pod from starting
    assert claim["persistentVolumeClaim"] == {"claimName": "models"}
    mounts = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == claim["name"]]
    assert mounts == [
        {"name": claim["name"], "mountPath": "/tuneloop/claims/models", "readOnly": True},
        {"name": claim["name"], "mountPath": "/tuneloop/feedback"},
    ]


@pytest.mark.parametrize(
    ("options", "rate"),
    [({"storeInputs": "sample"}, 0.05), ({"storeInputs": "all"}, 1.0)],
)
def test_the_defaults_keep_masked_texts_for_90_days(options: dict[str, str], rate: float) -> None:
    settings = server_config(deployment(feedback=options | {"storage": {"claim": "labels"}}), ARTIFACT).feedback
    assert settings is not None
    assert settings.store == FeedbackStore(folder="/tuneloop/feedback/feedback/reviews", text_rate=rate)


@pytest.mark.parametrize("options", [{}, {"storeInputs": "none"}, KEPT | {"enabled": False}])
def test_what_keeps_no_rows_mounts_no_claim_for_them(options: dict[str, Any]) -> None:
    assert "feedback-rows" not in [volume["name"] for volume in pod_of(deployment(feedback=options))["volumes"]]
