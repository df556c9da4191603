"""Where the rows are of the deployments whose feedback a job reads, and why they are nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_api.wire.uris import feedback_deployment
from tuneloop_operator.decide.refusal import Refusal
from tuneloop_operator.desired.model_deployment.feedback import rows_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_operator.state.observed import ObservedJob


def feedback_places(observed: ObservedJob) -> dict[str, str]:
    """Return the address of the rows of each deployment that keeps them."""
    found = {
        name: rows_place(deployment)
        for name, deployment in observed.feedback_deployments.items()
        if isinstance(deployment, ModelDeployment)
    }
    return {name: place.uri for name, place in found.items() if place is not None}


def feedback_refusals(observed: ObservedJob) -> Iterator[Refusal]:
    """Yield the sources of feedback that is not kept."""
    places, data = feedback_places(observed), observed.job.spec.data
    for split in ("train", "validation", "test"):
        for number, source in enumerate(getattr(data, split) or ()):
            name = feedback_deployment(source.uri)
            if name is not None and name not in places:
                yield Refusal(
                    reason="FeedbackNotStored",
                    field=f"spec.data.{split}[{number}].uri",
                    given=source.uri,
                    allowed=_why(observed, name),
                    example="feedback: {storeInputs: all, storage: {claim: feedback}}",
                )


def _why(observed: ObservedJob, name: str) -> str:
    found = observed.feedback_deployments.get(name)
    if found is None:
        return f"there is no ModelDeployment {name} in this namespace; the job starts once one keeps feedback"
    if isinstance(found, str):
        return f"the ModelDeployment {name} cannot be read ({found})"
    return f"the ModelDeployment {name} keeps no feedback; its spec.feedback.storeInputs must be sample or all"
