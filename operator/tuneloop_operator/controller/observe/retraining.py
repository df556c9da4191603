"""What the loop of retraining needs of other objects: which jobs it needs, and which deployments learn from which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_operator.controller.manifest_blocks import mapping
from tuneloop_operator.controller.observe.feedback import feedback_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.controller.store import Store

_NEWEST = 2
"""Runs whose jobs are looked at: the one in flight, and the one before it, whose job may still have to be deleted."""


def retraining_jobs(manifest: Manifest) -> list[str]:
    """Return the names of the FineTuneJobs that the loop of a stored ModelDeployment needs; whether it fits the model is not known."""
    history = mapping(mapping(manifest.get("status")).get("retraining")).get("history")
    runs = history[-_NEWEST:] if isinstance(history, list) else []
    template = mapping(_retraining(manifest).get("jobTemplateRef")).get("name")
    names = [template, *(mapping(run).get("job") for run in runs)]
    return [name for name in dict.fromkeys(names) if isinstance(name, str) and name]


def learned_from(store: Store, *, namespace: str, name: str) -> dict[str, frozenset[str]]:
    """Return the names from which the runs of a ModelDeployment learn, and the same of each of those that retrains, and so on.

    The others of the namespace are not looked at: there may be thousands, each of which is looked at twice a minute.
    """
    graph: dict[str, frozenset[str]] = {}
    waiting = [name]
    while waiting:
        learner = waiting.pop()
        manifest = store.get("ModelDeployment", namespace=namespace, name=learner)
        if learner not in graph and manifest is not None and _retraining(manifest).get("enabled") is True:
            graph[learner] = frozenset(_teachers(store, manifest))
            waiting.extend(graph[learner])
    return graph


def added_feedback(manifest: Manifest) -> Iterator[str]:
    """Yield the deployments whose feedback a stored ModelDeployment adds to its runs."""
    yield from feedback_names(_retraining(manifest).get("data"))


def _teachers(store: Store, manifest: Manifest) -> Iterator[str]:
    """Yield the deployments whose feedback is read, and those whose loop has made the template or the model."""
    namespace, spec = manifest["metadata"]["namespace"], manifest["spec"]
    template = mapping(_retraining(manifest).get("jobTemplateRef")).get("name")
    model = mapping(mapping(spec.get("model")).get("fineTuneJobRef")).get("name")
    yield from added_feedback(manifest)
    for name in (template, model):
        job = store.get("FineTuneJob", namespace=namespace, name=name) if isinstance(name, str) else None
        if job is None:
            continue
        for owner in job["metadata"].get("ownerReferences") or ():
            if owner["kind"] == "ModelDeployment" and owner["name"] != manifest["metadata"]["name"]:
                yield owner["name"]
        if name == template:
            yield from feedback_names(mapping(mapping(job.get("spec")).get("data")).get("train"))


def _retraining(manifest: Manifest) -> dict[str, Any]:
    return mapping(mapping(manifest.get("spec")).get("retraining"))
