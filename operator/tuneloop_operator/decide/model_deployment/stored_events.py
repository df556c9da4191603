"""Events that follow from the stored status of a ModelDeployment: of its roll-out, and of the loop of retraining.

An operator may be killed between the write of the status and its Events: the next one reports them. Reported twice, an Event is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.v1alpha1.model_deployment.retraining_status import RetrainingStatus
from tuneloop_operator.decide.model_deployment.retraining.memory import remembered
from tuneloop_operator.decide.model_deployment.retraining.stories import last_events
from tuneloop_operator.decide.model_deployment.rollout import recent_events

if TYPE_CHECKING:
    from datetime import datetime

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.decide.decision import Event


def events_to_report(manifest: Manifest, now: datetime) -> tuple[Event, ...]:
    """Return the events in the stored status that were perhaps not reported."""
    return (*recent_events.events_to_report(manifest, now), *_of_the_loop(manifest, now))


def _of_the_loop(manifest: Manifest, now: datetime) -> tuple[Event, ...]:
    stored = (manifest.get("status") or {}).get("retraining")
    if stored is None:
        return ()
    try:
        found = last_events(remembered(RetrainingStatus.from_wire(stored)))
    except ValidationError:
        return ()
    return tuple(event for event in found if recent_events.is_recent(event, now))
