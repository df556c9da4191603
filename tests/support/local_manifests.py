"""Manifests for the tests of local mode."""

from __future__ import annotations

from typing import Any

Manifest = dict[str, Any]


def job(name: str, *words: str, nodes: int = 1, grace: int = 30, **container: Any) -> Manifest:
    """Return an Indexed Job whose pods run a command."""
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": grace,
        "containers": [{"name": "main", "image": "none", "command": list(words)} | container],
    }
    spec = {"completionMode": "Indexed", "completions": nodes, "parallelism": nodes, "backoffLimit": 0}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec | {"template": {"spec": pod}},
    }


def fine_tune_job(name: str = "reviews", **spec: Any) -> Manifest:
    """Return a FineTuneJob; `spec` replaces blocks."""
    blocks: Manifest = {
        "model": {"uri": "pvc://demo/minilm"},
        "task": "text-classification",
        "data": {"train": [{"uri": "pvc://demo/rows.csv"}]},
        "storage": {"claim": "demo"},
    }
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": blocks | spec,
    }


def config_map(name: str = "settings", data: dict[str, str] | None = None, **fields: Any) -> Manifest:
    """Return a ConfigMap."""
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {"a": "1"}} | fields
