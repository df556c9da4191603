"""What the loop of retraining needs of other objects: which jobs it needs, and which deployments learn from which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_operator.controller.observe.feedback import feedback_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.controller.store import Store

_NEWEST = 2
"""Runs whose jobs are looked at: the one in flight, and the one before it, whose job may still have to be deleted."""


def retraining_jobs(manifest: Manifest) -> list[str]:
    """Return the names of the FineTuneJobs that the loop of a stored ModelDeployment needs; whether it fits the model is not known."""
    history = _mapping(_mapping(manifest.get("status")).get("retraining")).get("history")
    runs = history[-_NEWEST:] if isinstance(history, list) else []
    template = _mapping(_retraining(manifest).get("jobTemplateRef")).get("name")
    names = [template, *(_mapping(run).get("job") for run in runs)]
    return [name for name in dict.fromkeys(names) if isinstance(name, str) and name]


def learned_from(store: Store, *, namespace: str) -> dict[str, frozenset[str]]:
    """Return for each ModelDeployment of a namespace that retrains the names of those from which its runs learn."""
    return {
        manifest["metadata"]["name"]: frozenset(_teachers(store, manifest))
        for manifest in store.of_kind("ModelDeployment", namespace=namespace)
        if _retraining(manifest).get("enabled") is True
    }


def added_feedback(manifest: Manifest) -> Iterator[str]:
    """Yield the deployments whose feedback a stored ModelDeployment adds to its runs."""
    yield from feedback_names(_retraining(manifest).get("data"))


def _teachers(store: Store, manifest: Manifest) -> Iterator[str]:
    """Yield the deployments whose feedback is read, and those whose loop has made the template or the model."""
    namespace, spec = manifest["metadata"]["namespace"], manifest["spec"]
    template = _mapping(_retraining(manifest).get("jobTemplateRef")).get("name")
    model = _mapping(_mapping(spec.get("model")).get("fineTuneJobRef")).get("name")
    yield from added_feedback(manifest)
    for name in (template, model):
        job = store.get("FineTuneJob", namespace=namespace, name=name) if isinstance(name, str) else None
        if job is None:
            continue
        for owner in job["metadata"].get("ownerReferences") or ():
            if owner["kind"] == "ModelDeployment" and owner["name"] != manifest["metadata"]["name"]:
                yield owner["name"]
        if name == template:
            yield from feedback_names(_mapping(_mapping(job.get("spec")).get("data")).get("train"))


def _retraining(manifest: Manifest) -> dict[str, Any]:
    return _mapping(_mapping(manifest.get("spec")).get("retraining"))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
