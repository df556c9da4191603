"""Which verbs of `tuneloop rollout` fit, and what is said of the others: the command line and the operator agree."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rollouts import NOW, baking, facts_for, in_step, serving
from typer.testing import CliRunner

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_cli.main import app
from tuneloop_cli.steering import VERBS, command_text, fitting, kubectl_command, meant, refusal
from tuneloop_operator.decide.model_deployment.rollout.commands import obeyed
from tuneloop_operator.decide.model_deployment.rollout.facts import Command
from tuneloop_operator.decide.model_deployment.rollout.memory import remembered, written
from tuneloop_operator.decide.model_deployment.rollout.situation import Moment
from tuneloop_operator.decide.model_deployment.rollout.state import Phase, Rejection, RejectionReason
from tuneloop_operator.decide.model_deployment.rollout_facts import unknown_command
from tuneloop_operator.decide.model_deployment.rollout_spec import rollout_spec

if TYPE_CHECKING:
    from tuneloop_operator.decide.model_deployment.rollout.state import Rollout

SPEC: dict[str, Any] = {
    "model": {"uri": "pvc://models/reviews"},
    "rollout": {"strategy": "Canary", "steps": [{"weight": 5}, {"weight": 25, "pause": True}, {"weight": 100}]},
}


def stored(rollout: Rollout | None = None, **spec: Any) -> dict[str, Any]:
    status = {"rollout": written(rollout).to_wire()} if rollout else {}
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": SPEC | spec,
        "status": status,
    }


def aborted() -> Rollout:
    digest = rollout_spec(ModelDeployment.from_wire(stored())).digest
    rejection = Rejection(
        revision="r2", reason=RejectionReason.ABORTED, message="a person said so", at=NOW, spec_digest=digest
    )
    return serving(phase=Phase.ABORTED, rejected=(rejection,))


PAUSED = in_step(1, phase=Phase.PAUSED)
ROLLOUTS = {
    "a step": in_step(0),
    "a pause": PAUSED,
    "held": in_step(0, phase=Phase.HELD),
    "starting": in_step(0, phase=Phase.STARTING, step_started=None),
    "promoting": in_step(2, phase=Phase.PROMOTING),
    "on the way back": in_step(0, phase=Phase.ROLLING_BACK),
    "baking": baking(),
    "done": serving(),
    "aborted": aborted(),
}
FITTING = {
    "a step": ["skip", "promote", "abort", "roll-back"],
    "a pause": ["approve", "skip", "promote", "abort", "roll-back"],
    "held": ["skip", "promote", "abort", "roll-back", "retry"],
    "starting": ["promote", "abort", "roll-back"],
    "promoting": ["promote", "abort", "roll-back"],
    "on the way back": ["promote"],
    "baking": ["roll-back"],
    "done": [],
    "aborted": ["retry"],
}


@pytest.mark.parametrize("phase", ROLLOUTS)
def test_the_verbs_that_fit_are_listed(phase: str) -> None:
    assert fitting(stored(ROLLOUTS[phase]), now=NOW) == FITTING[phase]


@pytest.mark.parametrize("phase", ROLLOUTS)
@pytest.mark.parametrize("verb", VERBS)
def test_the_operator_obeys_what_is_not_refused(phase: str, verb: str) -> None:
    deployment = stored(ROLLOUTS[phase])
    rollout, spec = remembered(written(ROLLOUTS[phase])), rollout_spec(ModelDeployment.from_wire(deployment))
    revision = meant(deployment, verb, now=NOW)
    command = Command(action=VERBS[verb], token="t", revision=revision)
    facts = replace(facts_for(rollout), spec=spec, command=command)
    _, event = obeyed(Moment(rollout=rollout, facts=facts, now=NOW))
    is_refused = bool(refusal(deployment, verb, revision=revision, now=NOW))
    is_ahead = verb == "approve" and rollout.phase is not Phase.PAUSED
    assert event is not None
    assert (event.reason == "CommandObeyed") is not is_refused or is_ahead


def test_an_approval_that_nothing_waits_for_is_refused_with_what_fits() -> None:
    assert refusal(stored(in_step(0)), "approve", revision="r2", now=NOW) == (
        "approve does not fit: the roll-out of r2 is Progressing; what fits now: skip, promote, abort, roll-back"
    )


def test_without_a_roll_out_on_its_way_nothing_fits() -> None:
    assert refusal(stored(serving()), "abort", revision="r1", now=NOW) == (
        "abort does not fit: reviews has no revision on its way (Done); what fits now: nothing"
    )


def test_a_command_for_another_revision_than_the_one_that_is_there_is_refused() -> None:
    assert refusal(stored(PAUSED), "approve", revision="r9", now=NOW) == (
        "approve was meant for revision r9 of reviews, and r2 has taken its place; look at it first"
    )


@pytest.mark.parametrize(
    ("deployment", "sentence"),
    [
        pytest.param(
            stored(rollout=None) | {"spec": {"model": SPEC["model"]}},
            "reviews has no roll-outs: its manifest has no spec.rollout; for example rollout: {strategy: Canary}",
            id="no block",
        ),
        pytest.param(stored(), "reviews has no revision yet: nothing is rolled out", id="no status"),
    ],
)
def test_a_deployment_without_roll_outs_says_so(deployment: dict[str, Any], sentence: str) -> None:
    assert refusal(deployment, "skip", revision="", now=NOW) == sentence
    assert fitting(deployment, now=NOW) == []


@pytest.mark.parametrize("word", ["status", *VERBS])
def test_each_word_is_a_command_whose_help_has_an_example(word: str) -> None:
    shown = CliRunner().invoke(app, ["rollout", word, "--help"]).output
    assert re.search(rf"Examples?: .*tuneloop rollout {word} reviews", " ".join(shown.split()))


@pytest.mark.parametrize("verb", VERBS)
def test_the_operator_knows_each_verb(verb: str) -> None:
    assert unknown_command({"tuneloop.dev/rollout": command_text(verb, revision="r2", now=NOW)}) == ""


def test_a_command_names_its_time_and_its_revision() -> None:
    assert command_text("approve", revision="r2", now=NOW) == "approve/2026-01-02T12:00:00.000000Z/r2"
    assert kubectl_command("reviews", command_text("skip", revision="", now=NOW)) == (
        "kubectl annotate mdep reviews --overwrite tuneloop.dev/rollout=skip/2026-01-02T12:00:00.000000Z"
    )
