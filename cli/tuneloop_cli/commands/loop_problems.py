"""What keeps a ModelDeployment from being trained again, in the operator's words, before anything is applied. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.wire.uris import feedback_deployment
from tuneloop_cli.commands.known_objects import as_stored
from tuneloop_operator.controller.observe.model_deployment import observe
from tuneloop_operator.decide.model_deployment.accept_retraining import retraining_refusals
from tuneloop_operator.decide.model_deployment.retraining.state import BlockedReason
from tuneloop_operator.decide.model_deployment.retraining_facts import template_of, template_problem
from tuneloop_operator.state.observed import Facts

if TYPE_CHECKING:
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.controller.store import Store
    from tuneloop_operator.settings.operator import OperatorSettings
    from tuneloop_operator.state.observed import ObservedDeployment


@dataclass(frozen=True, kw_only=True)
class LoopVerdict:
    """What was found of `spec.retraining`; both are empty where nothing is in the way."""

    problem: str = ""
    """Why the deployment is refused, or no run will ever start."""
    note: str = ""
    """Why none would start now: an object is not among those that are known here."""


def loop_verdict(manifest: Manifest, *, known: Store, settings: OperatorSettings) -> LoopVerdict:
    """Return what the operator would say of the loop of a ModelDeployment that the contract accepts."""
    observed = observe(known, as_stored(manifest), Facts())
    retraining = observed.deployment.spec.retraining
    if retraining is None or not retraining.enabled:
        return LoopVerdict()
    if refusals := retraining_refusals(observed):
        return LoopVerdict(problem="\n".join(map(str, refusals)))
    words = template_problem(observed, settings=settings)
    if not words:
        return LoopVerdict()
    blocked = f"retraining would be blocked ({BlockedReason.TEMPLATE}): {words}"
    return LoopVerdict(problem=blocked) if _is_all_known(observed) else LoopVerdict(note=blocked)


def _is_all_known(observed: ObservedDeployment) -> bool:
    """Whether the template and each deployment whose feedback a run reads are known; what is not may be in the cluster."""
    template, retraining = template_of(observed), observed.deployment.spec.retraining
    if not isinstance(template, FineTuneJob):
        name = retraining.job_template_ref.name if retraining and retraining.job_template_ref else ""
        return name in observed.retraining_jobs
    added = (feedback_deployment(source.uri) for source in (retraining.data if retraining else None) or ())
    return {*template.spec.feedback_deployments, *filter(None, added)} <= observed.feedback_deployments.keys()
