"""Where and under which number the next attempt runs, and what is created for it."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import NOW, PREPARED, TRAINING, a_job, gang_job, observed, pod_of, writes

from tuneloop_api.v1alpha1.fine_tune_job.failure_policy import FailurePolicy
from tuneloop_api.v1alpha1.fine_tune_job.spec import FineTuneJobSpec
from tuneloop_api.v1alpha1.fine_tune_job.status import Failure, FineTuneJobStatus
from tuneloop_api.wire.failure_class import FailureClass
from tuneloop_operator.decide.fine_tune_job.placement import replanned, with_bad_node
from tuneloop_operator.decide.fine_tune_job.restart import Action, action_of
from tuneloop_operator.settings.operator import OperatorSettings

WAITING = {key: value for key, value in TRAINING.items() if key != "attempt"} | {"children": PREPARED}
"""The status of a job whose data is prepared, before its first gang."""


@pytest.mark.parametrize(
    ("status", "there", "created"),
    [
        pytest.param({}, [], 1, id="the first"),
        pytest.param({"attempt": 3}, [], 3, id="its Job was never observed: the same number once more"),
        pytest.param({"attempt": 3}, [5], 6, id="a Job of a higher number is there, since the status was lost"),
        pytest.param({}, [2], 3, id="the whole status was lost"),
    ],
)
def test_a_number_is_never_used_twice(status: dict[str, Any], there: list[int], created: int) -> None:
    jobs = tuple(gang_job(number, outcome="Failed", outcome_since=NOW) for number in there)
    lines, new = writes(observed(a_job(WAITING | status), jobs=jobs, live=True))
    assert new is not None
    assert new["attempt"] == created
    assert f"create Job r-a{created}" in lines


def test_a_job_keeps_the_claim_that_it_began_with() -> None:
    job = a_job(WAITING)
    decided = [writes(observed(job, live=True), settings=OperatorSettings(default_claim=name)) for name in "ab"]
    assert decided[0][1] == decided[1][1]
    assert decided[0][1] is not None
    assert decided[0][1]["resolved"]["storageClaim"] == "models"


def test_pods_mount_the_claim_that_the_job_began_with() -> None:
    from tuneloop_operator.decide.fine_tune_job.job import decide

    decision = decide(observed(a_job(WAITING), live=True), now=NOW, settings=OperatorSettings(default_claim="new"))
    (job,) = [manifest for manifest in decision.create if manifest["kind"] == "Job"]
    volumes = job["spec"]["template"]["spec"]["volumes"]
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]
    assert claims == ["models"]


@pytest.mark.parametrize(("local", "kinds"), [(False, ["Service", "NetworkPolicy"]), (True, ["Service"])])
def test_a_gang_is_walled_off_where_there_is_a_network(local: bool, kinds: list[str]) -> None:
    settings = OperatorSettings(default_claim="models", local=local)
    lines, _ = writes(observed(a_job(WAITING), live=True), settings=settings)
    assert [line.split()[1] for line in lines if line.startswith("apply")] == kinds


@pytest.mark.parametrize(
    "kind", [FailureClass.START_DEADLINE, FailureClass.DEADLINE_EXCEEDED, FailureClass.BUDGET_EXCEEDED]
)
@pytest.mark.parametrize("rule", ["class", "exitCodes"])
def test_no_rule_undoes_an_end_that_the_spec_asks_for(kind: FailureClass, rule: str) -> None:
    matched = {"class": kind.value} if rule == "class" else {"exitCodes": [143]}
    policy = FailurePolicy.from_wire({"rules": [matched | {"action": "Restart"}]})
    assert action_of(Failure(failure_class=kind.value, exit_code=143), policy) is Action.FAIL


def test_the_first_rule_that_fits_decides() -> None:
    rules = [
        {"class": "Hang", "action": "Fail"},
        {"class": "Hang", "action": "RestartFree"},
        {"exitCodes": [9], "action": "RestartFree"},
    ]
    policy = FailurePolicy.from_wire({"rules": rules})
    assert action_of(Failure(failure_class="Hang"), policy) is Action.FAIL
    assert action_of(Failure(failure_class="Data", exit_code=9), policy) is Action.RESTART_FREE
    assert action_of(Failure(failure_class="Storage"), policy) is Action.RESTART


def lost(status: FineTuneJobStatus, node: str, kind: str = "NodeLost") -> list[str] | None:
    spec: FineTuneJobSpec = a_job().spec
    avoided = with_bad_node(spec, status, Failure(failure_class=kind, node=node))
    return None if avoided is None else [bad.name for bad in avoided]


def test_the_last_32_bad_nodes_are_avoided() -> None:
    nodes = [{"name": f"n{number}", "reason": "NodeLost"} for number in range(32)]
    status = FineTuneJobStatus.from_wire({"avoidedNodes": nodes})
    assert lost(status, "n32") == [f"n{number}" for number in range(1, 33)]


@pytest.mark.parametrize(
    ("kind", "history", "avoided"),
    [
        ("NodeLost", [], ["n"]),
        ("Hang", [], None),
        ("Hang", [{"attempt": 1, "node": "n", "class": "Storage"}], ["n"]),
        ("Hang", [{"attempt": 1, "node": "another", "class": "Hang"}], None),
        ("Hang", [{"attempt": 1, "node": "n", "class": "Evicted"}], None),
        ("Evicted", [{"attempt": 1, "node": "n", "class": "Hang"}], None),
    ],
)
def test_a_node_is_avoided_at_once_if_it_is_lost_and_else_at_the_second_failure(
    kind: str, history: list[dict[str, Any]], avoided: list[str] | None
) -> None:
    assert lost(FineTuneJobStatus.from_wire({"history": history}), "n", kind) == avoided


@pytest.mark.parametrize(
    ("placed", "least", "nodes"),
    [
        pytest.param(2, 1, 2, id="as many as have a node"),
        pytest.param(0, 1, 1, id="not below the least"),
        pytest.param(0, 2, 2, id="not below a least of two"),
        pytest.param(4, 1, 3, id="one less at least: the API server refuses the next pod"),
    ],
)
def test_a_gang_shrinks_to_the_nodes_that_it_found(placed: int, least: int, nodes: int) -> None:
    job = gang_job(refusal="exceeded quota")
    pods = tuple(
        pod_of(job, index, phase="Pending", node=f"n{index}" if index < placed else None, unschedulable="none left")
        for index in range(4)
    )
    spec = {
        "resources": {"nodes": 4, "gpusPerNode": 0},
        "scheduling": {"minNodes": least, "shrinkAfter": "1s"},
    }
    observed_job = observed(a_job(TRAINING, **spec), jobs=(job,), pods=pods)
    plan = replanned(observed_job, FineTuneJobStatus.from_wire(TRAINING), now=NOW.replace(minute=1))
    assert plan is not None
    assert plan.nodes == nodes
