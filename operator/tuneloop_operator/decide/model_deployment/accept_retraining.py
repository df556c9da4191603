"""Whether a loop of retraining can teach anything new, and whether it teaches itself in a circle. Both depend on other objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.wire.uris import feedback_deployment
from tuneloop_operator.decide.refusal import Refusal
from tuneloop_operator.desired.model_deployment.feedback import rows_place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneloop_operator.state.observed import ObservedDeployment


def retraining_refusals(observed: ObservedDeployment) -> tuple[Refusal, ...]:
    """Return why the deployment cannot retrain; empty if it can, or is not to."""
    retraining = observed.deployment.spec.retraining
    if retraining is None or not retraining.enabled:
        return ()
    return (*_no_data_source(observed), *_own_feedback_is_not_kept(observed), *_circle(observed))


def circle_of(graph: Mapping[str, frozenset[str]], name: str) -> list[str]:
    """Return the shortest way from a deployment over those that it learns from back to itself; empty if there is none.

    graph: for each deployment the names of those that it learns from. One that learns from its own feedback is no circle.
    """
    ways = [[name]]
    visited: set[str] = set()
    while ways:
        way = ways.pop(0)
        for teacher in sorted(graph.get(way[-1], frozenset())):
            if teacher == name and len(way) > 1:
                return [*way, name]
            if teacher not in visited and teacher != name:
                visited.add(teacher)
                ways.append([*way, teacher])
    return []


def _no_data_source(observed: ObservedDeployment) -> Iterator[Refusal]:
    """Yield data that cannot grow: the first rows of each file are read, and stay the same. Of feedback a limit keeps the newest rows."""
    retraining, template = observed.deployment.spec.retraining, _template(observed)
    if template is None or (retraining and (retraining.data or retraining.require_new_data is False)):
        return
    name, sources = template.metadata["name"], template.spec.data.train
    if all(source.limit is not None and not source.is_feedback for source in sources):
        yield Refusal(
            reason="RetrainingHasNoDataSource",
            field="spec.retraining.jobTemplateRef",
            given=f"FineTuneJob {name}, of which each source in data.train is a file with a limit and so gives the same rows for ever",
            allowed="a source that can grow is needed: one without limit, or one in spec.retraining.data",
            example="data: [{uri: feedback://reviews}]",
        )


def _own_feedback_is_not_kept(observed: ObservedDeployment) -> Iterator[Refusal]:
    """Yield the sources with the feedback of the deployment itself, where its servers do not write it. That of others ends a run, and no roll-out."""
    deployment = observed.deployment
    own = deployment.metadata["name"]
    if rows_place(deployment) is not None:
        return
    for field, uri in _sources(observed):
        if feedback_deployment(uri) == own:
            yield Refusal(
                reason="FeedbackNotStored",
                field=field,
                given=uri,
                allowed=f"the ModelDeployment {own} itself keeps no feedback; its spec.feedback.storeInputs must be sample or all",
                example="feedback: {storeInputs: all, storage: {claim: feedback}}",
            )
            return


def _sources(observed: ObservedDeployment) -> Iterator[tuple[str, str]]:
    """Yield the field and the address of each source that a run reads."""
    retraining, template = observed.deployment.spec.retraining, _template(observed)
    for number, added in enumerate((retraining.data if retraining else None) or ()):
        yield f"spec.retraining.data[{number}].uri", added.uri
    for _, source in template.spec.sources if template else ():
        yield "spec.retraining.jobTemplateRef", source.uri


def _template(observed: ObservedDeployment) -> FineTuneJob | None:
    """Return the template, if it is there and can be read."""
    retraining = observed.deployment.spec.retraining
    name = retraining.job_template_ref.name if retraining and retraining.job_template_ref else ""
    template = observed.retraining_jobs.get(name)
    return template if isinstance(template, FineTuneJob) else None


def _circle(observed: ObservedDeployment) -> Iterator[Refusal]:
    way = circle_of(observed.retraining_graph, observed.deployment.metadata["name"])
    if way:
        yield Refusal(
            reason="CycleDetected",
            field="spec.retraining",
            given=f"a circle in which models learn from each other: {' <- '.join(way)}",
            allowed="one of them must learn from labels of people alone: take its feedback:// sources or its template of another deployment away",
            example="enabled: false",
        )
