"""What follows from the results of a step: each verdict has its own limit.

Fail rolls back at once, for the test has spoken. The other verdicts are no evidence against the canary: past their limit the roll-out gives up, which
means that stable serves all requests and the revision is not remembered as rejected. Nothing advances but by Pass.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tuneloop_operator.decide.model_deployment.gates.verdict import GateResult


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """An action, and why in one sentence."""

    action: GateAction
    reason: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many results of a verdict end a step; None: never."""

    no_data: int | None = 5
    """In a row. While traffic is thin a roll-out may wait for `maxDuration` instead: None."""
    inconclusive: int = 3
    """At ends of the step, in all: it is also the number of ends that share alpha."""
    error: int | None = 5
    """In a row."""


@dataclass(frozen=True, kw_only=True)
class _Tally:
    """What a gate has shown in this step."""

    passed: bool = False
    inconclusive: int = 0
    in_a_row: int = 0
    newest: GateResult | None = None


def outcome_of(results: Iterable[GateResult], limits: Mapping[str, Limits]) -> Outcome:
    """Return what follows from the results of one step, oldest first. `limits` names every gate that counts; results of others only inform (`dryRun`).

    A gate that has passed in this step need not pass again while it waits for others, but it can still fail. At one look a Fail counts before all else.
    """
    tallies = dict.fromkeys(limits, _Tally())
    counted = (result for result in results if result.gate in limits)
    for _, look in itertools.groupby(counted, key=lambda result: result.look):
        final = []
        for result in look:
            tallies[result.gate] = _counted(tallies[result.gate], result)
            final.append(_final(result, tallies[result.gate], limits[result.gate]))
        if decided := [outcome for outcome in final if outcome is not None]:
            return min(decided, key=lambda outcome: outcome.action is not GateAction.ROLL_BACK)
    return _of_waiting(tallies)


def _counted(tally: _Tally, result: GateResult) -> _Tally:
    repeats = tally.newest is not None and tally.newest.verdict is result.verdict
    return replace(
        tally,
        passed=tally.passed or result.verdict is Verdict.PASS,
        inconclusive=tally.inconclusive + (result.verdict is Verdict.INCONCLUSIVE and result.at_step_end),
        in_a_row=tally.in_a_row + 1 if repeats else 1,
        newest=result,
    )


def _final(result: GateResult, tally: _Tally, limits: Limits) -> Outcome | None:
    if result.verdict is Verdict.FAIL:
        return Outcome(action=GateAction.ROLL_BACK, reason=f"gate {result.gate} failed: {result.reason}")
    if tally.passed:
        return None
    if result.at_step_end and result.verdict is Verdict.INCONCLUSIVE and tally.inconclusive >= limits.inconclusive:
        return _given_up(
            result,
            f"was inconclusive at {tally.inconclusive} ends of the step (inconclusiveLimit {limits.inconclusive})",
        )
    if result.verdict is Verdict.NO_DATA and limits.no_data is not None and tally.in_a_row >= limits.no_data:
        return _given_up(result, f"had no data {tally.in_a_row} times in a row (noDataLimit {limits.no_data})")
    if result.verdict is Verdict.ERROR and limits.error is not None and tally.in_a_row >= limits.error:
        return _given_up(result, f"had an error {tally.in_a_row} times in a row (errorLimit {limits.error})")
    return None


def _given_up(result: GateResult, what: str) -> Outcome:
    return Outcome(action=GateAction.GIVE_UP, reason=f"gate {result.gate} {what}: {result.reason}")


def _of_waiting(tallies: Mapping[str, _Tally]) -> Outcome:
    waiting = [(gate, tally) for gate, tally in tallies.items() if not tally.passed]
    if not waiting:
        return Outcome(action=GateAction.ADVANCE, reason="every gate passed" if tallies else "no gate is set")
    return Outcome(action=GateAction.HOLD, reason="; ".join(_wait(gate, tally) for gate, tally in waiting))


def _wait(gate: str, tally: _Tally) -> str:
    if tally.newest is None:
        return f"gate {gate} has not looked yet"
    return f"gate {gate} is at {tally.newest.verdict}: {tally.newest.reason}"
