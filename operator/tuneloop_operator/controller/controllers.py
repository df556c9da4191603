"""The kinds that the operator reconciles: one row for each kind. No other module of the operator branches on the name of a kind.

A new kind needs its row here, an observation in `observe/`, a decision in `decide/`, and its address in `cluster.resources`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_operator.controller.observe import fine_tune_job as observe_job
from tuneloop_operator.controller.observe import model_deployment as observe_deployment
from tuneloop_operator.controller.store import Store
from tuneloop_operator.controller.trim import (
    with_node_and_references,
    without_data,
    without_measurements,
    without_template,
)
from tuneloop_operator.decide.fine_tune_job import job as decide_job
from tuneloop_operator.decide.model_deployment import deployment as decide_deployment
from tuneloop_operator.decide.model_deployment import stored_events
from tuneloop_operator.metrics import fine_tune_job as job_metrics
from tuneloop_operator.metrics import model_deployment as deployment_metrics
from tuneloop_operator.names import DEPLOYMENT_LABEL, JOB_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from tuneloop_api.wire.model import WireModel
    from tuneloop_operator.cluster import Kind, Manifest
    from tuneloop_operator.controller.trim import Trim
    from tuneloop_operator.decide.decision import Decision, Event
    from tuneloop_operator.metrics.family import Objects
    from tuneloop_operator.state.observed import Facts


def _no_events(_manifest: Manifest, _now: datetime) -> tuple[Event, ...]:
    return ()


def _no_references(_: Manifest) -> tuple[tuple[Kind, str], ...]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Controller:
    """How one kind is watched, observed, decided and measured."""

    kind: Kind
    model: type[WireModel]
    child_label: str
    """Label of its children; the value is its name."""
    children: Mapping[Kind, Trim | None]
    """Kinds of the children that are watched, each with what the store leaves out of it."""
    reread: tuple[Kind, ...]
    """Kinds of the children that are read live before an irreversible transition."""
    references: Callable[[Manifest], Iterable[tuple[Kind, str]]] = _no_references
    """Kind and name of the objects that it refers to. It is reconciled when one of them changes."""
    observe: Callable[[Store, Manifest, Facts], Any]
    """Raises ValidationError if the object does not fit the model."""
    decide: Callable[..., Decision]
    """decide(observed, *, now, settings)."""
    events_to_report: Callable[[Manifest, datetime], tuple[Event, ...]] = _no_events
    """Returns the events in a stored status that were perhaps not reported."""
    metrics: Callable[[Objects, datetime], str]
    """Returns the metrics of all objects of the kind, in Prometheus' text format."""


CONTROLLERS: dict[str, Controller] = {
    controller.kind: controller
    for controller in (
        Controller(
            kind="FineTuneJob",
            model=FineTuneJob,
            child_label=JOB_LABEL,
            children={
                "Job": without_template,
                "Pod": with_node_and_references,
                "Service": None,
                "ConfigMap": without_data,
                "NetworkPolicy": None,
            },
            reread=("Job", "Pod"),
            references=observe_job.references_of,
            observe=observe_job.observe,
            decide=decide_job.decide,
            metrics=job_metrics.text,
        ),
        Controller(
            kind="ModelDeployment",
            model=ModelDeployment,
            child_label=DEPLOYMENT_LABEL,
            children={
                "Service": None,
                "ConfigMap": without_data,
                "Deployment": None,
                "Pod": with_node_and_references,
                "NetworkPolicy": None,
                "PodDisruptionBudget": None,
                "HorizontalPodAutoscaler": without_measurements,
            },
            reread=("Deployment",),
            references=observe_deployment.references_of,
            observe=observe_deployment.observe,
            decide=decide_deployment.decide,
            events_to_report=stored_events.events_to_report,
            metrics=deployment_metrics.text,
        ),
    )
}


def child_kinds(controllers: Mapping[str, Controller]) -> tuple[Kind, ...]:
    """Return the kinds of the children of all controllers, each once."""
    return tuple(dict.fromkeys(kind for controller in controllers.values() for kind in controller.children))


def trims_of(controllers: Mapping[str, Controller]) -> dict[str, Trim]:
    """Return what the store leaves out, by kind."""
    children = [child for controller in controllers.values() for child in controller.children.items()]
    return {kind: trim for kind, trim in children if trim}


KINDS: tuple[Kind, ...] = tuple(controller.kind for controller in CONTROLLERS.values())
CHILD_KINDS = child_kinds(CONTROLLERS)
TRIMS = trims_of(CONTROLLERS)


def new_store(controllers: Mapping[str, Controller] = CONTROLLERS) -> Store:
    """Return an empty store for the objects of these controllers."""

    def references(manifest: Manifest) -> Iterable[tuple[Kind, str]]:
        controller = controllers.get(manifest["kind"])
        return controller.references(manifest) if controller else ()

    return Store(
        child_labels={controller.child_label: controller.kind for controller in controllers.values()},
        references=references,
        trims=trims_of(controllers),
    )


def metrics_of(store: Store, *, now: datetime) -> str:
    """Return the metrics of all objects, in Prometheus' text format."""
    return "".join(controller.metrics(store, now) for controller in CONTROLLERS.values())
