"""Whether a loop of retraining can teach anything new, and whether it teaches itself in a circle. Both depend on other objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tuneloop_operator.state.observed import ObservedDeployment


def retraining_refusals(observed: ObservedDeployment) -> tuple[Refusal, ...]:
    """Return why the deployment cannot retrain; empty if it can, or is not to."""
    retraining = observed.deployment.spec.retraining
    if retraining is None or not retraining.enabled:
        return ()
    return (*_no_data_source(observed), *_circle(observed))


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
    """Yield data that cannot grow: the first rows of each source are read, and stay the same."""
    retraining = observed.deployment.spec.retraining
    name = retraining.job_template_ref.name if retraining and retraining.job_template_ref else ""
    template = observed.retraining_jobs.get(name)
    if not isinstance(template, FineTuneJob) or (
        retraining and (retraining.data or retraining.require_new_data is False)
    ):
        return
    sources = template.spec.data.train
    if all(source.limit is not None for source in sources):
        yield Refusal(
            reason="RetrainingHasNoDataSource",
            field="spec.retraining.jobTemplateRef",
            given=f"FineTuneJob {name}, of which each source in data.train has a limit and so gives the same rows for ever",
            allowed="a source that can grow is needed: one without limit, or one in spec.retraining.data",
            example="data: [{uri: pvc://models/new-reviews}]",
        )


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
