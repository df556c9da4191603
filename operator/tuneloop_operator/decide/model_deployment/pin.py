"""`spec.model.pin`: the revision that serves, whatever else the spec asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.scaling import stored_counts
from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from tuneloop_operator.state.observed import ObservedDeployment


def pinned_revision(observed: ObservedDeployment, *, offered: str) -> str:
    """Return the revision that is pinned; empty if there is none, or if nobody knows it. offered: what the spec asks for else; empty: not known."""
    pin = observed.deployment.spec.model.pin
    return pin if pin is not None and pin in _known(observed, offered) else ""


def pin_refusals(observed: ObservedDeployment, *, offered: str) -> tuple[Refusal, ...]:
    """Return why the pin cannot be followed; empty if it can, or if there is none. offered: as above."""
    pin, known = observed.deployment.spec.model.pin, _known(observed, offered)
    if pin is None or pin in known:
        return ()
    names = ", ".join(known) or "none yet"
    allowed = f"a revision of status.revisions is needed, or the one that the spec makes; known: {names}"
    return (
        Refusal(
            reason="RevisionNotKnown",
            field="spec.model.pin",
            given=pin,
            allowed=allowed,
            example=f"pin: {known[0]}" if known else "no pin",
        ),
    )


def _known(observed: ObservedDeployment, offered: str) -> list[str]:
    """Return the revisions that have a Deployment, and the one that the spec makes."""
    return sorted({*stored_counts(observed), *([offered] if offered else [])})
