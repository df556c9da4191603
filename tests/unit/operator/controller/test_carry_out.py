"""A decision is carried out, and the store gets every reply."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from operator_harness import OperatorHarness

from tuneloop_operator.controller.carry_out import carry_out
from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.store import Store
from tuneloop_operator.decide.decision import Decision, Deletion
from tuneloop_operator.errors import ClusterUnavailable

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest


def stored_job(harness: OperatorHarness) -> tuple[Manifest, Store]:
    """Return a finished job with a child, as the API server has it, and a store that holds both."""
    harness.submit()
    job = harness.job()
    owner = {"kind": "FineTuneJob", "name": "reviews", "uid": job["metadata"]["uid"], "controller": True}
    metadata = {"name": "reviews-a1", "namespace": "team-a", "labels": {}, "ownerReferences": [owner]}
    child = harness.cluster.add({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {}})
    store = new_store()
    for manifest in (job, child):
        store.put(manifest)
    return job, store


def end(job: Manifest, **fields: Any) -> Decision:
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    return Decision(delete=(Deletion(kind="FineTuneJob", name=name, uid=uid),), **fields)


@pytest.mark.parametrize("status", [None, {"phase": "Succeeded"}], ids=["at once", "after a last status"])
def test_a_job_is_deleted_with_its_children_and_forgotten(harness: OperatorHarness, status: Manifest | None) -> None:
    job, store = stored_job(harness)
    asyncio.run(carry_out(end(job, status=status), owner=job, cluster=harness.cluster, store=store))
    assert harness.cluster.objects == {}
    assert store.get("FineTuneJob", namespace="team-a", name="reviews") is None


def test_a_late_event_of_a_deleted_job_changes_nothing(harness: OperatorHarness) -> None:
    job, store = stored_job(harness)
    asyncio.run(carry_out(end(job, status={"phase": "Succeeded"}), owner=job, cluster=harness.cluster, store=store))
    late = job | {"metadata": job["metadata"] | {"resourceVersion": "3"}}
    store.put(late)
    assert store.get("FineTuneJob", namespace="team-a", name="reviews") is None


def test_a_new_job_of_the_same_name_is_left_alone(harness: OperatorHarness) -> None:
    job, store = stored_job(harness)
    harness.cluster.remove(job)
    harness.submit()
    another = harness.job()
    asyncio.run(carry_out(end(job), owner=job, cluster=harness.cluster, store=store))
    assert harness.job() == another


def test_a_job_whose_deletion_has_no_answer_is_not_forgotten(harness: OperatorHarness) -> None:
    job, store = stored_job(harness)
    harness.cluster.fail_write = 0
    with pytest.raises(ClusterUnavailable):
        asyncio.run(carry_out(end(job), owner=job, cluster=harness.cluster, store=store))
    assert store.get("FineTuneJob", namespace="team-a", name="reviews") is not None
