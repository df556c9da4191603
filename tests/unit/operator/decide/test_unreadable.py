"""The whole decision for a stored object that does not fit its model."""

from __future__ import annotations

from typing import Any

import pytest
from observed_jobs import NOW, STAMP, a_job
from pydantic import ValidationError

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_operator.decide.decision import Decision, Event
from tuneloop_operator.decide.unreadable import decide_unreadable, problems_of
from tuneloop_operator.state.observed import Blocker

ADVICE = "Nothing is changed until the object fits: correct it, or upgrade the operator."
BLOCKED = Blocker(reason="Refused", message="status.phase: Unsupported value")
EARLIER = "2026-01-01T11:00:00Z"


def unread(spec: dict[str, Any], status: Any = None, **metadata: Any) -> tuple[dict[str, Any], ValidationError]:
    """Return an object that does not fit, and the error of its model."""
    wire = a_job().to_wire()
    manifest = wire | {"spec": wire["spec"] | spec, "metadata": wire["metadata"] | {"generation": 3} | metadata}
    manifest |= {} if status is None else {"status": status}
    with pytest.raises(ValidationError) as caught:
        FineTuneJob.from_wire(manifest)
    return manifest, caught.value


def decided(spec: dict[str, Any], status: Any = None, *, blocker: Blocker | None = None, **metadata: Any) -> Decision:
    manifest, error = unread(spec, status, **metadata)
    return decide_unreadable(manifest, error, model=FineTuneJob, blocker=blocker, now=NOW)


def accepted(message: str, *, reason: str = "InvalidField", since: str = STAMP) -> dict[str, Any]:
    return {
        "type": "Accepted",
        "status": "False",
        "reason": reason,
        "message": f"{message}\n{ADVICE}",
        "lastTransitionTime": since,
    }


def stalled(message: str, *, reason: str = "InvalidField", since: str = STAMP) -> dict[str, Any]:
    return accepted(message, reason=reason, since=since) | {"type": "Stalled", "status": "True"}


NODES = "spec.resources.nodes: found 'two'; input should be a valid integer"
BROKEN: dict[str, Any] = {"resources": {"nodes": "two"}}


def test_it_is_reported_in_the_status_and_by_an_event() -> None:
    decision = decided(BROKEN)
    conditions = [accepted(NODES), stalled(NODES)]
    assert decision == Decision(
        status={"phase": "Pending", "conditions": conditions, "observedGeneration": 3},
        events=(Event(type="Warning", reason="InvalidField", message=NODES),),
    )
    assert decision.status is not None
    assert decided(BROKEN, decision.status) == Decision()
    assert "observedGeneration" not in (decided(BROKEN, generation=None).status or {})


def test_the_rest_of_the_status_stays() -> None:
    others = [{"type": "Prepared", "status": "True", "reason": "R", "message": "", "lastTransitionTime": EARLIER}]
    was_true = accepted("old", since=EARLIER) | {"status": "True"}
    status = {"phase": "Running", "attempt": 1, "conditions": [*others, was_true]}
    decision = decided(BROKEN, status)
    conditions = [accepted(NODES), *others, stalled(NODES)]
    assert decision.status == status | {"conditions": conditions, "observedGeneration": 3}


def test_an_object_that_was_on_its_way_is_stalled_and_stays_ready_if_it_was() -> None:
    ready = {"type": "Ready", "status": "True", "reason": "R", "message": "", "lastTransitionTime": EARLIER}
    decision = decided(BROKEN, {"conditions": [ready, ready | {"type": "Reconciling"}]})
    assert (decision.status or {})["conditions"] == [accepted(NODES), ready, stalled(NODES)]


def test_a_status_of_the_release_before_gets_the_new_condition_without_an_event() -> None:
    before = {"phase": "Pending", "conditions": [accepted(NODES, since=EARLIER)], "observedGeneration": 3}
    decision = decided(BROKEN, before)
    conditions = [accepted(NODES, since=EARLIER), stalled(NODES)]
    assert decision == Decision(status=before | {"conditions": conditions})


def test_the_same_problem_in_a_newer_spec_is_observed_without_an_event() -> None:
    before = decided(BROKEN).status or {}
    assert decided(BROKEN, before, generation=4) == Decision(status=before | {"observedGeneration": 4})


@pytest.mark.parametrize("changed", [{"message": "old"}, {"reason": "UnknownField"}])
def test_another_problem_is_reported_again_and_false_since_it_was_first_false(changed: dict[str, Any]) -> None:
    decision = decided(BROKEN, {"conditions": [accepted(NODES, since=EARLIER) | changed]})
    assert (decision.status or {})["conditions"] == [accepted(NODES, since=EARLIER), stalled(NODES)]
    assert len(decision.events) == 1


def test_what_the_api_server_refused_is_left_out() -> None:
    status = {"phase": 7, "children": {"train": {"name": "r-a1", "uid": 5}}, "conditions": [accepted(NODES)]}
    manifest, error = unread(BROKEN, status)
    message = problems_of(error, model=FineTuneJob).message
    first = decide_unreadable(manifest, error, model=FineTuneJob, blocker=BLOCKED, now=NOW)
    assert first.status is not None
    assert first.status["phase"] == "Pending"
    assert first.status["children"] == {"train": {"name": "r-a1"}}
    assert status["children"] == {"train": {"name": "r-a1", "uid": 5}}
    again = decided(BROKEN, status | {"conditions": [accepted(message)]}, blocker=BLOCKED)
    assert again.status is not None
    assert (again.status["children"], again.events) == ({"train": {"name": "r-a1"}}, ())
    kept = decided(BROKEN, status)
    assert (kept.status or {})["phase"] == 7


def test_an_object_that_is_being_deleted_is_left_alone() -> None:
    assert decided(BROKEN, deletionTimestamp=STAMP) == Decision()


UNKNOWN = "this version of the operator knows no such field; allowed here are"


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        ({"model": {}}, "InvalidField", "spec.model.uri: found nothing; the field is required"),
        ({"storage": {"tier": "fast"}}, "UnknownField", f"spec.storage.tier: found 'fast'; {UNKNOWN} claim, subPath"),
        ({"budget": {"hours": 1}}, "UnknownField", f"spec.budget.hours: found 1; {UNKNOWN} maxGpuHours"),
        ({"scheduling": {"queueName": "x" * 64}}, "InvalidField", None),
        ({"storage": {"tier": "x" * 98}}, "UnknownField", f"spec.storage.tier: found '{'x' * 98}'; {UNKNOWN} claim, subPath"),
        ({"storage": {"tier": "x" * 99}}, "UnknownField", f"spec.storage.tier: found '{'x' * 99}…; {UNKNOWN} claim, subPath"),
    ],
)  # fmt: skip
def test_the_words_of_a_problem(spec: dict[str, Any], reason: str, message: str | None) -> None:
    problems = problems_of(unread(spec)[1], model=FineTuneJob)
    assert problems.reason == reason
    assert message is None or problems.message == message


@pytest.mark.parametrize(("count", "lines"), [(5, 5), (6, 6), (9, 6)])
def test_five_problems_are_reported_and_the_others_are_counted(count: int, lines: int) -> None:
    spec = {"storage": {f"tier{number}": number for number in range(count)}}
    found = problems_of(unread(spec)[1], model=FineTuneJob).message.splitlines()
    assert len(found) == lines
    assert [line.split(":")[0] for line in found[:5]] == [f"spec.storage.tier{number}" for number in range(5)]
    assert found[5:] == ([f"and {count - 5} more"] if count > 5 else [])
