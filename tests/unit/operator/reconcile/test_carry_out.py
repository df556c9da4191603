"""What was decided is done, and the store hears of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tuneloop_operator.controller.carry_out import carry_out
from tuneloop_operator.controller.store import Store
from tuneloop_operator.decide.decision import Decision, Deletion
from tuneloop_operator.errors import ClusterUnavailable

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest


def stored_job(bed: Any) -> tuple[Manifest, Store]:
    """Return a finished job with a child, as the API server has it, and a store that has heard of both."""
    bed.submit()
    job = bed.job()
    owner = {"kind": "FineTuneJob", "name": "reviews", "uid": job["metadata"]["uid"], "controller": True}
    metadata = {"name": "reviews-a1", "namespace": "team-a", "labels": {}, "ownerReferences": [owner]}
    child = bed.cluster.add({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {}})
    store = Store()
    for one in (job, child):
        store.put(one)
    return job, store


def end(job: Manifest, **fields: Any) -> Decision:
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    return Decision(delete=(Deletion(kind="FineTuneJob", name=name, uid=uid),), **fields)


@pytest.mark.parametrize("status", [None, {"phase": "Succeeded"}], ids=["at once", "after a last word"])
def test_a_job_is_deleted_with_its_children_and_forgotten(bed: Any, status: Manifest | None) -> None:
    job, store = stored_job(bed)
    asyncio.run(carry_out(end(job, status=status), owner=job, cluster=bed.cluster, store=store))
    assert bed.cluster.objects == {}
    assert store.get("FineTuneJob", namespace="team-a", name="reviews") is None


def test_what_the_watch_tells_late_of_a_deleted_job_changes_nothing(bed: Any) -> None:
    job, store = stored_job(bed)
    asyncio.run(carry_out(end(job, status={"phase": "Succeeded"}), owner=job, cluster=bed.cluster, store=store))
    late = job | {"metadata": job["metadata"] | {"resourceVersion": "3"}}
    store.put(late)
    assert store.get("FineTuneJob", namespace="team-a", name="reviews") is None


def test_a_new_job_of_the_same_name_is_left_alone(bed: Any) -> None:
    job, store = stored_job(bed)
    bed.cluster.remove(job)
    bed.submit()
    another = bed.job()
    asyncio.run(carry_out(end(job), owner=job, cluster=bed.cluster, store=store))
    assert bed.job() == another


def test_a_job_whose_deletion_has_no_answer_is_not_forgotten(bed: Any) -> None:
    job, store = stored_job(bed)
    bed.cluster.fail_write = 0
    with pytest.raises(ClusterUnavailable):
        asyncio.run(carry_out(end(job), owner=job, cluster=bed.cluster, store=store))
    assert store.get("FineTuneJob", namespace="team-a", name="reviews") is not None
