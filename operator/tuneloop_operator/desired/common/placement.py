"""Who pods are and on which nodes they run: what the object says, over the administrator's defaults. A field that nobody sets is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.pods import PodOptions
from tuneloop_operator.settings.pod_defaults import PodDefaults

if TYPE_CHECKING:
    from tuneloop_api.v1alpha1.pods import Placement, Toleration
    from tuneloop_operator.settings.operator import OperatorSettings

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def pod_metadata(ours: dict[str, str], options: PodOptions, settings: OperatorSettings) -> dict[str, Any]:
    """Return the metadata of a pod template. `ours`: the labels by which the operator finds the pods."""
    defaults = settings.pod_defaults or PodDefaults()
    annotations = (defaults.annotations or {}) | (options.annotations or {})
    labels = (defaults.labels or {}) | (options.labels or {}) | ours
    return {"labels": labels} | ({"annotations": annotations} if annotations else {})


def identity_fields(options: PodOptions, settings: OperatorSettings) -> dict[str, Any]:
    """Return the account of the pods, and the secrets with which their images are pulled."""
    defaults = settings.pod_defaults or PodDefaults()
    names = [secret.name for secret in [*(defaults.image_pull_secrets or ()), *(options.image_pull_secrets or ())]]
    return _given(
        serviceAccountName=options.service_account_name,
        imagePullSecrets=[{"name": name} for name in dict.fromkeys(names)],
    )


def placement_fields(
    placement: Placement | None, settings: OperatorSettings, *, labels: dict[str, str]
) -> dict[str, Any]:
    """Return where pods run. `labels` are those of the pods of the same set, which a spread constraint without a selector counts.

    None is for pods that `spec.scheduling` does not place: they get the administrator's defaults alone.
    """
    defaults = settings.pod_defaults or PodDefaults()
    selector, tolerations = defaults.node_selector or {}, [*(defaults.tolerations or ())]
    if placement is None:
        return _given(nodeSelector=selector, tolerations=_wire(tolerations))
    own = [toleration for toleration in placement.tolerations or () if toleration not in tolerations]
    return _given(
        priorityClassName=placement.priority_class_name,
        schedulerName=placement.scheduler_name,
        runtimeClassName=placement.runtime_class_name,
        nodeSelector=selector | (placement.node_selector or {}),
        tolerations=_wire([*tolerations, *own]),
        affinity=placement.affinity.to_wire() if placement.affinity else None,
        topologySpreadConstraints=[
            {"labelSelector": {"matchLabels": labels}} | constraint
            for constraint in placement.topology_spread_constraints or ()
        ],
    )


def without_nodes(affinity: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return the affinity of pods that also stay away from the nodes of these names."""
    # one requirement for each node: the API server allows a single value in a matchFields requirement
    avoid = [{"key": "metadata.name", "operator": "NotIn", "values": [name]} for name in names]
    nodes = affinity.get("nodeAffinity") or {}
    # a node fits if one of the terms fits: so each term must leave the nodes out
    terms = (nodes.get(_REQUIRED) or {}).get("nodeSelectorTerms") or [{}]
    required = [term | {"matchFields": [*(term.get("matchFields") or ()), *avoid]} for term in terms]
    return affinity | {"nodeAffinity": nodes | {_REQUIRED: {"nodeSelectorTerms": required}}}


def placement_identity(options: PodOptions, placement: Placement | None) -> list[Any]:
    """Return what the spec sets of the fields here, for the name of a server's revision; empty if the spec sets none of the fields."""
    own = options.model_dump(mode="json", by_alias=True, exclude_none=True, include=set(PodOptions.model_fields))
    given = _given(**own, scheduling=_given(**placement.to_wire()) if placement else None)
    return [given] if given else []


def _given(**fields: Any) -> dict[str, Any]:
    """Return the fields that are set and not empty."""
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def _wire(tolerations: list[Toleration]) -> list[dict[str, Any]]:
    return [toleration.to_wire() for toleration in tolerations]
