"""What is left out of stored objects, by kind. Thousands of pods must fit into memory, and no decision depends on what is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.cluster import Manifest

    Trim: TypeAlias = Callable[[Manifest], Manifest]

FIRST_DELETION = "firstDeletion"
"""In the metadata of a stored pod: the fields of its first deletion request. A later request, such as the kubelet's last, replaces them."""
_OBJECTS = frozenset({"secretKeyRef", "configMapKeyRef"})
_DELETION_FIELDS = ("deletionTimestamp", "deletionGracePeriodSeconds")


def without_data(config_map: Manifest) -> Manifest:
    """Return a ConfigMap without its content; an annotation holds the digest."""
    return {key: value for key, value in config_map.items() if key != "data"}


def without_template(job: Manifest) -> Manifest:
    """Return a Job without its pod template."""
    if "spec" not in job:
        return job
    return job | {"spec": {key: value for key, value in job["spec"].items() if key != "template"}}


def without_measurements(autoscaler: Manifest) -> Manifest:
    """Return a HorizontalPodAutoscaler whose status is its conditions: what it measures changes four times a minute."""
    conditions = (autoscaler.get("status") or {}).get("conditions")
    return autoscaler | {"status": {"conditions": conditions} if conditions else {}}


def with_node_and_references(pod: Manifest) -> Manifest:
    """Return a pod whose spec is the name of its node, and what names Secrets and ConfigMaps: variables, and until it runs its pull secrets."""
    spec = pod.get("spec", {})
    named = [(found.get("name"), _references(found)) for found in spec.get("containers") or ()]
    kept: Manifest = {"nodeName": spec.get("nodeName")}
    if containers := [{"name": name, "env": env} for name, env in named if env]:
        kept["containers"] = containers
    if spec.get("imagePullSecrets") and (pod.get("status") or {}).get("phase") == "Pending":
        kept["imagePullSecrets"] = spec["imagePullSecrets"]
    return pod | {"spec": kept}


def _references(container: Manifest) -> list[Manifest]:
    """Return the variables of a container whose values the kubelet reads from other objects."""
    variables = container.get("env") or ()
    return [found for found in variables if not _OBJECTS.isdisjoint(found.get("valueFrom") or ())]


def with_first_deletion(manifest: Manifest, known: Manifest | None) -> Manifest:
    """Return a pod with its first deletion request, if an earlier version of it was being deleted. Other kinds stay as they are."""
    before = known["metadata"] if known else {}
    if (
        manifest["kind"] != "Pod"
        or "deletionTimestamp" not in before
        or before.get("uid") != manifest["metadata"].get("uid")
    ):
        return manifest
    first = before.get(FIRST_DELETION) or {name: before[name] for name in _DELETION_FIELDS if name in before}
    return manifest | {"metadata": manifest["metadata"] | {FIRST_DELETION: first}}
