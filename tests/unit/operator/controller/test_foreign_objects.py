"""Objects of somebody else under our names and labels: they are not written to, not counted, and not taken for ours."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from observed_jobs import a_job
from operator_harness import OperatorHarness

from tuneloop_api.contract.progress import ProgressMessage
from tuneloop_operator.controller.carry_out import carry_out
from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.observe.fine_tune_job import observe
from tuneloop_operator.decide.decision import Decision
from tuneloop_operator.errors import NameConflict
from tuneloop_operator.state.observed import Facts

OWNER = {"kind": "FineTuneJob", "metadata": {"name": "r", "namespace": "n", "uid": "u-r", "resourceVersion": "1"}}


def a_child(kind: str, name: str, *, owner: str, **labels: str) -> dict[str, Any]:
    stage = {"tuneloop.dev/job": "r", "tuneloop.dev/stage": "train", "tuneloop.dev/attempt": "1"}
    metadata = {
        "name": name,
        "namespace": "n",
        "uid": f"u-{name}",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T12:00:00Z",
        "labels": stage | {"app.kubernetes.io/managed-by": "tuneloop"} | labels,
        "ownerReferences": [{"uid": owner, "controller": True}],
    }
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": {}}


@pytest.mark.parametrize(("owner", "is_written"), [("u-r", True), ("u-somebody", False)])
def test_an_object_of_another_owner_is_never_applied_over(
    harness: OperatorHarness, owner: str, is_written: bool
) -> None:
    harness.cluster.add(a_child("Service", "r-train", owner=owner))
    decision = Decision(apply=(a_child("Service", "r-train", owner="u-r"),))
    writing = carry_out(decision, owner=OWNER, cluster=harness.cluster, store=new_store())
    if is_written:
        asyncio.run(writing)
    else:
        with pytest.raises(NameConflict, match="Service r-train is not ours: it has another owner"):
            asyncio.run(writing)
    assert (("apply", "Service", "r-train") in harness.cluster.writes) is is_written


@pytest.mark.parametrize(("owner", "is_ours"), [("u-r", True), ("u-somebody", False)])
def test_an_object_that_is_there_already_is_ours_only_if_we_own_it(
    harness: OperatorHarness, owner: str, is_ours: bool
) -> None:
    """Ours is a create whose answer was lost."""
    store = new_store()
    harness.cluster.add(a_child("Job", "r-a1", owner=owner))
    decision = Decision(create=(a_child("Job", "r-a1", owner="u-r"),))
    writing = carry_out(decision, owner=OWNER, cluster=harness.cluster, store=store)
    if is_ours:
        asyncio.run(writing)
    else:
        with pytest.raises(NameConflict, match="Job r-a1 is not ours: it has another owner"):
            asyncio.run(writing)
    assert (store.get("Job", namespace="n", name="r-a1") is not None) is is_ours


@pytest.mark.parametrize(("owner", "is_ours"), [("u-r", True), ("u-earlier", False)])
def test_children_of_an_earlier_job_of_the_name_are_not_observed(owner: str, is_ours: bool) -> None:
    store, manifest = new_store(), a_job().to_wire() | {"kind": "FineTuneJob"}
    manifest["metadata"] = OWNER["metadata"]
    for child in (manifest, a_child("Job", "r-a1", owner=owner), a_child("ConfigMap", "r-a1", owner=owner)):
        store.put(child)
    found = observe(store, manifest, Facts())
    assert bool(found.jobs) is is_ours
    assert bool(found.present) is is_ours


def test_a_live_read_that_finds_another_job_of_the_name_forgets_the_first(harness: OperatorHarness) -> None:
    """The watch has not reported yet that the first one was deleted; nothing that its pods reported may stay in memory."""
    message = {"version": 1, "stage": "train", "attempt": 1, "sequence": 1, "sentAt": "2026-01-01T00:00:00Z"}

    async def life() -> None:
        await harness.train()
        first = harness.job()["metadata"]["uid"]
        harness.operator.progress("team-a", "reviews", ProgressMessage.from_wire(message))
        harness.cluster.watchers.clear()
        failed_gang = harness.cluster.objects["Job", "team-a", "reviews-a1"]
        harness.cluster.remove(harness.job())
        harness.submit()
        condition = {"type": "FailureTarget", "status": "True", "lastTransitionTime": harness.stamp()}
        version = {"resourceVersion": "1000"}
        harness.operator.on_event(
            "MODIFIED",
            failed_gang | {"metadata": failed_gang["metadata"] | version, "status": {"conditions": [condition]}},
        )
        await harness.settle(later=100)
        assert harness.operator.store.get("FineTuneJob", namespace="team-a", name="reviews")["metadata"]["uid"] != first
        assert harness.operator.store.progress(first) is None

    asyncio.run(life())
