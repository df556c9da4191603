"""How servers get the keys of feedback."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_api.contract.server_config import UPLOAD_SECONDS, FeedbackStore
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


IN_BUCKET = {"storeInputs": "all", "storage": {"uri": "s3://labels/team-a/", "secretRef": {"name": "labels-bucket"}}}


def test_rows_for_a_bucket_need_no_claim_and_the_server_gets_its_credentials() -> None:
    owner = deployment(feedback=IN_BUCKET, env=[{"name": "AWS_REGION", "value": "eu-central-1"}])
    settings = server_config(owner, ARTIFACT).feedback
    assert settings is not None
    assert settings.store == FeedbackStore(bucket="s3://labels/team-a/feedback/reviews")
    pod = pod_of(owner)
    assert [found["name"] for found in pod["volumes"] if "persistentVolumeClaim" in found] == ["claim-0"]
    variables = {found["name"]: found for found in pod["containers"][0]["env"]}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert variables[name]["valueFrom"] == {"secretKeyRef": {"name": "labels-bucket", "key": name}}
    assert variables["AWS_ENDPOINT_URL"]["valueFrom"]["secretKeyRef"]["optional"] is True
    assert variables["AWS_REGION"] == {"name": "AWS_REGION", "value": "eu-central-1"}


def test_a_server_that_sends_rows_to_a_bucket_has_longer_to_end() -> None:
    on_a_claim, in_a_bucket = (pod_of(deployment(feedback=found)) for found in (KEPT, IN_BUCKET))
    more = in_a_bucket["terminationGracePeriodSeconds"] - on_a_claim["terminationGracePeriodSeconds"]
    assert more == UPLOAD_SECONDS


def test_with_a_workload_identity_a_server_gets_no_secret() -> None:
    pod = pod_of(deployment(feedback={"storeInputs": "all", "storage": {"uri": "gs://labels/team-a"}}))
    assert not [found for found in pod["containers"][0]["env"] if "secretKeyRef" in found.get("valueFrom", {})]


def test_another_secret_is_another_revision() -> None:
    other = IN_BUCKET | {"storage": IN_BUCKET["storage"] | {"secretRef": {"name": "another"}}}  # type: ignore[operator]
    first, second = (server_config(deployment(feedback=found), ARTIFACT).revision for found in (IN_BUCKET, other))
    assert first != second


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
