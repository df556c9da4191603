"""The conditions for tools, Ready, Reconciling, Stalled and Suspended, over every phase of both kinds.

What the tools make of these conditions is computed by their own code in `tests/component/operator/test_kstatus.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from observed_jobs import NOW, SETTINGS, STAMP, a_job, gang_job, observed, seconds
from tool_objects import (
    CONFLICT,
    ENDED,
    FAILED,
    GENERATION,
    PREPARING,
    PUBLISHED,
    TRAINING,
    ToolObject,
    deployment_after,
    every_object,
    job_after,
)

from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus, JobPhase
from tuneloop_api.v1alpha1.model_deployment.status import DeploymentPhase, ModelDeploymentStatus
from tuneloop_operator.decide.fine_tune_job.job import decide
from tuneloop_operator.status.fine_tune_job.job import shown

OBJECTS = every_object()
GOLDEN = Path(__file__).parents[3] / "golden" / "wire"
SUSPEND = {"suspend": True}
SELECTOR = "tuneloop.dev/deployment=api,tuneloop.dev/revision"
LATER = "2026-01-01T12:01:00Z"


def of_kind(kind: str) -> list[ToolObject]:
    return [found for found in OBJECTS if found.manifest["kind"] == kind]


def words(manifest: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return status and reason of the conditions for tools."""
    types = ("Ready", "Reconciling", "Stalled", "Suspended")
    found = {condition["type"]: condition for condition in manifest["status"]["conditions"]}
    return {type_: (found[type_]["status"], found[type_]["reason"]) for type_ in types if type_ in found}


@pytest.mark.parametrize(("kind", "phases"), [("FineTuneJob", JobPhase), ("ModelDeployment", DeploymentPhase)])
def test_every_phase_is_among_the_objects(kind: str, phases: Any) -> None:
    assert {found.status.get("phase") for found in of_kind(kind)} >= set(get_args(phases))


@pytest.mark.parametrize("found", OBJECTS, ids=lambda found: f"{found.manifest['kind']} {found.name}")
def test_the_conditions_of_every_state(found: ToolObject) -> None:
    if found.name in {"new", "changed"}:
        return  # the generation decides
    abnormal = {"InProgress": {"Reconciling"}, "Failed": {"Stalled"}, "Current": set()}[found.kstatus]
    assert found.conditions.keys() & {"Reconciling", "Stalled"} == abnormal
    assert all(found.conditions[name]["status"] == "True" for name in abnormal)
    assert found.status["observedGeneration"] == GENERATION
    if found.health == "Suspended":
        assert "Ready" not in found.conditions
    elif found.kstatus == "Current":
        assert found.conditions["Ready"]["status"] == "True"
    elif found.manifest["kind"] == "FineTuneJob":
        assert found.conditions["Ready"]["status"] == "False"


def test_a_suspended_job_says_so_until_it_is_resumed() -> None:
    suspended = job_after(ENDED, spec=SUSPEND)
    assert words(suspended) == {"Suspended": ("True", "Suspended")}
    before = ENDED | {"conditions": suspended["status"]["conditions"]}
    resumed = job_after(before)
    assert words(resumed) == {
        "Ready": ("False", "Restarting"),
        "Reconciling": ("True", "Restarting"),
        "Suspended": ("False", "Resumed"),
    }
    assert words(job_after(before | {"conditions": resumed["status"]["conditions"]}, spec=SUSPEND)) == words(suspended)
    kept = [found for found in before["conditions"] if found["type"] == "Suspended"]
    failed = job_after(FAILED | {"conditions": [*FAILED["conditions"], *kept]}, spec=SUSPEND)
    assert words(failed)["Suspended"] == ("False", "Finished")
    assert "Suspended" not in words(job_after(ENDED))


def test_a_blocker_does_not_stall_a_job_that_is_to_rest() -> None:
    (conflict,) = [found for found in of_kind("FineTuneJob") if found.name == "held up by a name"]
    assert words(conflict.manifest)["Stalled"] == ("True", "NameConflict")
    assert words(job_after(conflict.status, spec=SUSPEND)) == {"Suspended": ("True", "Suspended")}


def test_a_refused_job_that_is_mended_while_it_is_suspended_is_accepted() -> None:
    (refused,) = [found for found in of_kind("FineTuneJob") if found.name == "refused and suspended"]
    mended = a_job(refused.status, suspend=True)
    status = decide(observed(mended), now=NOW, settings=SETTINGS).status
    assert status is not None
    assert words({"status": status}) == {"Suspended": ("True", "Suspended")}
    assert ("Accepted", "True") in [(found["type"], found["status"]) for found in status["conditions"]]


def test_a_blocker_does_not_stall_a_job_whose_gang_is_there() -> None:
    blocked = job_after(TRAINING, jobs=(gang_job(),), blocker=CONFLICT)
    assert "NameConflict" in {found["type"] for found in blocked["status"]["conditions"]}
    assert words(blocked) == {"Ready": ("False", "Queued"), "Reconciling": ("True", "Queued")}


def test_the_reasons_are_those_of_the_conditions_that_they_repeat() -> None:
    assert words(job_after(FAILED)) == {"Ready": ("False", "Data"), "Stalled": ("True", "Data")}
    assert words(job_after(PUBLISHED)) == {"Ready": ("True", "Published")}
    reasons = {found.name: words(found.manifest) for found in of_kind("ModelDeployment")}
    assert reasons["overdue"] == {"Ready": ("False", "Loading"), "Stalled": ("True", "ProgressDeadlineExceeded")}
    assert reasons["refused"] == {"Ready": ("False", "NotAnArtifact"), "Stalled": ("True", "NotAnArtifact")}
    assert reasons["refused, and another model serves"]["Ready"] == ("True", "AllReady")
    assert reasons["no job"] == {"Ready": ("False", "NoModel"), "Reconciling": ("True", "JobNotFound")}


def test_reconciling_and_stalled_take_turns() -> None:
    running = job_after(TRAINING)["status"]["conditions"]
    failed = job_after(FAILED | {"conditions": [*running, *FAILED["conditions"]]})
    assert words(failed) == {"Ready": ("False", "Data"), "Stalled": ("True", "Data")}
    blocked = job_after({}, blocker=CONFLICT)["status"]["conditions"]
    prepared = job_after(PREPARING | {"conditions": blocked})
    assert words(prepared) == {"Ready": ("False", "Preparing"), "Reconciling": ("True", "Preparing")}


def test_a_long_message_is_cut_for_tools_alone() -> None:
    (condition,) = FAILED["conditions"]
    failed = job_after(FAILED | {"conditions": [condition | {"message": "m" * 501}]})
    messages = {found["type"]: found["message"] for found in failed["status"]["conditions"]}
    assert messages["Stalled"] == messages["Ready"] == "m" * 499 + "…"
    assert messages["Failed"] == "m" * 501


def test_a_transition_time_is_kept_from_phase_to_phase_and_starts_again_with_the_status() -> None:
    queued = job_after(ENDED)["status"]
    running = FineTuneJobStatus.from_wire(queued | {"children": queued["children"] | {"train": {"name": "r-a1", "uid": "u-a1"}}})  # fmt: skip
    later = shown(observed(a_job(running.to_wire()), jobs=(gang_job(),)), running, now=NOW + seconds(60)).to_wire()
    times = {found["type"]: (found["reason"], found["lastTransitionTime"]) for found in later["conditions"]}
    assert times["Ready"] == times["Reconciling"] == ("Queued", STAMP)
    done = FineTuneJobStatus.from_wire(later | {"conditions": [*later["conditions"], *PUBLISHED["conditions"]]})
    over = shown(observed(a_job(done.to_wire())), done, now=NOW + seconds(60)).to_wire()
    assert next(found["lastTransitionTime"] for found in over["conditions"] if found["type"] == "Ready") == LATER


@pytest.mark.parametrize("found", OBJECTS, ids=lambda found: f"{found.manifest['kind']} {found.name}")
def test_the_status_of_every_state_stays_as_it_is(found: ToolObject) -> None:
    """Return to the same object later: nothing is to be written."""
    if found.name in {"new", "changed", "unreadable"} or found.manifest["kind"] != "FineTuneJob":
        return
    again = job_after(found.status, spec=found.manifest["spec"])
    later = job_after(again["status"], spec=found.manifest["spec"])
    assert later["status"] == again["status"]


@pytest.mark.parametrize("extent", ["minimal", "full"])
@pytest.mark.parametrize("release", sorted(path.name for path in GOLDEN.iterdir()))
def test_a_status_of_an_earlier_release_gets_the_conditions(release: str, extent: str) -> None:
    job = json.loads((GOLDEN / release / f"fine-tune-job-status.{extent}.json").read_text())
    before = FineTuneJobStatus.from_wire(job).to_wire()
    first = job_after(before)
    assert words(first).keys() & {"Ready", "Reconciling", "Stalled", "Suspended"}
    assert job_after(first["status"]) == first
    deployment = json.loads((GOLDEN / release / f"model-deployment-status.{extent}.json").read_text())
    served = deployment_after(ModelDeploymentStatus.from_wire(deployment).to_wire())
    assert words(served).keys() & {"Reconciling", "Stalled", "Ready"}
    assert served["status"].keys() <= deployment.keys() | {
        "observedGeneration",
        "phase",
        "conditions",
        "stable",
        "ready",
        "url",
    }


def test_the_pods_of_all_revisions_are_counted_for_the_scale() -> None:
    for servers, replicas in (({"replicas": 2}, 2), ({}, 0)):
        status = deployment_after(spec={"replicas": 3}, servers=servers)["status"]
        assert (status["replicas"], status["selector"]) == (replicas, SELECTOR)


def test_a_deployment_that_names_no_number_has_no_scale_and_a_status_for_the_release_before() -> None:
    assert not {"replicas", "selector"} & deployment_after()["status"].keys()
    scaled = deployment_after(spec={"replicas": 3})["status"]
    assert not {"replicas", "selector"} & deployment_after(scaled)["status"].keys()
