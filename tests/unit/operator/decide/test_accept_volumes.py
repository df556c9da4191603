"""Volumes and amounts that the CRD takes but no pod can have are refused, with field, value, what is allowed, and an example."""

from __future__ import annotations

from typing import Any

import pytest
from desired_pods import all_pods, container_of
from refusal_sentences import refusals

from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.settings.trusted_ca import TrustedCa

TRUSTING = OperatorSettings(default_claim="models", trusted_ca=TrustedCa(secret="ca"))
SOURCE: dict[str, Any] = {"secret": {"secretName": "a"}}
OURS_AT = ["/etc/tuneloop", "/etc/tuneloop-ca", "/tuneloop", "/tmp", "/home/tuneloop", "/dev", "/proc", "/sys", "/var/run/secrets/tuneloop", "/var/run/secrets/kubernetes.io", "/run/secrets/tuneloop", "/run/secrets/kubernetes.io", "/usr", "/opt/venv", "/bin", "/sbin", "/lib", "/lib64"]  # fmt: skip
ABOVE = ["/etc", "/home", "/var", "/var/run", "/var/run/secrets", "/run", "/run/secrets", "/opt"]


def our_mounts() -> list[dict[str, Any]]:
    """Return the mounts of all pods of an object without volumes of its own."""
    return [mount for pod in all_pods(TRUSTING).values() for mount in container_of(pod)["volumeMounts"]]


def mounted(path: str, **fields: Any) -> dict[str, Any]:
    return {"name": "a", "mountPath": path} | (fields or SOURCE)


@pytest.mark.parametrize(
    "path", [*OURS_AT, *(f"{path}/x" for path in OURS_AT), "/dev/shm", "/tuneloop/claims/models", *sorted(ABOVE)]
)
def test_no_volume_meets_a_path_of_ours_or_of_the_system(path: str) -> None:
    (sentence,) = refusals(volumes=[mounted(path)])
    assert sentence.startswith(
        f"spec.volumes[0].mountPath: found '{path}'; any path is allowed that is neither in nor above /"
    )
    assert sentence.endswith("; for example /etc/trackers")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/trackers",
        "/tuneloop-data",
        "/tmpfs",
        "/home/other",
        "/var/lib/a",
        "/opt/a",
        "/data",
        "/var/run/secrets/eks.amazonaws.com",
    ],
)
def test_other_paths_are_free(path: str) -> None:
    assert refusals(volumes=[mounted(path)]) == []


def test_the_paths_of_all_our_mounts_are_refused() -> None:
    """A mount that the operator adds needs its path in the list."""
    for mount in our_mounts():
        assert len(refusals(volumes=[mounted(mount["mountPath"])])) == 1, mount
        assert len(refusals(volumes=[mounted("/a") | {"name": mount["name"]}])) == 1, mount


@pytest.mark.parametrize("name", ["config", "tmp", "home", "token", "shm", "claim-0", "claim-x", "tuneloop-ca"])
def test_no_volume_has_a_name_of_ours(name: str) -> None:
    (sentence,) = refusals(volumes=[mounted("/a") | {"name": name}])
    assert sentence.startswith(
        f"spec.volumes[0].name: found '{name}'; any name but config, home, shm, tmp, token, claim-…, tuneloop-… is allowed"
    )


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"name": "a", "mountPath": "/b"}, ".name: found 'a'; each volume has a name of its own; volumes[0] has this name, too"),
        ({"name": "b", "mountPath": "/a"}, ".mountPath: found '/a'; no volume lies in another; volumes[0] is mounted at /a"),
        ({"name": "b", "mountPath": "/a/b"}, ".mountPath: found '/a/b'; no volume lies in another; volumes[0] is mounted at /a"),
    ],
)  # fmt: skip
def test_a_volume_that_meets_an_earlier_one_is_refused(second: dict[str, Any], says: str) -> None:
    (sentence,) = refusals(volumes=[mounted("/a"), second | SOURCE])
    assert sentence.startswith(f"spec.volumes[1]{says}")
    assert refusals(volumes=[mounted("/a"), {"name": "b", "mountPath": "/ab"} | SOURCE]) == []


WRONG_SOURCES: list[tuple[dict[str, Any], str, str]] = [
    ({"secret": {}}, "secret.secretName: found nothing", "the field is required; for example secret: {secretName: trackers}"),
    ({"secret": {"name": "a", "secretName": "a"}}, "secret.name: found 'a'", "Kubernetes knows no such field here"),
    ({"secret": {"secretName": "kube-system/a"}}, "secret.secretName: found 'kube-system/a'", "must be the name of an object"),
    ({"secret": {"secretName": "a", "items": [{"key": "k", "path": "../p"}]}}, "secret.items[0].path: found '../p'", "must be a path inside"),
    ({"secret": {"secretName": "a", "defaultMode": 512}}, "secret.defaultMode: found 512", "less than or equal to 511"),
    ({"configMap": {"secretName": "a"}}, "configMap.name: found nothing", "the field is required"),
    ({"persistentVolumeClaim": {"claimName": "a", "readOnly": True}}, "persistentVolumeClaim.readOnly: found True", "no such field here"),
    ({"projected": {}}, "projected.sources: found nothing", "the field is required"),
    ({"projected": {"sources": []}}, "projected.sources: found []", "at least 1 item"),
    ({"projected": {"sources": [{}]}}, "projected.sources[0]: found {}", "a source is one secret or one configMap"),
    ({"projected": {"sources": [{"secret": {"name": "a"}, "configMap": {"name": "a"}}]}}, "projected.sources[0]: found {", "a source is one"),
    ({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}, "projected.sources[0]: found {", "would give the pods a token"),
    ({"projected": {"sources": [{"clusterTrustBundle": {"path": "t"}}]}}, "projected.sources[0].clusterTrustBundle: found {", "no such field here"),
    ({"csi": {"readOnly": True}}, "csi.driver: found nothing", "the field is required"),
    ({"csi": {"driver": "a", "volumeHandle": "b"}}, "csi.volumeHandle: found 'b'", "no such field here"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "where", "says"), WRONG_SOURCES, ids=lambda value: str(value)[:50])
def test_a_mistake_in_the_source_of_a_volume_is_named(source: dict[str, Any], where: str, says: str) -> None:
    sentence = next(found for found in refusals(volumes=[mounted("/a", **source)]) if where in found)
    assert sentence.startswith(f"spec.volumes[0].{where}")
    assert says in sentence
    assert "; for example " in sentence


def test_whole_sources_are_taken() -> None:
    items = [{"key": ".a", "path": "b/c", "mode": 0o400}]
    files = {"name": "a", "items": items, "optional": True}
    sources: list[dict[str, Any]] = [
        {"secret": {"secretName": "a", "items": items, "optional": False, "defaultMode": 0o777}},
        {"configMap": files | {"defaultMode": 0}},
        {"persistentVolumeClaim": {"claimName": "a"}, "readOnly": False},
        {"projected": {"sources": [{"secret": files}, {"configMap": files}], "defaultMode": 0o440}},
        {"csi": {"driver": "a.b", "readOnly": False, "fsType": "ext4", "volumeAttributes": {"a": "b"}, "nodePublishSecretRef": {"name": "a"}}},
    ]  # fmt: skip
    assert refusals(volumes=[mounted(f"/v{n}", **source) | {"name": f"v{n}"} for n, source in enumerate(sources)]) == []


WRONG_RESOURCES: list[tuple[dict[str, Any], str]] = [
    ({"extended": {"rdma": 1}}, "extended: found 'rdma'; must be an extended resource: DOMAIN/NAME; for example rdma/hca"),
    ({"extended": {"a b/c": 1}}, "extended: found 'a b/c'; must be an extended resource"),
    ({"extended": {f"{'a' * 254}/b": 1}}, "extended: found 'aaa"),
    ({"extended": {"kubernetes.io/batteries": 1}}, "extended: found 'kubernetes.io/batteries'; resources of kubernetes.io are no devices"),
    ({"extended": {"attachable.kubernetes.io/a": 1}}, "extended: found 'attachable.kubernetes.io/a'; resources of kubernetes.io are no"),
    ({"extended": {"requests.a.b/c": 1}}, "extended: found 'requests.a.b/c'; resources of kubernetes.io are no devices"),
    ({"extended": {"nvidia.com/gpu": 1}}, "extended: found 'nvidia.com/gpu'; nvidia.com/gpu stands for the GPUs"),
    ({"gpuResource": "amd.com/gpu", "extended": {"amd.com/gpu": 1}}, "extended: found 'amd.com/gpu'; amd.com/gpu stands for the GPUs"),
    ({"extended": {"a/b": 0}}, "extended.a/b: found '0'; devices are counted in whole numbers, at least 1; for example rdma/hca: 1"),
    ({"extended": {"a/b": "1Gi"}}, "extended.a/b: found '1Gi'; devices are counted"),
    ({"cpu": 2, "requests": {"cpu": "2001m"}}, "requests.cpu: found 2001m; cannot be more than the pod may use: resources.cpu is 2; for example cpu: 2"),
    ({"memory": "1Gi", "requests": {"memory": "1025Mi"}}, "requests.memory: found 1025Mi; cannot be more than the pod may use: resources.memory is 1Gi"),
    ({"memory": "1Gi", "sharedMemory": "2Gi"}, "sharedMemory: found 2Gi; shared memory counts to the memory of the pod: resources.memory is 1Gi; for example sharedMemory: 1Gi"),
]  # fmt: skip


@pytest.mark.parametrize(("resources", "says"), WRONG_RESOURCES, ids=lambda value: str(value)[:50])
def test_an_amount_that_no_pod_can_have_is_refused(resources: dict[str, Any], says: str) -> None:
    (sentence,) = refusals(resources=resources)
    assert sentence.startswith(f"spec.resources.{says}")


@pytest.mark.parametrize(
    "resources",
    [
        {"extended": {"rdma/hca_shared_devices_a": 1, "vpc.amazonaws.com/efa": "4"}},
        {"gpuResource": "amd.com/gpu", "extended": {"nvidia.com/gpu": 1}},
        {"cpu": 2, "memory": "1Gi", "requests": {"cpu": "2000m", "memory": "1024Mi"}, "sharedMemory": "1Gi"},
        {"requests": {"cpu": 64, "memory": "1Ti"}, "sharedMemory": "1Ti"},
    ],
)
def test_amounts_at_their_limits_are_taken(resources: dict[str, Any]) -> None:
    assert refusals(resources=resources) == []
