"""What Kubernetes' own objects in `spec.scheduling` and `spec.volumes` look like. The CRD holds them without a schema, which would be larger than all of ours.

The operator and `tuneloop validate` read the objects with these models, so that a mistake is named before a pod is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from tuneloop_api.v1alpha1.common import LabelValue, Name, ObjectReference
from tuneloop_api.v1alpha1.pod_env import ObjectKey
from tuneloop_api.v1alpha1.pods import Key
from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.text_formats import SUB_PATH

Keys: TypeAlias = list[Key]
Mode: TypeAlias = Annotated[int, Field(ge=0, le=0o777)]
_NUMBERS = ("Gt", "Lt")


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("rule", "{message}", {"message": message})


class _Expression(SpecModel):
    """One requirement on a label or a field."""

    key: Key
    operator: str
    values: list[str] | None = None

    @model_validator(mode="after")
    def _values_fit(self) -> _Expression:
        count = len(self.values or ())
        if self.operator in ("In", "NotIn") and count == 0:
            raise _wrong(f"operator: {self.operator} needs values; for example values: [a, b]")
        if self.operator in ("Exists", "DoesNotExist") and count:
            raise _wrong(f"operator: {self.operator} takes no values; for example operator: In with values: [a]")
        if self.operator in _NUMBERS and not (count == 1 and (self.values or [""])[0].lstrip("-").isdecimal()):
            raise _wrong(f'operator: {self.operator} needs one whole number as text; for example values: ["4"]')
        return self


class LabelExpression(_Expression):
    """One requirement on a label of pods or namespaces."""

    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[LabelValue] | None = None


class NodeExpression(_Expression):
    """One requirement on a label of nodes, or on a field of theirs."""

    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]


class LabelSelector(SpecModel):
    """Pods or namespaces, by their labels."""

    match_labels: dict[Key, LabelValue] | None = None
    match_expressions: list[LabelExpression] | None = None


class NodeSelectorTerm(SpecModel):
    """Nodes for which all expressions hold."""

    match_expressions: list[NodeExpression] | None = None
    match_fields: list[NodeExpression] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> NodeSelectorTerm:
        if not self.match_expressions and not self.match_fields:
            raise _wrong("an empty term fits no node; for example matchExpressions: [{key: gpu, operator: Exists}]")
        return self


class NodeSelector(SpecModel):
    """Nodes that fit one of the terms."""

    node_selector_terms: Annotated[list[NodeSelectorTerm], Field(min_length=1)]


class PreferredNodes(SpecModel):
    """Nodes that are better than others."""

    weight: Annotated[int, Field(ge=1, le=100)]
    preference: NodeSelectorTerm


class NodeAffinity(SpecModel):
    """`affinity.nodeAffinity`."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: list[PreferredNodes] | None = None


class PodTerm(SpecModel):
    """Pods in the same zone, or on the same node."""

    topology_key: Key
    label_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    namespaces: list[Name] | None = None
    match_label_keys: Keys | None = None
    mismatch_label_keys: Keys | None = None


class PreferredPods(SpecModel):
    """Pods that are better neighbours than others."""

    weight: Annotated[int, Field(ge=1, le=100)]
    pod_affinity_term: PodTerm


class PodAffinity(SpecModel):
    """`affinity.podAffinity` and `affinity.podAntiAffinity`."""

    required_during_scheduling_ignored_during_execution: list[PodTerm] | None = None
    preferred_during_scheduling_ignored_during_execution: list[PreferredPods] | None = None


class SpreadConstraint(SpecModel):
    """An entry of `topologySpreadConstraints`."""

    max_skew: Annotated[int, Field(ge=1, le=2**31 - 1)]
    topology_key: Key
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    label_selector: LabelSelector | None = None
    match_label_keys: Keys | None = None
    min_domains: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None

    @model_validator(mode="after")
    def _domains_fit(self) -> SpreadConstraint:
        if self.min_domains is not None and self.when_unsatisfiable != "DoNotSchedule":
            raise _wrong(
                "minDomains applies only to whenUnsatisfiable: DoNotSchedule; for example leave minDomains out"
            )
        return self


class KeyFile(SpecModel):
    """A key of a Secret or ConfigMap, and its file."""

    key: ObjectKey
    path: Annotated[str, SUB_PATH.text(most=256)]
    mode: Mode | None = None


class SecretVolume(SpecModel):
    """`volumes[].secret`."""

    secret_name: Name
    items: list[KeyFile] | None = None
    optional: bool | None = None
    default_mode: Mode | None = None


class ProjectedFiles(SpecModel):
    """Files of one Secret or ConfigMap."""

    name: Name
    items: list[KeyFile] | None = None
    optional: bool | None = None


class ConfigMapVolume(ProjectedFiles):
    """`volumes[].configMap`."""

    default_mode: Mode | None = None


class ClaimVolume(SpecModel):
    """`volumes[].persistentVolumeClaim`. Whether it is only read stands beside the path, in `readOnly`."""

    claim_name: Name


class ProjectedSource(SpecModel):
    """An entry of `projected.sources`."""

    secret: ProjectedFiles | None = None
    config_map: ProjectedFiles | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_no_token(cls, data: Any) -> Any:
        if isinstance(data, dict) and "serviceAccountToken" in data:
            raise _wrong(
                "serviceAccountToken would give the pods a token of their account, which they must not have; "
                "for example {secret: {name: trackers}}"
            )
        return data

    @model_validator(mode="after")
    def _is_one(self) -> ProjectedSource:
        if (self.secret is None) == (self.config_map is None):
            raise _wrong("a source is one secret or one configMap; for example {secret: {name: trackers}}")
        return self


class ProjectedVolume(SpecModel):
    """`volumes[].projected`."""

    sources: Annotated[list[ProjectedSource], Field(min_length=1)]
    default_mode: Mode | None = None


class CsiVolume(SpecModel):
    """`volumes[].csi`."""

    driver: Name
    read_only: bool | None = None
    fs_type: str | None = None
    volume_attributes: dict[str, str] | None = None
    node_publish_secret_ref: ObjectReference | None = None
