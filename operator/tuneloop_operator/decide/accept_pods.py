"""Whether variables, volumes, labels, annotations, node selectors, affinity and spread constraints can stand in a pod. The CRD holds them without a closer look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from tuneloop_api.v1alpha1.common import ResourceAmounts
from tuneloop_api.v1alpha1.pod_env import refused_variables
from tuneloop_api.v1alpha1.pod_keys import refused_annotations, refused_labels, refused_node_labels
from tuneloop_api.v1alpha1.pod_objects import (
    ClaimVolume,
    ConfigMapVolume,
    CsiVolume,
    NodeAffinity,
    PodAffinity,
    ProjectedVolume,
    SecretVolume,
    SpreadConstraint,
)
from tuneloop_api.v1alpha1.pod_volumes import refused_volumes
from tuneloop_api.v1alpha1.resources import GPU, refused_resources
from tuneloop_api.wire.rules import EXAMPLE
from tuneloop_api.wire.text_formats import TEXT_FORMATS
from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pydantic_core import ErrorDetails

    from tuneloop_api.v1alpha1.fine_tune_job.resources import Resources
    from tuneloop_api.v1alpha1.model_deployment.server import ServerResources
    from tuneloop_api.v1alpha1.pod_env import EnvVariable
    from tuneloop_api.v1alpha1.pod_keys import KeyRefusal
    from tuneloop_api.v1alpha1.pod_volumes import Volume
    from tuneloop_api.v1alpha1.pods import Affinity, Placement, PodOptions
    from tuneloop_api.v1alpha1.resources import PodResources
    from tuneloop_api.wire.model import SpecModel

_LONGEST_VALUE = 100
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_EXAMPLES: dict[type[SpecModel], str] = {
    NodeAffinity: f"{_REQUIRED}: {{nodeSelectorTerms: [{{matchExpressions: [{{key: gpu, operator: Exists}}]}}]}}",
    PodAffinity: f"{_REQUIRED}: [{{topologyKey: kubernetes.io/hostname}}]",
    SpreadConstraint: "{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway}",
    SecretVolume: "secret: {secretName: trackers}",
    ConfigMapVolume: "configMap: {name: proxies}",
    ClaimVolume: "persistentVolumeClaim: {claimName: lexicons}",
    ProjectedVolume: "projected: {sources: [{secret: {name: trackers}}]}",
    CsiVolume: "csi: {driver: secrets-store.csi.k8s.io, readOnly: true}",
}


def pod_refusals(options: PodOptions, placement: Placement | None) -> Iterator[Refusal]:
    """Yield what cannot stand in a pod: of `spec`, and of `spec.scheduling`."""
    yield from _keys("spec.labels", options.labels, refused_labels)
    yield from _keys("spec.annotations", options.annotations, refused_annotations)
    yield from _variables(options.env)
    yield from _volumes(options.volumes)
    if placement is None:
        return
    yield from _keys("spec.scheduling.nodeSelector", placement.node_selector, refused_node_labels)
    yield from _affinity(placement.affinity)
    for number, constraint in enumerate(placement.topology_spread_constraints or ()):
        yield from _shape(f"spec.scheduling.topologySpreadConstraints[{number}]", constraint, SpreadConstraint)


def resources_refusals(resources: Resources | ServerResources | None) -> Iterator[Refusal]:
    """Yield why the resources of a spec cannot be used."""
    if resources is not None:
        limits = ResourceAmounts(cpu=resources.cpu, memory=resources.memory)
        yield from resource_refusals(resources, limits=limits, gpu=resources.gpu_resource)


def resource_refusals(resources: PodResources, *, limits: ResourceAmounts, gpu: str | None) -> Iterator[Refusal]:
    """Yield what no pod can have of `spec.resources`. gpu: the resource of one GPU, as the object names it."""
    for refusal in refused_resources(resources, limits=limits, gpu=gpu or GPU):
        yield Refusal(
            reason="InvalidResources",
            field=f"spec.resources.{refusal.field}",
            given=refusal.given,
            allowed=refusal.allowed,
            example=refusal.example,
        )


def _keys(
    field: str, values: dict[str, str] | None, refused: Callable[[Iterable[str]], Iterator[KeyRefusal]]
) -> Iterator[Refusal]:
    for refusal in refused(values or {}):
        yield Refusal(
            reason="InvalidKey",
            field=field,
            given=ascii(refusal.key)[:_LONGEST_VALUE],
            allowed=refusal.allowed,
            example=refusal.example,
        )


def _variables(variables: list[EnvVariable] | None) -> Iterator[Refusal]:
    for refusal in refused_variables(variables or ()):
        yield Refusal(
            reason="InvalidVariable",
            field=f"spec.env[{refusal.number}].name",
            given=ascii(refusal.name)[:_LONGEST_VALUE],
            allowed=refusal.allowed,
            example=refusal.example,
        )


def _volumes(volumes: list[Volume] | None) -> Iterator[Refusal]:
    for refusal in refused_volumes(volumes or ()):
        yield Refusal(
            reason="InvalidVolume",
            field=f"spec.volumes[{refusal.number}].{refusal.field}",
            given=repr(refusal.given),
            allowed=refusal.allowed,
            example=refusal.example,
        )
    for number, volume in enumerate(volumes or ()):
        field = f"spec.volumes[{number}]"
        yield from _shape(f"{field}.secret", volume.secret, SecretVolume)
        yield from _shape(f"{field}.configMap", volume.config_map, ConfigMapVolume)
        yield from _shape(f"{field}.persistentVolumeClaim", volume.persistent_volume_claim, ClaimVolume)
        yield from _shape(f"{field}.projected", volume.projected, ProjectedVolume)
        yield from _shape(f"{field}.csi", volume.csi, CsiVolume)


def _affinity(affinity: Affinity | None) -> Iterator[Refusal]:
    if affinity is None:
        return
    yield from _shape("spec.scheduling.affinity.nodeAffinity", affinity.node_affinity, NodeAffinity)
    yield from _shape("spec.scheduling.affinity.podAffinity", affinity.pod_affinity, PodAffinity)
    yield from _shape("spec.scheduling.affinity.podAntiAffinity", affinity.pod_anti_affinity, PodAffinity)


def _shape(field: str, given: dict[str, Any] | None, model: type[SpecModel]) -> Iterator[Refusal]:
    """Yield the mistakes in one of Kubernetes' own objects."""
    if given is None:
        return
    try:
        model.from_wire(given)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            allowed, example = _allowed(details, model)
            yield Refusal(
                reason="InvalidObject",
                field=field + _path(details["loc"]),
                given="nothing" if details["type"] == "missing" else _shown(details["input"]),
                allowed=allowed,
                example=example,
            )


def _allowed(details: ErrorDetails, model: type[SpecModel]) -> tuple[str, str]:
    """Return what is allowed, and an example."""
    kind = details["type"]
    if kind == "extra_forbidden":
        return "Kubernetes knows no such field here", _EXAMPLES[model]
    if kind == "missing":
        return "the field is required", _EXAMPLES[model]
    if kind == "string_pattern_mismatch":
        text_format = TEXT_FORMATS[details["ctx"]["pattern"]]
        return text_format.allowed, text_format.example
    sentence, _, example = details["msg"].partition(EXAMPLE)
    return sentence[:1].lower() + sentence[1:], example or _EXAMPLES[model]


def _path(location: Sequence[int | str]) -> str:
    parts = [part for part in location if part != "[key]"]  # pydantic's word for the key of a map
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
