"""What the numbers about inputs and labels say, at their limits and for any numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retraining_worlds import SPEC

from tuneloop_operator.decide.model_deployment.retraining.data_quality import (
    FIT,
    GUARDED,
    SHARES,
    DataQuality,
    judged,
    queries,
)
from tuneloop_operator.decide.model_deployment.retraining.facts import Champion, Facts, RolloutView
from tuneloop_operator.decide.model_deployment.retraining.loop import decide
from tuneloop_operator.decide.model_deployment.retraining.state import BlockedReason, Loop, LoopState
from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About, Reading
from tuneloop_operator.decide.model_deployment.retraining.triggers.memory import TriggerMemory
from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState, TriggerVerdict
from tuneloop_operator.prometheus.answer import Answer, Number, Unanswered

AT = datetime(2026, 3, 1, tzinfo=UTC)
ABOUT = About(namespace="team", deployment="reviews", revision="03ab", cutoff=AT)
FINE = dict.fromkeys([*SHARES, "labels", "right", "client_labels", "client_right"], 0.0) | {"coverage": 1.0}


def found(*, now: datetime = AT, **values: float | Unanswered) -> DataQuality:
    answers: dict[str, Answer] = {
        part: value if isinstance(value, Unanswered) else Number(value=value, at=AT.timestamp())
        for part, value in (FINE | values).items()
    }
    return judged({part: Reading(answer=answer, at=AT) for part, answer in answers.items()}, now=now)


@pytest.mark.parametrize("part", SHARES)
def test_a_share_at_its_limit_is_fit_and_above_it_is_none(part: str) -> None:
    most = SHARES[part].most
    assert found(**{part: most}) == FIT
    assert SHARES[part].words in found(**{part: most + 0.01}).problem


@pytest.mark.parametrize(("coverage", "is_fit"), [(0.25, True), (0.24, False), (3.0, True), (0.0, False)])
def test_a_quarter_of_the_usual_coverage_is_enough(coverage: float, *, is_fit: bool) -> None:
    assert (found(coverage=coverage) == FIT) == is_fit


def test_all_that_is_wrong_is_named() -> None:
    problem = found(blank=0.5, invalid=0.9, coverage=0.1).problem
    assert problem.count("; ") >= 4
    assert all(words in problem for words in ("blank texts", "requests that are no input", "labels cover 10%"))


UNKNOWN: dict[str, tuple[dict[str, float | Unanswered], timedelta, str]] = {
    "an error": ({"blank": Unanswered(verdict="Error", reason="HTTP 503")}, timedelta(), "HTTP 503"),
    "an old answer": ({}, timedelta(seconds=181), "the newest answer of Prometheus is 181 s old"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_without_new_numbers_nothing_is_known(name: str) -> None:
    values, age, reason = UNKNOWN[name]
    quality = found(now=AT + age, **values)
    assert (quality.unknown, quality.problem, quality.is_fit) == (reason, "", False)


@given(st.dictionaries(st.sampled_from(sorted(FINE)), st.floats(-1e6, 1e6)))
def test_whatever_the_numbers_are_there_is_an_answer(values: dict[str, float]) -> None:
    assert not found(**values).unknown


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.integers(0, 500))
def test_one_client_is_blamed_only_for_most_of_what_is_wrong_and_against_better_labels(
    labels: int, right: int, others: int, others_right: int
) -> None:
    right, others_right = min(right, labels), min(others_right, others)
    quality = found(labels=labels + others, right=right + others_right, client_labels=labels, client_right=right)
    if quality.problem:
        assert labels - right > others - others_right
        assert others_right / others - right / labels > 0.1
        assert min(labels, others) >= 50


def test_each_question_is_about_the_deployment_and_has_another_name_for_the_days_of_labels() -> None:
    for of_labels in (False, True):
        texts = [str(query.query) for query in queries(ABOUT, of_labels=of_labels)]
        assert all('namespace="team",deployment="reviews"' in text for text in texts)
        assert any("max_over_time" in text for text in texts) == of_labels


VERDICT = TriggerVerdict(
    name="accuracy",
    type="accuracy",
    action="Retrain",
    state=TriggerState.FIRING,
    reason="0.81 of 900 labels are right",
    value=0.81,
    threshold=0.9,
    since=AT,
    key="k1",
)
FACTS = Facts(
    spec=SPEC,
    deployment_uid="u1",
    deployment_name="api",
    model="m",
    verdicts=(VERDICT,),
    champion=Champion(revision="r1", digest="c1"),
    recipe="p1",
)
BROKEN = DataQuality(problem="blank texts are 60%")


@pytest.mark.parametrize("type_", ["accuracy", "drift", "promql", "newData", "schedule", "manual"])
def test_triggers_that_judge_data_are_blocked_by_broken_ones_and_others_are_not(type_: str) -> None:
    verdict = replace(VERDICT, type=type_)
    loop = decide(Loop(model="m"), replace(FACTS, verdicts=(verdict,), data=BROKEN), now=AT).loop
    assert (loop.blocked is BlockedReason.DATA_QUALITY) == (type_ in GUARDED)
    assert (loop.run is None) == (type_ in GUARDED)


def test_a_request_of_a_person_starts_the_run_beside_a_trigger_that_is_blocked() -> None:
    verdicts = (VERDICT, replace(VERDICT, name="manual", type="manual", key="t1"))
    loop = decide(Loop(model="m"), replace(FACTS, verdicts=verdicts, data=BROKEN), now=AT).loop
    assert loop.run is not None
    assert (loop.run.trigger, loop.state) == ("manual", LoopState.CONFIRMED)


def test_the_end_of_broken_data_is_no_evidence() -> None:
    blocked = decide(Loop(model="m"), replace(FACTS, data=BROKEN), now=AT).loop
    after = decide(blocked, FACTS, now=AT).loop
    assert (after.state, after.run) == (LoopState.IDLE, None)
    again = replace(FACTS, verdicts=(replace(VERDICT, key="k2"),))
    assert decide(after, again, now=AT).loop.run is not None


UNANSWERED = DataQuality(unknown="Prometheus has not answered yet")
MEMORY = TriggerMemory(name="accuracy", revision="r1", beyond_since=AT, fired_key="k1")
GAPS: dict[str, Facts] = {
    "nobody knows whether they are": replace(FACTS, data=UNANSWERED),
    "a person suspends the loop": replace(FACTS, spec=replace(SPEC, is_suspended=True), data=BROKEN),
    "the template is gone": replace(FACTS, template_problem="there is none", data=BROKEN),
    "another model is rolled out": replace(FACTS, rollout=RolloutView(busy=BlockedReason.BAKING), data=BROKEN),
    "the trigger has no number": replace(FACTS, verdicts=(replace(VERDICT, state=TriggerState.UNKNOWN, key=""),)),
    "the trigger was about to fire": replace(FACTS, verdicts=(replace(VERDICT, state=TriggerState.PENDING, key=""),)),
}


@pytest.mark.parametrize("name", GAPS)
def test_broken_data_are_not_forgotten_where(name: str) -> None:
    """Whatever comes between the broken data and the sound ones: what was measured of the broken ones starts no run."""
    loop = decide(Loop(model="m"), replace(FACTS, data=BROKEN, trigger_memories=(MEMORY,)), now=AT).loop
    loop = decide(loop, replace(GAPS[name], trigger_memories=loop.trigger_memories), now=AT).loop
    is_over = loop.trigger_memories[0].fired_key == ""
    verdicts = () if is_over else (VERDICT,)
    loop = decide(loop, replace(FACTS, verdicts=verdicts, trigger_memories=loop.trigger_memories), now=AT).loop
    assert (loop.run, loop.trigger_memories[0].beyond_since) == (None, None)


def test_as_long_as_nobody_knows_whether_broken_data_still_are_they_block() -> None:
    loop = decide(Loop(model="m"), replace(FACTS, data=BROKEN), now=AT).loop
    loop = decide(loop, replace(FACTS, data=UNANSWERED), now=AT).loop
    assert loop.blocked is BlockedReason.DATA_QUALITY
    assert loop.why.endswith("whether they still are is not known: Prometheus has not answered yet")


def test_data_of_which_nothing_is_known_yet_are_not_called_broken() -> None:
    loop = decide(Loop(model="m"), replace(FACTS, data=UNANSWERED), now=AT).loop
    assert (loop.state, loop.blocked, loop.run) == (LoopState.SUSPECTED, None, None)


def test_what_was_answered_before_the_data_broke_fires_on() -> None:
    answered = replace(VERDICT, name="drift", type="drift", key="k0")
    memories = (MEMORY, replace(MEMORY, name="drift", fired_key="k0"))
    facts = replace(FACTS, verdicts=(VERDICT, answered), trigger_memories=memories)
    loop = decide(Loop(model="m", handled=(("drift", "k0"),)), replace(facts, data=BROKEN), now=AT).loop
    loop = decide(loop, facts, now=AT).loop
    assert [memory.fired_key for memory in loop.trigger_memories] == ["", "k0"]
