"""The routers of a deployment: their configuration, their Deployment and their NetworkPolicy. A new split changes no pod."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.router import (
    ROUTER_MEMORY_BYTES,
    ROUTER_METRICS_PORT,
    ROUTER_PORT,
    ROUTER_SETTINGS_PATH,
    OperatorAddress,
    RouterSettings,
    split_path,
)
from tuneloop_api.v1alpha1.model_deployment.server import Lifecycle
from tuneloop_api.wire.canonical import digest_of
from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.names import token_audience
from tuneloop_operator.desired.common.metadata import defaults_annotation, deployment_labels, owned_metadata
from tuneloop_operator.desired.common.network_policy import network_policy
from tuneloop_operator.desired.common.placement import identity_fields, placement_fields, pod_metadata
from tuneloop_operator.desired.common.pod import CONFIG_DIRECTORY, container_security, image_of, pod_security
from tuneloop_operator.desired.model_deployment.access import api_keys_path, api_keys_volumes
from tuneloop_operator.desired.model_deployment.disruption import apart
from tuneloop_operator.names import DATA_DIGEST, ROUTER_CONTAINER, router_labels, router_name
from tuneloop_operator.settings.operator import TOKEN_DIRECTORY

if TYPE_CHECKING:
    from tuneloop_api.contract.router import RouterSplit
    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.settings.operator import OperatorSettings

_FOLDER = "/run/tuneloop"
_CA_FILE = "ca.crt"
_TOKEN_SECONDS = 3600
_SPARE_SECONDS = 15
"""Between the end of draining and the kill by the kubelet."""
_START_SECONDS = 60
_PROBE_SECONDS = 5
_RESOURCES = {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"memory": f"{ROUTER_MEMORY_BYTES >> 20}Mi"}}
"""Router and Envoy take about 90 MiB at rest; each request in flight takes 52 KiB and its body."""


def router_settings(deployment: ModelDeployment, settings: OperatorSettings) -> RouterSettings:
    """Return how each router runs."""
    namespace, name = deployment.metadata["namespace"], deployment.metadata["name"]
    lifecycle = deployment.spec.lifecycle or Lifecycle()
    return RouterSettings(
        deployment=name,
        folder=_FOLDER,
        operator=OperatorAddress(
            url=settings.router_url.rstrip("/") + split_path(namespace, name),
            ca_path=f"{CONFIG_DIRECTORY}/{_CA_FILE}",
            token_path=settings.token_path,
        ),
        api_keys_path=api_keys_path(deployment),
        drain_seconds=max(seconds(lifecycle.drain or "45s"), 1),
    )


def router_config_map(deployment: ModelDeployment, split: RouterSplit, *, settings: OperatorSettings) -> Manifest:
    """Return the ConfigMap with which routers start. It holds the newest split, for routers that start while the operator is away."""
    data = {
        "router.json": _text(router_settings(deployment, settings).to_wire()),
        "split.json": _text(split.to_wire()),
        _CA_FILE: settings.progress_ca or "",
    }
    metadata = owned_metadata(deployment, name=router_name(deployment), labels=router_labels(deployment))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata | {"annotations": {DATA_DIGEST: digest_of(data)}},
        "data": data,
    }


def router_deployment(
    deployment: ModelDeployment, *, image: str, replicas: int, settings: OperatorSettings
) -> Manifest:
    """Return the Deployment of the routers. A new one is ready before an old one drains."""
    labels = router_labels(deployment)
    metadata = pod_metadata(labels, deployment.spec, settings)
    # other settings, or another authority, need other pods; a split does not
    own = digest_of([router_settings(deployment, settings).to_wire(), settings.progress_ca])
    annotations = (metadata.get("annotations") or {}) | {DATA_DIGEST: own}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": owned_metadata(deployment, name=router_name(deployment), labels=labels)
        | defaults_annotation(settings),
        "spec": {
            "replicas": replicas,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": metadata | {"annotations": annotations},
                "spec": _pod(deployment, image=image, labels=labels, settings=settings),
            },
        },
    }


def router_policy(deployment: ModelDeployment, *, settings: OperatorSettings) -> Manifest:
    """Return a policy by which everybody reaches the two ports of the routers, and routers the pods of their own deployment."""
    labels = router_labels(deployment)
    ports = [{"port": port, "protocol": "TCP"} for port in (ROUTER_PORT, ROUTER_METRICS_PORT)]
    return network_policy(
        owned_metadata(deployment, name=router_name(deployment), labels=labels),
        pods=labels,
        ingress=[{"ports": ports}],
        egress=settings.egress,
        peers=deployment_labels(deployment),
    )


def _pod(
    deployment: ModelDeployment, *, image: str, labels: dict[str, str], settings: OperatorSettings
) -> dict[str, Any]:
    spec = deployment.spec
    keys, key_mounts = api_keys_volumes(deployment)
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": router_settings(deployment, settings).drain_seconds + _SPARE_SECONDS,
        "securityContext": pod_security(settings),
        **identity_fields(spec, settings),
        # the servers' nodes may have GPUs, which a router does not need: the administrator's defaults alone place it
        **placement_fields(None, settings, labels=labels),
        "topologySpreadConstraints": [apart(labels)],
        "containers": [
            {
                "name": ROUTER_CONTAINER,
                **image_of(image, settings, policy=spec.image_pull_policy),
                "command": ["python", "-m", "tuneloop_router", ROUTER_SETTINGS_PATH],
                "ports": [
                    {"name": "http", "containerPort": ROUTER_PORT, "protocol": "TCP"},
                    {"name": "metrics", "containerPort": ROUTER_METRICS_PORT, "protocol": "TCP"},
                ],
                "resources": _RESOURCES,
                "securityContext": container_security(),
                "terminationMessagePolicy": "FallbackToLogsOnError",
                # a probe of the other port would go through the split, to a revision
                "startupProbe": _probe(failures=_START_SECONDS) | {"periodSeconds": 1},
                "readinessProbe": _probe(failures=2),
                "volumeMounts": [
                    {"name": "config", "mountPath": CONFIG_DIRECTORY, "readOnly": True},
                    {"name": "token", "mountPath": TOKEN_DIRECTORY, "readOnly": True},
                    {"name": "run", "mountPath": _FOLDER},
                    *key_mounts,
                ],
            }
        ],
        "volumes": [
            {"name": "config", "configMap": {"name": router_name(deployment)}},
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": _token(deployment)}]}},
            # in memory: it may hold the keys of clients
            {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
            *keys,
        ],
    }


def _token(deployment: ModelDeployment) -> dict[str, Any]:
    """Return the projection of a token that is valid for the split of this deployment only."""
    audience = token_audience(deployment.metadata["uid"])
    return {"audience": audience, "expirationSeconds": _TOKEN_SECONDS, "path": "token"}


def _probe(*, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": "/readyz", "port": "metrics"},
        "periodSeconds": _PROBE_SECONDS,
        "timeoutSeconds": _PROBE_SECONDS,
        "failureThreshold": failures,
    }


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False)
