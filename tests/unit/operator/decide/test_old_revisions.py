"""Revisions beyond the history limit are deleted: the oldest first, and only after a look at the API server itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_api.v1alpha1.model_deployment.status import ModelDeploymentStatus
from tuneloop_operator.decide.decision import Decision, LiveChildren
from tuneloop_operator.decide.model_deployment import rolled
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.state.observed import ObservedDeployment

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def child(kind: str, revision: str, *, day: int) -> dict[str, Any]:
    labels = {"tuneloop.dev/revision": revision}
    metadata = {"uid": f"{kind}-{revision}", "labels": labels, "creationTimestamp": f"2026-01-0{day}T00:00:00Z"}
    return {"kind": kind, "metadata": metadata, "spec": {"replicas": 0}}


def decided(*, live: bool) -> Decision:
    """Return what is decided for three revisions of which the newest serves, and one more is kept."""
    status = {"rollout": {"strategy": "Recreate", "stable": "c", "split": {"generation": 1, "weights": [{"revision": "c", "weight": 100}]}}}  # fmt: skip
    manifest: dict[str, Any] = {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "api", "namespace": "team-a", "uid": "u"},
        "spec": {"model": {"fineTuneJobRef": {"name": "gone"}}, "rollout": {"revisionHistoryLimit": 1}},
        "status": status,
    }
    present = {
        (kind, f"api-{revision}"): child(kind, revision, day=day)
        for kind in ("Deployment", "ConfigMap")
        for day, revision in enumerate("abc", start=1)
    }
    found = ObservedDeployment(
        deployment=ModelDeployment.from_wire(manifest), manifest=manifest, present=present, live=live
    )
    return rolled.decide(found, None, lambda _: ModelDeploymentStatus(), now=NOW, settings=OperatorSettings())


def test_nothing_is_deleted_by_what_the_watch_reported_alone() -> None:
    assert decided(live=False) == Decision(needs=LiveChildren())


def test_the_oldest_revision_goes_with_all_its_objects() -> None:
    assert [(deletion.kind, deletion.name) for deletion in decided(live=True).delete] == [
        ("ConfigMap", "api-a"),
        ("Deployment", "api-a"),
    ]
