"""A decision is carried out, and the store gets every reply."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from operator_harness import OperatorHarness

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_operator.controller.carry_out import carry_out
from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.store import Store
from tuneloop_operator.decide.decision import Decision, Deletion, Scaling
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.network_policy import job_policy
from tuneloop_operator.desired.fine_tune_job.stage_job import stage_job
from tuneloop_operator.errors import ClusterUnavailable, Conflict
from tuneloop_operator.settings.operator import OperatorSettings

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest

SETTINGS = OperatorSettings(default_claim="models")


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


def test_what_shields_pods_is_there_before_their_job_and_the_status_that_names_it_before_both(
    harness: OperatorHarness,
) -> None:
    harness.submit()
    job, written = harness.job(), list[str]()
    harness.cluster.watchers.append(lambda _, manifest: written.append(manifest["kind"]))
    made = FineTuneJob.from_wire(job)
    storage = storage_of(made.spec, default_claim="models")
    assert storage is not None
    decision = Decision(
        status={"phase": "Preparing"},
        apply=(job_policy(made, settings=SETTINGS),),
        create=(stage_job(made, stage="prepare", storage=storage, settings=SETTINGS),),
    )
    asyncio.run(carry_out(decision, owner=job, cluster=harness.cluster, store=new_store()))
    assert written == ["FineTuneJob", "NetworkPolicy", "Job"]


def test_what_pods_mount_is_there_before_the_deployment_that_makes_them(harness: OperatorHarness) -> None:
    harness.submit(name="owner")
    owner = harness.job("owner")
    metadata = {"namespace": "team-a", "name": "reviews-7f3a", "labels": {}}
    servers = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {}}
    configuration = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    decision = Decision(apply=(servers,), create=(configuration,))
    asyncio.run(carry_out(decision, owner=owner, cluster=harness.cluster, store=new_store()))
    assert [kind for _, kind, _ in harness.cluster.writes] == ["ConfigMap", "Deployment"]


def every_write(harness: OperatorHarness, job: Manifest) -> Decision:
    """Return a decision with a write of each sort. It deletes the child."""
    child = harness.cluster.of_kind("Job")["reviews-a1"]
    owner = {"kind": "FineTuneJob", "name": "reviews", "uid": job["metadata"]["uid"], "controller": True}
    metadata = {"namespace": "team-a", "labels": {}, "ownerReferences": [owner]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata | {"name": "reviews-train"}}
    attempt = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata | {"name": "reviews-a2"}, "spec": {}}
    return Decision(
        status={"phase": "Running"},
        delete=(Deletion(kind="Job", name="reviews-a1", uid=child["metadata"]["uid"]),),
        apply=(service,),
        create=(attempt,),
    )


def test_the_status_is_written_before_anything_else(harness: OperatorHarness) -> None:
    """An operator that dies in between must find in the status what it may have deleted and created."""
    job, store = stored_job(harness)
    asyncio.run(carry_out(every_write(harness, job), owner=job, cluster=harness.cluster, store=store))
    assert [(verb, kind) for verb, kind, _ in harness.cluster.writes] == [
        ("patch_status", "FineTuneJob"), ("delete", "Job"), ("apply", "Service"), ("create", "Job"),
    ]  # fmt: skip


def test_where_the_status_cannot_be_written_nothing_is_carried_out(harness: OperatorHarness) -> None:
    """Somebody has changed the job since it was decided on: it may be suspended now."""
    job, store = stored_job(harness)
    harness.cluster.change(job, spec=job["spec"] | {"suspend": True})
    with pytest.raises(Conflict):
        asyncio.run(carry_out(every_write(harness, job), owner=job, cluster=harness.cluster, store=store))
    assert harness.cluster.writes == []


@pytest.mark.parametrize(("uid", "expected"), [("own", 0), ("another", 2)])
def test_a_deployment_is_scaled_by_its_uid_and_the_store_knows_it_at_once(
    harness: OperatorHarness, uid: str, expected: int
) -> None:
    job, store = stored_job(harness)
    metadata = {"name": "web", "namespace": "team-a", "labels": {}}
    web = harness.cluster.add(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": 2}}
    )
    store.put(web)
    chosen = web["metadata"]["uid"] if uid == "own" else uid
    decision = Decision(scale=(Scaling(name="web", uid=chosen, replicas=0),))
    asyncio.run(carry_out(decision, owner=job, cluster=harness.cluster, store=store))
    for found in (
        harness.cluster.objects["Deployment", "team-a", "web"],
        store.get("Deployment", namespace="team-a", name="web"),
    ):
        assert found is not None
        assert found["spec"]["replicas"] == expected
