"""Where the rows are of the deployments whose feedback a job reads, and why they are nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_api.wire.uris import feedback_deployment
from tuneloop_operator.decide.refusal import Refusal
from tuneloop_operator.desired.model_deployment.feedback import rows_place, rows_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneloop_api.v1alpha1 import FineTuneJobSpec
    from tuneloop_operator.state.observed import ObservedJob

    Deployments = Mapping[str, ModelDeployment | str]
    """ModelDeployments by name; for one that cannot be read the reason. One that does not exist is absent."""

FEEDBACK_SECRETS = "feedbackSecrets"
"""Key of `status.resolved`: the Secret that opens the buckets of that feedback for each kind of object storage, by scheme. Chosen with the addresses."""
FEEDBACK = "feedback"
"""Key of `status.resolved`: where the rows of each ModelDeployment are whose feedback the job reads. Chosen when the job begins."""


def places_of(observed: ObservedJob) -> dict[str, str]:
    """Return the address of the rows of each deployment that the job reads. Local mode knows some of them before the job begins."""
    status = observed.job.status
    known: dict[str, str] = ((status and status.resolved) or {}).get(FEEDBACK) or {}
    return known | feedback_places(observed.feedback_deployments)


def feedback_places(deployments: Deployments) -> dict[str, str]:
    """Return the address of the rows of each deployment that keeps them."""
    places = {name: rows_place(found) for name, found in deployments.items() if isinstance(found, ModelDeployment)}
    return {name: place.uri for name, place in places.items() if place is not None}


def feedback_secrets(deployments: Deployments) -> dict[str, str]:
    """Return the Secret that opens the buckets of feedback for each kind of object storage, by scheme; of several the first, which acceptance refuses."""
    found: dict[str, str] = {}
    for deployment in deployments.values():
        found = (rows_secrets(deployment) if isinstance(deployment, ModelDeployment) else {}) | found
    return found


def feedback_refusals(
    spec: FineTuneJobSpec, *, places: Mapping[str, str], deployments: Deployments
) -> Iterator[Refusal]:
    """Yield the sources of feedback that is not kept, or whose bucket is opened by another Secret than others that the job reads."""
    yield from _two_secrets(spec, deployments)
    for field, source in spec.sources:
        name = feedback_deployment(source.uri)
        if name is not None and name not in places:
            yield Refusal(
                reason="FeedbackNotStored",
                field=f"{field}.uri",
                given=source.uri,
                allowed=_why(deployments.get(name), name),
                example="feedback: {storeInputs: all, storage: {claim: feedback}}",
            )


def _two_secrets(spec: FineTuneJobSpec, deployments: Deployments) -> Iterator[Refusal]:
    """Yield each source of feedback that would give a variable of `prepare` a second value."""
    chosen = spec.bucket_secrets
    for field, source in spec.sources:
        found = deployments.get(feedback_deployment(source.uri) or "")
        for scheme, secret in rows_secrets(found).items() if isinstance(found, ModelDeployment) else ():
            if chosen.setdefault(scheme, secret) != secret:
                yield Refusal(
                    reason="TwoSecrets",
                    field=f"{field}.uri",
                    given=f"{source.uri}, whose bucket the Secret {secret!r} opens",
                    allowed=f"one Secret for all {scheme} addresses of a job and of the feedback that it reads; another one is {chosen[scheme]!r}",
                    example=f"feedback.storage.secretRef: {{name: {chosen[scheme]}}}",
                )


def _why(found: ModelDeployment | str | None, name: str) -> str:
    if found is None:
        return f"there is no ModelDeployment {name} in this namespace; the job starts once there is one that keeps feedback"
    if isinstance(found, str):
        return f"the ModelDeployment {name} cannot be read ({found})"
    return f"the ModelDeployment {name} keeps no feedback; its spec.feedback.storeInputs must be sample or all"
