"""Where the feedback is that a job reads: a session knows the deployments of earlier sessions, whose servers do not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_cli.local.errors import NotAccepted
from tuneloop_operator.decide.feedback_sources import feedback_places, feedback_refusals
from tuneloop_operator.decide.refusal import message_of
from tuneloop_operator.decide.unreadable import problems_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.cluster import Manifest


def places_of(job: Manifest, stored: Callable[[str], Manifest | None]) -> dict[str, str]:
    """Return the address of the rows of each deployment that a job reads. stored: finds a ModelDeployment by name. Raises NotAccepted.

    A job that rests reads nothing yet. As a template of retraining it names the deployment that names it, and one of them comes first.
    """
    spec = FineTuneJob.from_wire(job).spec
    found = {name: manifest for name in spec.feedback_deployments if (manifest := stored(name)) is not None}
    deployments = {name: _read(manifest) for name, manifest in found.items()}
    places = feedback_places(deployments)
    refusals = list(feedback_refusals(spec, places=places, deployments=deployments))
    if refusals and not spec.suspend:
        raise NotAccepted(message_of(refusals))
    return places


def _read(manifest: Manifest) -> ModelDeployment | str:
    try:
        return ModelDeployment.from_wire(manifest)
    except ValidationError as error:
        return problems_of(error, model=ModelDeployment).message
