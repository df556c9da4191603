"""Whether the story went as it should: what must hold for exit code 0. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo_loop.accuracy import gain
from demo_loop.windows import AFTER, DURING, period_of, requests_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from demo_loop.accuracy import Accuracy
    from demo_loop.events import Event


@dataclass(frozen=True, kw_only=True)
class Check:
    """A condition."""

    name: str
    holds: bool
    found: str


def checks(
    events: Sequence[Event], run: Mapping[str, Any], comparison: Mapping[str, Any], *, trigger: str
) -> Iterator[Check]:
    """Yield what must hold.

    run: the last entry of `status.retraining.history`, empty without one; comparison: `status.evaluation.comparison` of its job; trigger: that should have asked for it.
    """
    asked, verdict, outcome = run.get("trigger"), comparison.get("verdict"), run.get("outcome")
    yield Check(name="the trigger started the run", holds=asked == trigger, found=f"trigger: {asked}")
    yield Check(
        name="the new model is better than the one that served", holds=verdict == "Better", found=f"verdict: {verdict}"
    )
    yield Check(name="the new model was promoted", holds=outcome == "Promoted", found=f"outcome: {outcome}")
    drift, after = period_of(events, DURING), period_of(events, AFTER)
    gained = None if drift is None or after is None else gain(drift, after)
    yield Check(
        name="accuracy rose again, beyond doubt",
        holds=gained is not None and gained[1] > 0,
        found=f"{described(drift)} in the drift, {described(after)} after" + _points(gained),
    )
    requests = requests_of(events)
    failed = sum(request.prediction is None for request in requests)
    yield Check(
        name="no request failed", holds=bool(requests) and not failed, found=f"{failed} of {len(requests)} failed"
    )


def described(accuracy: Accuracy | None) -> str:
    """Return an accuracy with its interval for people."""
    if accuracy is None:
        return "none"
    return f"{accuracy.value:.1%} ({accuracy.low:.1%} to {accuracy.high:.1%}, n = {accuracy.rows:,})"


def _points(gained: tuple[float, float, float] | None) -> str:
    if gained is None:
        return ""
    value, low, high = (100 * number for number in gained)
    return f": {value:+.1f} points ({low:+.1f} to {high:+.1f})"
