"""One revision of a ModelDeployment: its configuration and its Deployment. Only the replicas of a revision change."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.server_config import (
    SERVER_CONFIG_PATH,
    SERVER_PORT,
    BatchingSettings,
    ServedAdapter,
    ServerConfig,
    revision_of,
)
from tuneloop_api.v1alpha1.model_deployment.runtime import RuntimeOptions
from tuneloop_api.v1alpha1.model_deployment.server import Lifecycle, ServerResources
from tuneloop_api.v1alpha1.pods import Placement
from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.model import changed
from tuneloop_operator.desired.common.bucket_access import bucket_variables
from tuneloop_operator.desired.common.environment import environment
from tuneloop_operator.desired.common.metadata import defaults_annotation, deployment_labels, owned_metadata
from tuneloop_operator.desired.common.placement import (
    identity_fields,
    placement_fields,
    placement_identity,
    pod_metadata,
)
from tuneloop_operator.desired.common.pod import (
    container_security,
    image_of,
    plain_env,
    pod_security,
    scratch_mounts,
    scratch_volumes,
)
from tuneloop_operator.desired.common.resources import container_resources
from tuneloop_operator.desired.common.storage import claim_of, claim_volumes, path_of
from tuneloop_operator.desired.common.volumes import given_volumes
from tuneloop_operator.desired.model_deployment.disruption import apart
from tuneloop_operator.desired.model_deployment.endpoints import HEALTHZ, HTTP, METRICS, READYZ
from tuneloop_operator.desired.model_deployment.external_server import (
    check_container,
    external_container,
    external_identity,
    external_shared_memory,
    pre_stop_seconds,
    scrape_annotations,
)
from tuneloop_operator.desired.model_deployment.feedback import (
    feedback_settings,
    feedback_volume,
    rows_secrets,
    upload_seconds,
    with_rows_claim,
)
from tuneloop_operator.desired.model_deployment.startup import DEFAULT
from tuneloop_operator.names import SERVER_CONTAINER, revision_name

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.settings.operator import OperatorSettings

_PROBE_SECONDS = 5
_SCHEDULING_SECONDS = 600
"""For a pod to find a node and to pull its image, before the time that the server may take to load."""
_SPARE_SECONDS = 10
"""Between the end of draining and the kill by the kubelet."""


@dataclass(frozen=True, kw_only=True)
class ArtifactReference:
    """The artifact to serve: where it is, and its digest."""

    uri: str
    digest: str | None
    adapters: tuple[AdapterReference, ...] = ()
    size_bytes: int | None = None
    """Of all its files; None: not known."""


@dataclass(frozen=True, kw_only=True)
class AdapterReference:
    """An adapter to serve on it: its name, where its artifact is, and the artifact's digest."""

    name: str
    uri: str
    digest: str | None


def server_config(
    deployment: ModelDeployment, artifact: ArtifactReference, *, metrics_port: int | None = None
) -> ServerConfig:
    """Return the configuration of the servers of this spec and artifact. `revision` names this configuration and everything else in the pod.

    metrics_port: the port of probes and metrics; None: the servers have one port.
    """
    lifecycle = deployment.spec.lifecycle or Lifecycle()
    batching = deployment.spec.batching
    # the fields of our own server; those of another image are in its command line
    is_ours = not deployment.spec.has_external_runtime
    runtime = (deployment.spec.runtime if is_ours else None) or RuntimeOptions()
    resources = deployment.spec.resources
    config = ServerConfig(
        namespace=deployment.metadata["namespace"],
        name=deployment.metadata["name"],
        revision="",
        artifact_path=path_of(artifact.uri),
        artifact_uri=artifact.uri,
        digest=artifact.digest,
        adapters=[
            ServedAdapter(
                name=adapter.name, artifact_path=path_of(adapter.uri), artifact_uri=adapter.uri, digest=adapter.digest
            )
            for adapter in artifact.adapters
        ]
        or None,
        engine=None if runtime.engine == "auto" else runtime.engine,
        dtype=None if runtime.dtype == "auto" else runtime.dtype,
        gpus=(resources.gpus or None) if is_ours and resources else None,
        batching=BatchingSettings.model_validate(batching.to_wire() if batching else {}),
        feedback=feedback_settings(deployment),
        metrics_port=metrics_port,
        startup_seconds=seconds(lifecycle.startup or DEFAULT),
        drain_seconds=seconds(lifecycle.drain or "45s"),
    )
    return changed(config, revision=revision_of(config, pod=_pod_identity(deployment)))


def _pod_identity(deployment: ModelDeployment) -> list[Any]:
    """Return what makes another pod, beside the configuration of the server in it."""
    spec, secrets = deployment.spec, rows_secrets(deployment)
    return [
        spec.image,
        spec.resources.to_wire() if spec.resources else None,
        *placement_identity(spec, spec.scheduling),
        *external_identity(spec),
        *([{"feedbackSecrets": secrets}] if secrets else []),
    ]


def server_config_map(deployment: ModelDeployment, config: ServerConfig) -> Manifest:
    """Return the ConfigMap that holds `server.json`."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owned_metadata(
            deployment,
            name=revision_name(deployment, config.revision),
            labels=deployment_labels(deployment, config.revision),
        ),
        "immutable": True,
        "data": {"server.json": json.dumps(config.to_wire(), indent=1, ensure_ascii=False)},
    }


def server_deployment(
    deployment: ModelDeployment,
    config: ServerConfig,
    *,
    settings: OperatorSettings,
    is_spread: bool = True,
    check_image: str | None = None,
) -> Manifest:
    """Return the Deployment of a revision. is_spread: whether its pods are spread over the nodes where the spec does not say how they are.

    check_image: our image that checks the artifact before another image reads it; None: the operator's setting.
    """
    labels = deployment_labels(deployment, config.revision)
    metadata = pod_metadata(labels, deployment.spec, settings)
    if scraped := scrape_annotations(deployment.spec):
        metadata["annotations"] = scraped | metadata.get("annotations", {})
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": owned_metadata(deployment, name=revision_name(deployment, config.revision), labels=labels)
        | defaults_annotation(settings),
        "spec": {
            "replicas": deployment.spec.least_servers,
            "progressDeadlineSeconds": _SCHEDULING_SECONDS + config.startup_seconds,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": metadata,
                "spec": _pod(
                    deployment,
                    config,
                    settings=settings,
                    is_spread=is_spread,
                    check_image=check_image or settings.server_image,
                ),
            },
        },
    }


def _pod(
    deployment: ModelDeployment, config: ServerConfig, *, settings: OperatorSettings, is_spread: bool, check_image: str
) -> dict[str, Any]:
    places = [config.artifact_uri, *(adapter.artifact_uri for adapter in config.adapters or ())]
    read, read_mounts = claim_volumes(writable=[], read_only=[claim for claim in map(claim_of, places) if claim])
    claims, claim_mounts = with_rows_claim(deployment, read, read_mounts)
    spec = deployment.spec
    given, given_mounts = given_volumes(spec, settings)
    shm, shm_mount = external_shared_memory(spec)
    keys, keys_mount = feedback_volume(deployment)
    mounts = [*_one(shm_mount), *_one(keys_mount), *given_mounts]
    labels = deployment_labels(deployment, config.revision)
    if spec.has_external_runtime:
        check = check_container(spec, image=check_image, claim_mounts=claim_mounts, settings=settings)
        containers = {
            "initContainers": [check],
            "containers": [external_container(deployment, config, mounts=mounts, settings=settings)],
        }
    else:
        container = _container(deployment, config, mounts=[*claim_mounts, *mounts], settings=settings)
        containers = {"containers": [container]}
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _seconds_to_end(deployment, config),
        "securityContext": pod_security(settings),
        **identity_fields(spec, settings),
        **({"topologySpreadConstraints": [apart(labels)]} if is_spread else {}),
        **placement_fields(spec.scheduling or Placement(), settings, labels=labels),
        **containers,
        "volumes": [
            *scratch_volumes(config_map=revision_name(deployment, config.revision)),
            *claims,
            *_one(shm),
            *_one(keys),
            *given,
        ],
    }


def _seconds_to_end(deployment: ModelDeployment, config: ServerConfig) -> int:
    return pre_stop_seconds(deployment.spec) + config.drain_seconds + upload_seconds(deployment) + _SPARE_SECONDS


def _container(
    deployment: ModelDeployment, config: ServerConfig, *, mounts: list[Any], settings: OperatorSettings
) -> dict[str, Any]:
    """Return the container of our own server. mounts: beside its scratch folders."""
    spec = deployment.spec
    variables = [*plain_env(), *bucket_variables(rows_secrets(deployment), spec, settings)]
    resources = spec.resources or ServerResources()
    probed = HTTP if config.metrics_port is None else METRICS
    return {
        "name": SERVER_CONTAINER,
        **image_of(spec.image or settings.server_image, settings, policy=spec.image_pull_policy),
        "command": ["python", "-m", "tuneloop_server", SERVER_CONFIG_PATH],
        "env": environment(variables, spec, settings),
        "ports": _ports(config),
        "resources": container_resources(
            resources, resources, gpus=resources.gpus or 0, gpu_resource=resources.gpu_resource
        ),
        "securityContext": container_security(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        # loading ends with the first 200 of /readyz; the liveness probe starts after that
        "startupProbe": _probe(READYZ, port=probed, failures=config.startup_seconds) | {"periodSeconds": 1},
        "livenessProbe": _probe(HEALTHZ, port=probed, failures=6),
        "readinessProbe": _probe(READYZ, port=probed, failures=2),
        "volumeMounts": [*scratch_mounts(), *mounts],
    }


def _ports(config: ServerConfig) -> list[dict[str, Any]]:
    ports = {HTTP: SERVER_PORT} | ({} if config.metrics_port is None else {METRICS: config.metrics_port})
    return [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()]


def _one(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [item] if item else []


def _probe(path: str, *, port: str, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": _PROBE_SECONDS,
        "timeoutSeconds": _PROBE_SECONDS,
        "failureThreshold": failures,
    }
