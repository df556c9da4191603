"""How a person steers a roll-out: the verbs of the annotation `tuneloop.dev/rollout`, which of them fit now, and for which revision. Pure.

The operator's own rules decide. They see what the status holds, which is all that a verb depends on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_operator.decide.model_deployment.rollout.commands import applies, revision_meant
from tuneloop_operator.decide.model_deployment.rollout.facts import Action, Facts
from tuneloop_operator.decide.model_deployment.rollout.memory import remembered
from tuneloop_operator.decide.model_deployment.rollout.situation import Moment
from tuneloop_operator.decide.model_deployment.rollout.state import Phase
from tuneloop_operator.decide.model_deployment.rollout_facts import COMMAND
from tuneloop_operator.decide.model_deployment.rollout_spec import rollout_spec

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.cluster import Manifest

VERBS: dict[str, Action] = {
    "approve": Action.APPROVE,
    "skip": Action.SKIP,
    "promote": Action.PROMOTE,
    "abort": Action.ABORT,
    "roll-back": Action.ROLL_BACK,
    "retry": Action.RETRY,
}
"""The words of the annotation."""


def command_text(verb: str, *, revision: str, now: datetime) -> str:
    """Return the value of the annotation, for example `approve/2026-11-30T06:41:07.512000Z/7d1f0b2c`. revision: empty for whichever it is."""
    token = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"{verb}/{token}/{revision}".rstrip("/")


def kubectl_command(name: str, command: str) -> str:
    """Return the command line that does the same on a cluster."""
    return f"kubectl annotate mdep {name} --overwrite {COMMAND}={command}"


def meant(deployment: Manifest, verb: str, *, now: datetime) -> str:
    """Return the revision that a verb is about now; empty if there is none."""
    moment = _moment(deployment, now)
    return revision_meant(moment, VERBS[verb]) if moment else ""


def fitting(deployment: Manifest, *, now: datetime) -> list[str]:
    """Return the verbs that fit now."""
    moment = _moment(deployment, now)
    return [verb for verb in VERBS if moment and _fits(moment, verb)]


def missing_rollouts(deployment: Manifest) -> str:
    """Return why there is nothing to steer, whatever the verb; empty if there is something."""
    name = deployment["metadata"]["name"]
    if not deployment["spec"].get("rollout"):
        return f"{name} has no roll-outs: its manifest has no spec.rollout; for example rollout: {{strategy: Canary}}"
    return "" if "rollout" in (deployment.get("status") or {}) else f"{name} has no revision yet: nothing is rolled out"


def refusal(deployment: Manifest, verb: str, *, revision: str, now: datetime) -> str:
    """Return why a verb does not fit, as a sentence; empty if it does. revision: the one that the person meant; empty: whichever it is."""
    name, moment = deployment["metadata"]["name"], _moment(deployment, now)
    if moment is None:
        return missing_rollouts(deployment)
    actual = revision_meant(moment, VERBS[verb])
    if revision not in {"", actual}:
        return f"{verb} was meant for revision {revision} of {name}, and {actual} has taken its place; look at it first"
    if _fits(moment, verb):
        return ""
    verbs = ", ".join(fitting(deployment, now=now))
    return f"{verb} does not fit: {_state(name, moment.rollout.phase, moment.rollout.canary)}; what fits now: {verbs or 'nothing'}"


def _fits(moment: Moment, verb: str) -> bool:
    """Whether the operator would obey, and for an approval, whether something waits for it: the operator also takes one ahead of time."""
    return applies(moment, VERBS[verb]) and (verb != "approve" or moment.rollout.phase is Phase.PAUSED)


def _state(name: str, phase: Phase, canary: str) -> str:
    return f"the roll-out of {canary} is {phase}" if canary else f"{name} has no revision on its way ({phase})"


def _moment(deployment: Manifest, now: datetime) -> Moment | None:
    """Return what a verb depends on; None if there is no roll-out."""
    stored = ModelDeployment.from_wire(deployment)
    if missing_rollouts(deployment) or stored.status is None or stored.status.rollout is None:
        return None
    rollout, spec = remembered(stored.status.rollout), rollout_spec(stored)
    rejected = [found.revision for found in rollout.rejected if found.spec_digest == spec.digest]
    offered = rejected[-1] if rejected else ""
    facts = Facts(spec=spec, offered=offered, pinned=stored.spec.model.pin or "", routers=rollout.in_force)
    return Moment(rollout=rollout, facts=facts, now=now)
