"""The store never goes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_api.contract.progress import ProgressMessage
from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.store import Store

JOB = "tuneloop.dev/job"


def pod(version: str, *, uid: str = "1", name: str = "p", job: str = "reviews") -> dict[str, Any]:
    metadata = {"namespace": "n", "name": name, "uid": uid, "resourceVersion": version, "labels": {JOB: job}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {}}


def versions(store: Store, job: str = "reviews") -> list[str]:
    return [found["metadata"]["resourceVersion"] for found in store.labelled(JOB, job, namespace="n", kind="Pod")]


@given(st.permutations(["2", "9", "10", "11"]))
def test_the_newest_version_stays_whatever_the_order(order: list[str]) -> None:
    store = new_store()
    for version in order:
        store.put(pod(version))
    assert versions(store) == ["11"]


@given(st.permutations([("put", "10"), ("put", "11"), ("remove", "12")]))
def test_a_deleted_object_never_comes_back(order: list[tuple[str, str]]) -> None:
    store = new_store()
    for action, version in order:
        (store.put if action == "put" else store.remove)(pod(version))
    assert versions(store) == []


def test_a_new_object_of_the_same_name_is_another_one() -> None:
    store = new_store()
    store.put(pod("10"))
    store.put(pod("20", uid="2"))
    store.remove(pod("15"))  # the deletion of the old one comes late
    assert versions(store) == ["20"]


def test_versions_that_are_no_numbers_follow_the_order_of_arrival() -> None:
    store = new_store()
    store.put(pod("zz"))
    store.put(pod("aa"))
    assert versions(store) == ["aa"]


def test_what_two_objects_have_in_common_is_held_once() -> None:
    store = new_store()
    for name in ("p", "q"):
        store.put(json.loads(json.dumps(pod("1", uid=name, name=name) | {"status": {"phase": "Running"}})))
    first, second = (store.get("Pod", namespace="n", name=name) or {} for name in ("p", "q"))
    assert first["status"]["phase"] is second["status"]["phase"]
    assert next(iter(first["status"])) is next(iter(second["status"]))


def test_a_stored_object_does_not_change_with_the_reported_one() -> None:
    store, shown = new_store(), pod("1")
    store.put(shown)
    shown["metadata"]["labels"][JOB] = "other"
    assert versions(store) == ["1"]
    assert (store.get("Pod", namespace="n", name="p") or {})["metadata"]["labels"] == {JOB: "reviews"}


def test_a_changed_label_moves_the_object() -> None:
    store = new_store()
    store.put(pod("1"))
    store.put(pod("2", job="other"))
    assert (versions(store), versions(store, "other")) == ([], ["2"])


def deployment(version: str, source: str | None) -> dict[str, Any]:
    metadata = {"namespace": "n", "name": "api", "uid": "1", "resourceVersion": version}
    model: dict[str, Any] = {"uri": "pvc://models/a"} if source is None else {"fineTuneJobRef": {"name": source}}
    return {"apiVersion": "v1", "kind": "ModelDeployment", "metadata": metadata, "spec": {"model": model}}


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        pytest.param(["reviews"], 1, id="that refer to it"),
        pytest.param(["other"], 0, id="not those of another job"),
        pytest.param([None], 0, id="not those that refer to none"),
        pytest.param(["reviews", "other"], 0, id="not those that did so before"),
        pytest.param(["other", "reviews"], 1, id="those that do so now"),
    ],
)
def test_a_jobs_deployments_are_those(sources: list[str | None], found: int) -> None:
    store = new_store()
    for number, source in enumerate(sources):
        store.put(deployment(str(number), source))
    assert len(list(store.referring("FineTuneJob", "reviews", namespace="n"))) == found


def test_a_live_list_takes_away_what_is_gone_but_not_what_came_meanwhile() -> None:
    store = new_store()
    store.put(pod("1", uid="1", name="gone"))
    store.put(pod("2", uid="2", name="stays"))
    before = list(store.labelled(JOB, "reviews", namespace="n"))
    store.put(pod("9", uid="9", name="came-meanwhile"))
    store.replace(before, [pod("3", uid="2", name="stays")])
    assert sorted(versions(store)) == ["3", "9"]


def gang_pod(**status: Any) -> dict[str, Any]:
    plain = pod("10")
    owner = {"kind": "Job", "name": "reviews-a1", "uid": "j"}
    return plain | {"metadata": plain["metadata"] | {"ownerReferences": [owner]}, "status": status}


def gang(attempt: int, uid: str) -> dict[str, Any]:
    metadata = {"namespace": "n", "name": f"reviews-a{attempt}", "uid": uid, "resourceVersion": "5"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata | {"labels": {JOB: "reviews"}}}


GANG, NEXT_GANG = gang(1, "j"), gang(2, "k")
FINE_TUNE_JOB = {
    "kind": "FineTuneJob",
    "metadata": {"namespace": "n", "name": "reviews", "uid": "f", "resourceVersion": "1"},
}
ENDED = {"containerStatuses": [{"state": {"terminated": {"exitCode": 79}}}]}
DISRUPTED = {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}


@pytest.mark.parametrize(
    ("status", "kept"), [(ENDED, 1), (DISRUPTED, 1), ({"phase": "Failed"}, 1), ({"phase": "Running"}, 0)]
)
def test_a_pod_that_shows_why_it_ended_is_kept_until_the_next_job_of_its_owner_is_gone_too(
    status: dict[str, Any], kept: int
) -> None:
    store = new_store()
    store.put(FINE_TUNE_JOB)
    store.put(GANG)
    store.put(gang_pod(**status))
    store.remove(gang_pod(**status))
    assert len(list(store.terminated_pods("j"))) == kept
    store.remove(GANG)
    assert len(list(store.terminated_pods("j"))) == kept
    store.put(NEXT_GANG)
    store.remove(NEXT_GANG)
    assert list(store.terminated_pods("j")) == []


def test_a_pod_that_outlives_its_job_is_kept_as_long_as_its_fine_tune_job() -> None:
    store = new_store()
    store.put(FINE_TUNE_JOB)
    store.put(GANG)
    store.put(gang_pod(**ENDED))
    store.remove(GANG)
    store.remove(gang_pod(**ENDED))
    assert len(list(store.terminated_pods("j"))) == 1
    store.remove(FINE_TUNE_JOB)
    assert list(store.terminated_pods("j")) == []


def test_nothing_is_kept_of_a_gang_whose_fine_tune_job_was_deleted_first() -> None:
    store = new_store()
    store.put(FINE_TUNE_JOB)
    store.put(GANG)
    store.put(gang_pod(**ENDED))
    store.remove(gang_pod(**ENDED))
    store.remove(FINE_TUNE_JOB)
    store.remove(GANG)
    assert list(store.terminated_pods("j")) == []


def test_what_no_decision_depends_on_is_not_kept() -> None:
    store = new_store()
    plain = [
        {"name": "A", "value": "x" * 1000},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    store.put(pod("1") | {"spec": {"nodeName": "node-1", "containers": [{"image": "x" * 1000, "env": plain}]}})
    (kept,) = store.labelled(JOB, "reviews", namespace="n")
    assert kept["spec"] == {"nodeName": "node-1"}


def test_of_the_variables_of_a_pod_those_that_other_objects_hold_are_kept() -> None:
    store = new_store()
    variables = [{"name": kind, "valueFrom": {kind: {"name": "a", "key": "b"}}} for kind in ("secretKeyRef", "configMapKeyRef")]  # fmt: skip
    container = {"name": "trainer", "image": "x" * 1000, "env": [{"name": "A", "value": "x" * 1000}, *variables]}
    store.put(pod("1") | {"spec": {"nodeName": "node-1", "containers": [{"name": "other"}, container]}})
    (kept,) = store.labelled(JOB, "reviews", namespace="n")
    assert kept["spec"] == {"nodeName": "node-1", "containers": [{"name": "trainer", "env": variables}]}


def message(stage: str, *, attempt: int = 0, sequence: int = 1, second: int = 0) -> ProgressMessage:
    wire = {"stage": stage, "attempt": attempt, "sequence": sequence, "sentAt": f"2026-01-01T00:00:{second:02}Z"}
    return ProgressMessage.from_wire(wire)


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        pytest.param(message("train", attempt=1), message("train", attempt=1, sequence=2), True, id="the next"),
        pytest.param(
            message("train", attempt=1, sequence=2), message("train", attempt=1), False, id="one that came late"
        ),
        pytest.param(message("train", attempt=2), message("train", attempt=1, sequence=9), False, id="an old attempt"),
        pytest.param(message("train", attempt=1, sequence=9), message("train", attempt=2), True, id="a new attempt"),
        pytest.param(message("train", attempt=3), message("export"), True, id="a later stage"),
        pytest.param(message("export"), message("train", attempt=3, sequence=9), False, id="an earlier stage"),
        pytest.param(
            message("prepare", sequence=9), message("prepare", second=5), True, id="the same stage, run again"
        ),
    ],
)
def test_only_a_newer_message_replaces_the_stored_one(
    first: ProgressMessage, second: ProgressMessage, taken: bool
) -> None:
    store = new_store()
    assert store.put_progress("uid", first)
    assert store.put_progress("uid", second) is taken
    assert store.progress("uid") == (second if taken else first)


def test_an_object_that_refers_to_another_in_two_fields_can_change_and_go() -> None:
    store = new_store()
    reference = {"name": "reviews"}
    deployment = {
        "kind": "ModelDeployment",
        "metadata": {"name": "api", "namespace": "n", "uid": "1"},
        "spec": {"model": {"fineTuneJobRef": reference}, "retraining": {"jobTemplateRef": reference}},
    }
    versions = [deployment | {"metadata": deployment["metadata"] | {"resourceVersion": v}} for v in ("1", "2")]
    for version in versions:
        store.put(version)
    assert [found["metadata"]["name"] for found in store.referring("FineTuneJob", "reviews", namespace="n")] == ["api"]
    store.remove(versions[-1])
    assert list(store.referring("FineTuneJob", "reviews", namespace="n")) == []
