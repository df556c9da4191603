"""The comparator of two revisions: its configuration, its Deployment, its Service and its NetworkPolicy.

A configuration is for one pair and never changes. Another pair is another ConfigMap, whose name is in the pod: so the Deployment replaces the process,
and the counts of two pairs cannot mix.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tuneloop_api.contract.comparator_config import (
    COMPARATOR_CONFIG_PATH,
    ComparatorConfig,
    GoldenSet,
    RevisionAddress,
)
from tuneloop_api.contract.server_config import METRICS_PORT, SERVER_PORT
from tuneloop_api.wire.canonical import digest_of
from tuneloop_operator.desired.common.metadata import defaults_annotation, deployment_labels, owned_metadata
from tuneloop_operator.desired.common.network_policy import network_policy
from tuneloop_operator.desired.common.placement import identity_fields, placement_fields, pod_metadata
from tuneloop_operator.desired.common.pod import CONFIG_DIRECTORY, container_security, image_of, pod_security
from tuneloop_operator.desired.common.storage import claim_of, claim_volumes, path_of
from tuneloop_operator.names import (
    COMPARATOR_CONTAINER,
    comparator_labels,
    comparator_name,
    revision_name,
    router_labels,
)

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1 import ModelDeployment
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.settings.operator import OperatorSettings

_SERVICE_PORT = 80
"""Of a revision's Service."""
_REPLAYS = 1
"""A gate looks at a golden set once: to answer the same rows again shows the same."""
_SPARE_SECONDS = 10
"""Between the end of draining and the kill by the kubelet."""
_START_SECONDS = 60
_PROBE_SECONDS = 5
_DIGEST_LENGTH = 8
_RESOURCES = {"requests": {"cpu": "100m", "memory": "96Mi"}, "limits": {"memory": "256Mi"}}
"""A comparison takes 0.27 ms of a core: 100 a second, copies and golden rows at their limits, are 27m. 45 MiB at rest, 63 MiB after 10,000 copies of 100 KB;
waiting bodies (16 MiB), two answers of 2 MiB for each of 4 pairs, and what JSON makes of them come on top."""


def golden_set_of(deployment: ModelDeployment) -> str | None:
    """Return the address of the golden set; None: there is none."""
    evaluation = deployment.spec.evaluation
    return evaluation.golden_set.uri if evaluation is not None and evaluation.golden_set is not None else None


def comparator_config(
    deployment: ModelDeployment, *, stable: str, canary: str, golden_set: str | None = None
) -> ComparatorConfig:
    """Return what the comparator of two revisions is told. It asks their servers for the task and the labels, which the operator need not know.

    golden_set: `pvc://CLAIM/PATH` of the JSON lines, or `file:///PATH` in local mode; another kind of URI raises ValueError.
    """
    return ComparatorConfig(
        namespace=deployment.metadata["namespace"],
        name=deployment.metadata["name"],
        stable=_address(deployment, stable),
        canary=_address(deployment, canary),
        golden=GoldenSet(path=path_of(golden_set), times=_REPLAYS) if golden_set else None,
    )


def comparator_config_map(deployment: ModelDeployment, config: ComparatorConfig) -> Manifest:
    """Return the ConfigMap that holds `comparator.json`."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owned_metadata(
            deployment, name=config_map_name(deployment, config), labels=comparator_labels(deployment)
        ),
        "immutable": True,
        "data": {"comparator.json": json.dumps(config.to_wire(), indent=1, ensure_ascii=False)},
    }


def config_map_name(deployment: ModelDeployment, config: ComparatorConfig) -> str:
    """Return the name of the ConfigMap of this configuration: another configuration has another one."""
    return f"{comparator_name(deployment)}-{digest_of(config.non_defaults())[:_DIGEST_LENGTH]}"


def comparator_deployment(
    deployment: ModelDeployment,
    config: ComparatorConfig,
    *,
    golden_set: str | None = None,
    settings: OperatorSettings,
) -> Manifest:
    """Return the Deployment of the comparator: one process, and never two. Both would ask the revisions, and each would have a part of the counts.

    golden_set: as for `comparator_config`. Its claim is mounted, and cannot be written.
    """
    labels = comparator_labels(deployment)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": owned_metadata(deployment, name=comparator_name(deployment), labels=labels)
        | defaults_annotation(settings),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": pod_metadata(labels, deployment.spec, settings),
                "spec": _pod(deployment, config, golden_set=golden_set, settings=settings),
            },
        },
    }


def comparator_service(deployment: ModelDeployment) -> Manifest:
    """Return the Service to which routers send copies, and at which the operator reads the counts."""
    labels = comparator_labels(deployment)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owned_metadata(deployment, name=comparator_name(deployment), labels=labels),
        "spec": {
            "type": "ClusterIP",
            "selector": labels,
            "ports": [
                {"name": "http", "port": SERVER_PORT, "targetPort": "http", "protocol": "TCP"},
                {"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics", "protocol": "TCP"},
            ],
        },
    }


def comparator_policy(deployment: ModelDeployment, *, settings: OperatorSettings) -> Manifest:
    """Return a policy by which routers send copies, everybody reads counts, and the comparator reaches the servers of its own deployment."""
    labels = comparator_labels(deployment)
    routers = {"podSelector": {"matchLabels": router_labels(deployment)}}
    return network_policy(
        owned_metadata(deployment, name=comparator_name(deployment), labels=labels),
        pods=labels,
        ingress=[
            {"from": [routers], "ports": [{"port": SERVER_PORT, "protocol": "TCP"}]},
            {"ports": [{"port": METRICS_PORT, "protocol": "TCP"}]},
        ],
        egress=settings.egress,
        peers=deployment_labels(deployment),
    )


def _address(deployment: ModelDeployment, revision: str) -> RevisionAddress:
    """The revision's Service leads to ready pods alone, a new connection to any of them; a name of all pods would be looked up again for each."""
    host = f"{revision_name(deployment, revision)}.{deployment.metadata['namespace']}.svc"
    return RevisionAddress(name=revision, host=host, port=_SERVICE_PORT)


def _pod(
    deployment: ModelDeployment, config: ComparatorConfig, *, golden_set: str | None, settings: OperatorSettings
) -> dict[str, Any]:
    spec = deployment.spec
    claim = claim_of(golden_set) if golden_set else None
    claims, claim_mounts = claim_volumes(writable=[], read_only=[claim] if claim else [])
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": config.drain_seconds + _SPARE_SECONDS,
        "securityContext": pod_security(settings),
        **identity_fields(spec, settings),
        # the servers' nodes may have GPUs, which a comparator does not need: the administrator's defaults alone place it
        **placement_fields(None, settings, labels=comparator_labels(deployment)),
        "containers": [
            {
                "name": COMPARATOR_CONTAINER,
                # the operator's own image: one of a user's runtime may not have the program
                **image_of(settings.server_image, settings, policy=spec.image_pull_policy),
                "command": ["python", "-m", "tuneloop_server.comparator", "--config", COMPARATOR_CONFIG_PATH],
                "ports": [
                    {"name": "http", "containerPort": config.port, "protocol": "TCP"},
                    {"name": "metrics", "containerPort": config.control_port, "protocol": "TCP"},
                ],
                "resources": _RESOURCES,
                "securityContext": container_security(),
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "startupProbe": _probe("/readyz", failures=_START_SECONDS) | {"periodSeconds": 1},
                "livenessProbe": _probe("/healthz", failures=6),
                "readinessProbe": _probe("/readyz", failures=2),
                # it writes nothing: there is no scratch folder
                "volumeMounts": [{"name": "config", "mountPath": CONFIG_DIRECTORY, "readOnly": True}, *claim_mounts],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": config_map_name(deployment, config)}}, *claims],
    }


def _probe(path: str, *, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "metrics"},
        "periodSeconds": _PROBE_SECONDS,
        "timeoutSeconds": _PROBE_SECONDS,
        "failureThreshold": failures,
    }
