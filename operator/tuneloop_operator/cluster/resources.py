"""Where the API server keeps each kind that the operator touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import API_VERSION

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest


@dataclass(frozen=True, kw_only=True)
class Resource:
    """How a kind is addressed."""

    api_version: str
    plural: str

    def collection(self, namespace: str) -> str:
        """Return the path of all objects of a namespace."""
        return f"{api_path(self.api_version)}/namespaces/{namespace}/{self.plural}"

    def object_path(self, namespace: str, name: str) -> str:
        """Return the path of one object."""
        return f"{self.collection(namespace)}/{name}"


def api_path(api_version: str) -> str:
    """Return the path of a group and version. The core group is older than the others and has another path."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


_RESOURCES = {
    "FineTuneJob": Resource(api_version=API_VERSION, plural="finetunejobs"),
    "ModelDeployment": Resource(api_version=API_VERSION, plural="modeldeployments"),
    "Job": Resource(api_version="batch/v1", plural="jobs"),
    "Pod": Resource(api_version="v1", plural="pods"),
    "Service": Resource(api_version="v1", plural="services"),
    "ConfigMap": Resource(api_version="v1", plural="configmaps"),
    "Deployment": Resource(api_version="apps/v1", plural="deployments"),
    "NetworkPolicy": Resource(api_version="networking.k8s.io/v1", plural="networkpolicies"),
    "PodDisruptionBudget": Resource(api_version="policy/v1", plural="poddisruptionbudgets"),
    "HorizontalPodAutoscaler": Resource(api_version="autoscaling/v2", plural="horizontalpodautoscalers"),
    "Lease": Resource(api_version="coordination.k8s.io/v1", plural="leases"),
    "EndpointSlice": Resource(api_version="discovery.k8s.io/v1", plural="endpointslices"),
    "Event": Resource(api_version="events.k8s.io/v1", plural="events"),
}


def resource_of(kind: str) -> Resource:
    """Return how a kind is addressed."""
    return _RESOURCES[kind]


def kinds_of(api_version: str) -> list[str]:
    """Return the kinds of an API version."""
    return [kind for kind, resource in _RESOURCES.items() if resource.api_version == api_version]


def path_of(manifest: Manifest) -> str:
    """Return the path of an object."""
    metadata = manifest["metadata"]
    return resource_of(manifest["kind"]).object_path(metadata["namespace"], metadata["name"])
