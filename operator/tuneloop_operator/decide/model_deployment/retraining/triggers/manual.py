"""A person asks for a retraining: the annotation `tuneloop.dev/retrain: TOKEN`. Another token is another request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_operator.decide.model_deployment.retraining.verdict import TriggerState, TriggerVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

ANNOTATION = "tuneloop.dev/retrain"
MANUAL = "manual"
"""Name and type of the trigger. It is there without a field: a person may always ask."""
MOST_TOKEN_CHARACTERS = 128


def manual(annotations: Mapping[str, str], before: TriggerVerdict | None, *, now: datetime) -> TriggerVerdict:
    """Return the verdict. before: the last verdict of this trigger, which knows since when the token stands there."""
    token = annotations.get(ANNOTATION, "")[:MOST_TOKEN_CHARACTERS]
    state = TriggerState.FIRING if token else TriggerState.INACTIVE
    is_same = before is not None and (before.key, before.state) == (token, state)
    return TriggerVerdict(
        name=MANUAL,
        type=MANUAL,
        action="Retrain",
        state=state,
        reason=f"annotation {ANNOTATION}: {token}" if token else f"no annotation {ANNOTATION}",
        value=None,
        threshold=None,
        since=before.since if before is not None and is_same else now.replace(microsecond=0),
        key=token,
    )
