"""The real API server takes every golden manifest as it is, and its pods where Pod Security is `restricted`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cluster_tier import fresh_namespace

from tuneloop_operator.desired.common.compare import covers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.control_plane import ControlPlane

GOLDEN = Path(__file__).parents[2] / "golden" / "operator"
STRICT = {"dryRun": "All", "fieldValidation": "Strict"}
PATHS = {
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Service": "/api/v1/namespaces/{}/services",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
}


APPLIED = {"Service", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "HorizontalPodAutoscaler"}


def golden() -> list[Any]:
    return [
        pytest.param(manifest, id=f"{file.stem}-{manifest['kind']}-{manifest['metadata']['name']}")
        for file in sorted(GOLDEN.glob("*.yaml"))
        for manifest in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    ]


def applied() -> list[Any]:
    return [case for case in golden() if case.values[0]["kind"] in APPLIED]


def pods() -> list[Any]:
    return [case for case in golden() if case.values[0]["kind"] in {"Job", "Deployment"}]


def on_host_network(case: Any) -> bool:
    return bool(case.values[0]["spec"]["template"]["spec"].get("hostNetwork"))


def posted(control_plane: ControlPlane, manifest: dict[str, Any], namespace: str) -> Any:
    body = manifest | {"metadata": manifest["metadata"] | {"namespace": namespace}}
    return control_plane.request("POST", PATHS[manifest["kind"]].format(namespace), body, query=STRICT)


def make_priority_class(control_plane: ControlPlane, name: str) -> None:
    """Make a PriorityClass if there is none of that name: they belong to no namespace."""
    body = {"metadata": {"name": name}, "value": 1}
    reply = control_plane.request("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", body)
    assert reply.status in {201, 409}, reply.body


def make_what_pods_name(control_plane: ControlPlane, pod: dict[str, Any], namespace: str) -> None:
    """Make the account and the RuntimeClass that a pod names: the API server admits no pod without them."""
    if name := pod.get("serviceAccountName"):
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        assert control_plane.request("POST", path, {"metadata": {"name": name}}).status in {201, 409}
    if name := pod.get("runtimeClassName"):
        body = {"metadata": {"name": name}, "handler": "runc"}
        reply = control_plane.request("POST", "/apis/node.k8s.io/v1/runtimeclasses", body)
        assert reply.status in {201, 409}, reply.body


@pytest.mark.parametrize("manifest", golden())
def test_the_api_server_takes_it_without_a_complaint(
    control_plane: ControlPlane, shared_namespace: str, manifest: dict[str, Any]
) -> None:
    reply = posted(control_plane, manifest, shared_namespace)
    assert reply.status == 201, reply.body


@pytest.mark.parametrize("manifest", applied())
def test_what_is_stored_equals_what_is_wanted(
    control_plane: ControlPlane, shared_namespace: str, manifest: dict[str, Any]
) -> None:
    stored = posted(control_plane, manifest, shared_namespace).body
    assert covers(stored["spec"], manifest["spec"])  # or it would be applied again and again


def posted_pod(control_plane: ControlPlane, manifest: dict[str, Any], namespace: str) -> Any:
    spec = manifest["spec"]["template"]["spec"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec}
    return posted(control_plane, pod, namespace)


@pytest.fixture(scope="module")
def restricted(control_plane: ControlPlane) -> Iterator[str]:
    with fresh_namespace(control_plane, labels={"pod-security.kubernetes.io/enforce": "restricted"}) as name:
        yield name


@pytest.mark.parametrize("manifest", [case for case in pods() if on_host_network(case)])
def test_pods_on_the_network_of_their_node_are_admitted_where_pod_security_is_privileged_alone(
    control_plane: ControlPlane, manifest: dict[str, Any]
) -> None:
    for level, status in (("restricted", 403), ("baseline", 403), ("privileged", 201)):
        with fresh_namespace(control_plane, labels={"pod-security.kubernetes.io/enforce": level}) as namespace:
            reply = posted_pod(control_plane, manifest, namespace)
        assert reply.status == status, (level, reply.body)


@pytest.mark.parametrize("manifest", [case for case in pods() if not on_host_network(case)])
def test_its_pods_are_admitted_where_pod_security_is_restricted(
    control_plane: ControlPlane, restricted: str, manifest: dict[str, Any]
) -> None:
    template = manifest["spec"]["template"]
    if name := template["spec"].get("priorityClassName"):
        make_priority_class(control_plane, name)
    make_what_pods_name(control_plane, template["spec"], restricted)
    reply = posted_pod(control_plane, manifest, restricted)
    assert reply.status == 201, reply.body
