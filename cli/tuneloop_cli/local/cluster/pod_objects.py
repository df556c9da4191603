"""Pods and conditions: how controllers create and read them. Pure."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from tuneloop_operator.names import COMPONENT_LABEL, ROUTER

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

Condition = dict[str, Any]


def pod_from_template(owner: Manifest, *, name: str, labels: dict[str, str], annotations: dict[str, str]) -> Manifest:
    """Return a new pod of a Job or Deployment; labels and annotations come on top of the template's."""
    template = copy.deepcopy(owner["spec"]["template"])
    metadata = template.get("metadata") or {}
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": (metadata.get("labels") or {}) | labels,
            "annotations": (metadata.get("annotations") or {}) | annotations,
            "ownerReferences": [reference],
        },
        "spec": template["spec"],
        "status": {"phase": "Pending"},
    }


def phase(pod: Manifest) -> str:
    """Return Pending, Running, Succeeded or Failed."""
    return str(pod["status"].get("phase", "Pending"))


def seniority(pod: Manifest) -> tuple[str, str]:
    """Return a key by which older pods come first."""
    return pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]


def is_terminal(pod: Manifest) -> bool:
    """Whether the pod has ended."""
    return phase(pod) in {"Succeeded", "Failed"}


def is_deleted(pod: Manifest) -> bool:
    """Whether the deletion of the pod was requested."""
    return "deletionTimestamp" in pod["metadata"]


def is_active(pod: Manifest) -> bool:
    """Whether the pod runs or will run, and its deletion was not requested."""
    return not is_terminal(pod) and not is_deleted(pod)


def is_ready(pod: Manifest) -> bool:
    """Whether the condition Ready holds."""
    return is_true(pod["status"].get("conditions"), "Ready")


def is_router(pod: Manifest) -> bool:
    """Whether the pod carries the requests of a deployment to its servers."""
    return bool((pod["metadata"].get("labels") or {}).get(COMPONENT_LABEL) == ROUTER)


def is_true(conditions: list[Condition] | None, kind: str) -> bool:
    """Whether the condition of this type holds."""
    return any(condition["type"] == kind and condition["status"] == "True" for condition in conditions or ())


def with_condition(conditions: list[Condition] | None, new: Condition, *, now: str) -> list[Condition]:
    """Return the conditions with `new` added or replaced. The transition time changes only with the status."""
    old = next((condition for condition in conditions or () if condition["type"] == new["type"]), None)
    if old is None:
        return [*(conditions or ()), new | {"lastTransitionTime": now}]
    since = old["lastTransitionTime"] if old["status"] == new["status"] else now
    return [new | {"lastTransitionTime": since} if condition is old else condition for condition in conditions or ()]
