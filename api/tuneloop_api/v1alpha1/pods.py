"""Fields that go into the pods of both kinds: who the pods are, which variables and volumes they get, and on which nodes they run.

Affinity and spread constraints are Kubernetes' own objects. The CRD takes them as they are; `pod_objects` says what they look like.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, StringConstraints

from tuneloop_api.v1alpha1.common import LabelValue, Name, ObjectReference, Opaque
from tuneloop_api.v1alpha1.pod_env import Env
from tuneloop_api.v1alpha1.pod_volumes import Volumes
from tuneloop_api.wire.model import SpecModel, without_nulls
from tuneloop_api.wire.rules import Rule, applies_only
from tuneloop_api.wire.text_formats import KEY

Key: TypeAlias = Annotated[str, KEY.text(most=317)]
# a CEL rule over the keys of a map would exceed the API server's budget: the operator checks the keys (`accept_pods`)
Labels: TypeAlias = Annotated[dict[str, LabelValue], Field(max_length=64), BeforeValidator(without_nulls)]
Annotations: TypeAlias = Annotated[
    dict[str, Annotated[str, StringConstraints(max_length=4096)]],
    Field(max_length=64),
    BeforeValidator(without_nulls),
]
PullSecrets: TypeAlias = Annotated[list[ObjectReference], Field(max_length=16)]


class Toleration(SpecModel):
    """A taint of nodes that the pods put up with."""

    key: Key | None = None
    """Key of the taint, with `operator: Exists` also none, which fits all taints. Default: none. For example `nvidia.com/gpu`."""
    operator: Literal["Equal", "Exists"] | None = None
    """How the taint is compared: `Equal` asks for the same value, `Exists` for the key alone. Default: `Equal`."""
    value: LabelValue | None = None
    """Value that the taint of the nodes has. Not together with `operator: Exists`. Default: empty. For example `present`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint that is put up with. Default: every effect."""
    toleration_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Seconds that a pod stays on its node after the taint was set. Applies only to `effect: NoExecute`. Default: for ever. For example `60`."""

    rules = (
        Rule(
            field="value",
            reason="FieldValueForbidden",
            message="cannot be given with operator: Exists, which fits any value; leave it out; for example key: nvidia.com/gpu with operator: Exists",
            cel="self.?value.orValue('') == '' || self.?operator.orValue('Equal') != 'Exists'",
            holds=lambda toleration: not toleration.value or toleration.operator != "Exists",
        ),
        Rule(
            field="operator",
            message="must be Exists where there is no key, which fits all taints; for example key: nvidia.com/gpu with operator: Exists",
            cel="has(self.key) || self.?operator.orValue('Equal') == 'Exists'",
            holds=lambda toleration: toleration.key is not None or toleration.operator == "Exists",
        ),
        applies_only(
            "toleration_seconds",
            to="effect: NoExecute",
            hint="other effects evict no pod",
            cel="self.?effect.orValue('') == 'NoExecute'",
            holds=lambda toleration: toleration.effect == "NoExecute",
        ),
    )


Tolerations: TypeAlias = Annotated[list[Toleration], Field(max_length=32)]


class Affinity(SpecModel):
    """Nodes and pods that the pods are to be near to, or away from, as Kubernetes' own object."""

    node_affinity: Opaque | None = None
    """Nodes to run on, by their labels. Default: any.
    For example `{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: gpu, operator: In, values: [h100]}]}]}}`."""
    pod_affinity: Opaque | None = None
    """Pods to run near to, by their labels. Default: any. For example `{requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: topology.kubernetes.io/zone}]}`."""
    pod_anti_affinity: Opaque | None = None
    """Pods to stay away from, by their labels. Default: none. For example `{requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname}]}`."""


class Placement(SpecModel):
    """On which nodes pods run, and who decides it. Nothing here changes what is computed."""

    priority_class_name: Name | None = None
    """PriorityClass of the pods, by which the scheduler orders them. Default: the cluster's. For example `serving-high`."""
    scheduler_name: Name | None = None
    """Scheduler that finds nodes for the pods. Default: the cluster's. For example `volcano`."""
    node_selector: Labels | None = None
    """Labels that a node must have, by key; added to `children.defaults` of the chart. Default: none. For example `{nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}`."""
    tolerations: Tolerations | None = None
    """Taints of nodes that the pods put up with; added to `children.defaults` of the chart. Default: none. For example `[{key: nvidia.com/gpu, operator: Exists}]`."""
    affinity: Affinity | None = None
    """Nodes and pods to be near to, or away from. Default: none.
    For example `{podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname}]}}`."""
    topology_spread_constraints: Annotated[list[Opaque], Field(max_length=8)] | None = None
    """How evenly the pods are spread over zones or nodes, as Kubernetes' own objects; without `labelSelector`, the pods of the same set are counted. Default: none.
    For example `[{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway}]`."""
    runtime_class_name: Name | None = None
    """RuntimeClass that runs the containers. Default: the node's. For example `nvidia`."""


class PodOptions(SpecModel):
    """Who the pods are, with what their images are pulled, and which variables and volumes they get."""

    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When the image is pulled. Default: the operator's setting (`children.imagePullPolicy` of the chart), else the cluster decides by the tag."""
    image_pull_secrets: PullSecrets | None = None
    """Secrets of this namespace with which the image is pulled; added to `children.defaults` of the chart. Default: none. For example `[{name: registry}]`."""
    service_account_name: Name | None = None
    """ServiceAccount of the pods, for clouds that give accounts their rights; no token for the API server is mounted. Default: `default` of the namespace.
    For example `trainer`."""
    labels: Labels | None = None
    """Labels of the pods, beside our own; keys of ours and of Kubernetes' controllers are refused. Default: those of `children.defaults` of the chart.
    For example `{team: search}`."""
    annotations: Annotations | None = None
    """Annotations of the pods, beside our own; keys of ours and of Kubernetes' controllers are refused. Default: those of `children.defaults` of the chart.
    For example `{sidecar.istio.io/inject: "false"}`."""
    env: Env | None = None
    """Environment variables of the containers, beside our own; added to `children.defaults` of the chart. Default: none.
    For example `[{name: WANDB_API_KEY, secretKeyRef: {name: trackers, key: api-key}}]`."""
    volumes: Volumes | None = None
    """Secrets, ConfigMaps, claims and the like that the containers mount, beside our own volumes. Default: none.
    For example `[{name: trackers, mountPath: /etc/trackers, secret: {secretName: trackers}}]`."""
