from __future__ import annotations

import copy
from datetime import UTC, datetime

import pytest
from local_manifests import config_map, fine_tune_job, job

from tuneloop_cli.local.cluster.fields import HONOURED, INERT, check_fields
from tuneloop_operator.errors import Refused


def changed(manifest, path, value):
    """Return the manifest with a value at a dotted path; numbers are indexes."""
    result = copy.deepcopy(manifest)
    *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    inner = result
    for part in above:
        inner = inner[part] if isinstance(part, int) else inner.setdefault(part, {})
    inner[last] = value
    return result


REFUSED = [
    ("spec.template.spec.initContainers", [{"name": "first"}], "spec.template.spec.initContainers[].name"),
    ("spec.template.spec.hostNetwork", True, "spec.template.spec.hostNetwork"),
    ("spec.template.spec.nodeSelector", {"a": "b"}, "spec.template.spec.nodeSelector.a"),
    ("spec.template.spec.affinity", {"nodeAffinity": {"a": "b"}}, "spec.template.spec.affinity.nodeAffinity.a"),
    ("spec.template.spec.priorityClassName", "low", "spec.template.spec.priorityClassName"),
    ("spec.template.spec.containers.0.envFrom", [{"secretRef": {"name": "s"}}], "envFrom[].secretRef.name"),
    ("spec.template.spec.containers.0.workingDir", "/", "workingDir"),
    ("spec.template.spec.containers.0.lifecycle", {"preStop": {"sleep": {"seconds": 5}}}, "lifecycle"),
    ("spec.template.spec.containers.0.volumeMounts", [{"name": "a", "mountPath": "/a", "subPath": "b"}], "subPath"),
    ("spec.template.spec.volumes", [{"name": "a", "secret": {"optional": True}}], "volumes[].secret.optional"),
    ("spec.template.spec.restartPolicy", "OnFailure", "'OnFailure'"),
    ("spec.backoffLimit", 3, "spec.backoffLimit is 3"),
    ("spec.podFailurePolicy", {"rules": [{"action": "Ignore"}]}, "spec.podFailurePolicy"),
    ("spec.podReplacementPolicy", "Failed", "spec.podReplacementPolicy is 'Failed'"),
    ("spec.activeDeadlineSeconds", 5, "spec.activeDeadlineSeconds"),
    ("spec.ttlSecondsAfterFinished", 5, "spec.ttlSecondsAfterFinished"),
    ("spec.template.spec.containers", [{"name": "a"}, {"name": "b"}], "2 containers"),
    ("spec.template.spec.containers", None, "spec.template.spec.containers"),
]


@pytest.mark.parametrize(("path", "value", "says"), REFUSED, ids=[path for path, _, _ in REFUSED])
def test_a_field_that_would_have_no_effect_is_refused_by_its_path(path, value, says):
    with pytest.raises(Refused) as refused:
        check_fields(changed(job("one", "true"), path, value))
    assert says in str(refused.value)
    assert str(refused.value).startswith("Job one: ")


INERT_HERE = [
    ("spec.template.spec.securityContext", {"runAsUser": 1000}),
    ("spec.template.spec.tolerations", [{"key": "a", "operator": "Exists"}]),
    ("spec.template.spec.containers.0.securityContext", {"capabilities": {"drop": ["ALL"]}}),
    ("spec.template.spec.containers.0.resources", {"limits": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"}}),
    ("spec.template.spec.subdomain", "gang"),
]


@pytest.mark.parametrize(("path", "value"), INERT_HERE, ids=[path for path, _ in INERT_HERE])
def test_a_field_that_is_known_to_have_no_effect_here_is_taken(path, value):
    check_fields(changed(job("one", "true"), path, value))


def test_another_kind_is_refused_with_those_that_are_known():
    with pytest.raises(Refused, match=r"kind 'Secret' is not known.*FineTuneJob.*Job"):
        check_fields(config_map() | {"kind": "Secret"})


def test_binary_data_of_a_config_map_is_refused():
    with pytest.raises(Refused, match="binaryData"):
        check_fields(config_map(binaryData={"a": "AA=="}))


def test_every_field_of_the_table_has_a_reason():
    reasons = [why for table in (HONOURED, INERT) for kinds in table.values() for why in kinds.values()]
    assert all(reasons)


def test_no_field_is_both_honoured_and_without_effect():
    for kind, fields in HONOURED.items():
        assert not fields.keys() & INERT.get(kind, {}).keys()


def test_every_manifest_of_the_operator_is_taken():
    from tuneloop_api.contract.router import RouterSplit
    from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment, ModelDeploymentSpec
    from tuneloop_operator.desired.common import storage
    from tuneloop_operator.desired.fine_tune_job.config_map import run_config_map
    from tuneloop_operator.desired.fine_tune_job.network_policy import job_policy
    from tuneloop_operator.desired.fine_tune_job.service import rendezvous_service
    from tuneloop_operator.desired.fine_tune_job.stage_job import stage_job
    from tuneloop_operator.desired.fine_tune_job.train_job import train_job
    from tuneloop_operator.desired.model_deployment import serving
    from tuneloop_operator.desired.model_deployment.network_policy import server_policy
    from tuneloop_operator.desired.model_deployment.router import router_config_map, router_deployment
    from tuneloop_operator.desired.model_deployment.service import revision_service, routed_service, stable_service
    from tuneloop_operator.settings.operator import OperatorSettings

    settings = OperatorSettings(default_claim="default")
    identity = {"uid": "6d0a2b0e-5f5b-4b3e-9a30-5d1f3a6f2c11", "creationTimestamp": str(datetime.now(UTC))}
    manifest = fine_tune_job(resources={"nodes": 2, "gpusPerNode": 8, "cpu": "4", "memory": "8Gi"})
    manifest["metadata"] |= identity
    tuned = FineTuneJob.from_wire(manifest)
    store = storage.storage_of(tuned.spec, default_claim="default")
    served = ModelDeployment.from_wire(
        {
            "apiVersion": "tuneloop.dev/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": "reviews", "namespace": "default"} | identity,
            "spec": {"model": {"uri": "pvc://demo/artifact"}, "resources": {"cpu": "1"}, "feedback": {}},
        }
    )
    with_key = served.model_copy(
        update={
            "spec": ModelDeploymentSpec.from_wire(
                served.spec.to_wire() | {"access": {"apiKeySecretRef": {"name": "a", "key": "b"}}}
            )
        }
    )
    config = serving.server_config(served, serving.ArtifactReference(uri="pvc://demo/artifact", digest=None))
    split = RouterSplit(generation=1, deployment="reviews", revisions=[])
    made = [
        *(stage_job(tuned, stage=stage, storage=store, settings=settings) for stage in ("prepare", "export")),
        train_job(tuned, attempt=1, storage=store, settings=settings),
        run_config_map(tuned, stage="train", attempt=1, storage=store, settings=settings),
        rendezvous_service(tuned),
        job_policy(tuned, settings=settings),
        server_policy(served, settings=settings),
        serving.server_config_map(served, config),
        serving.server_deployment(served, config, settings=settings),
        revision_service(served, revision="abc"),
        stable_service(served, revision="abc"),
        routed_service(served, stable="abc"),
        router_config_map(served, split, settings=settings),
        router_deployment(served, image="none", replicas=1, settings=settings),
        router_deployment(with_key, image="none", replicas=1, settings=settings),
    ]
    for manifest in made:
        check_fields(manifest)
