"""The loop of retraining of a ModelDeployment: one line why a retraining happens or does not, then what each trigger and each run found. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.views.lines import pair
from tuneloop_cli.views.values import Manifest, at

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_LOOP = "Idle: spec.retraining is not set; the model is never trained again by itself"


def retraining_story(deployment: Manifest) -> str:
    """Return one line: the state, what blocks it, and the operator's sentence; of a spec that is refused why it is, for the loop is then that of the spec before."""
    if refusal := _refusal(deployment):
        return refusal
    loop: Manifest = at(deployment, "status.retraining") or {}
    if not loop:
        return NO_LOOP if not at(deployment, "spec.retraining") else "Idle: the operator has not looked at it yet"
    blocked = f" ({loop['blockedReason']})" if loop.get("blockedReason") else ""
    return f"{loop['state']}{blocked}: {loop.get('message', '')}"


def retraining_lines(deployment: Manifest) -> Iterator[str]:
    """Yield where the loop is, what it may still use, what each trigger found, what serves, and how runs ended, the newest first."""
    loop: Manifest = at(deployment, "status.retraining") or {}
    if not loop:
        return
    yield from pair("why", retraining_story(deployment))
    yield from pair("next run", loop.get("nextEligibleTime"))
    yield from pair("budget", _budget(loop.get("budget") or {}))
    yield from pair("setbacks", loop.get("setbacks"))
    for trigger in loop.get("triggers") or ():
        yield from pair(
            "trigger", f"{trigger['name']} {trigger['state']} since {trigger['since']}: {trigger['reason']}"
        )
    choice = loop.get("choice")
    # a person may take it back after its run has ended
    name = "serves" if choice and at(deployment, "status.stable.digest") == choice["digest"] else "chosen"
    yield from pair(name, f"the model of run {choice['job']}, in place of spec.model" if choice else None)
    for run in reversed(loop.get("history") or ()):
        yield from pair("run", _run(run))


def _refusal(deployment: Manifest) -> str:
    """Return why the spec is refused; empty if it is not, or has no loop."""
    conditions = at(deployment, "status.conditions") or ()
    accepted: Manifest = next((found for found in conditions if found["type"] == "Accepted"), {})
    if accepted.get("status") != "False" or not at(deployment, "spec.retraining"):
        return ""
    return f"Refused ({accepted['reason']}): {accepted.get('message', '')}"


def _budget(budget: Manifest) -> str | None:
    if not budget:
        return None
    hours = f", {budget['gpuSeconds'] / 3600:.3g} GPU hours" if "gpuSeconds" in budget else ""
    return f"{budget['runs']} runs{hours} left"


def _run(run: Manifest) -> str:
    begin = f"{run['job']}, of trigger {run['trigger']}, since {run['startedAt']}"
    if "outcome" not in run:
        return f"{begin}: in flight"
    return f"{begin}: {run['outcome']} at {run.get('endedAt', '?')}: {run.get('reason', '')}"
