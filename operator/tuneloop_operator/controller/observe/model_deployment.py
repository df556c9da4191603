"""The observation of a ModelDeployment: its children, and the FineTuneJob whose model it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import FineTuneJob, ModelDeployment
from tuneloop_api.wire.uris import feedback_deployment
from tuneloop_operator.controller.observe.attendant_pods import comparator_pods, router_pods
from tuneloop_operator.controller.observe.base_job import job_named
from tuneloop_operator.controller.observe.common import present_children
from tuneloop_operator.controller.observe.containers import containers_of
from tuneloop_operator.controller.observe.feedback import deployments_named
from tuneloop_operator.controller.observe.local_ports import local_port
from tuneloop_operator.controller.observe.retraining import added_feedback, learned_from, retraining_jobs
from tuneloop_operator.controller.observe.steady_pods import common_fields
from tuneloop_operator.names import DEPLOYMENT_LABEL, REVISION_LABEL, SERVER_CONTAINER
from tuneloop_operator.state.observed import Facts, ObservedDeployment, ServerPod

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tuneloop_operator.cluster import Kind, Manifest
    from tuneloop_operator.controller.store import Store


def observe(store: Store, manifest: Manifest, facts: Facts) -> ObservedDeployment:
    """Return a ModelDeployment with its children. Raises ValidationError if it does not fit the model."""
    deployment = ModelDeployment.from_wire(manifest)
    namespace, name, uid = (manifest["metadata"][key] for key in ("namespace", "name", "uid"))
    source, problem = _source(store, deployment)
    adapters = (adapter.fine_tune_job_ref for adapter in deployment.spec.adapters or ())
    adapter_sources = {
        ref.name: job_named(store, namespace=namespace, name=ref.name) for ref in adapters if ref is not None
    }
    jobs = {
        job: found for job in retraining_jobs(manifest) if (found := job_named(store, namespace=namespace, name=job))
    }
    children = list(store.labelled(DEPLOYMENT_LABEL, name, namespace=namespace))
    return ObservedDeployment(
        deployment=deployment,
        manifest=manifest,
        source=source,
        source_problem=problem,
        adapter_sources={job: found for job, found in adapter_sources.items() if found is not None},
        retraining_jobs=jobs,
        feedback_deployments=deployments_named(store, namespace=namespace, names=_teachers(deployment, jobs)),
        retraining_graph=_graph(store, deployment),
        runs_elsewhere=store.working_runs.besides(uid),
        router_pods=router_pods(children, mount_failures=facts.mount_failures),
        comparator_pods=comparator_pods(children),
        present=present_children(children, uid=uid),
        pods=_server_pods(children, facts),
        routers=store.router_reports(uid),
        query_answers=store.query_answers.of(uid),
        baseline_answer=store.query_answers.baseline_of(uid),
        comparison=store.comparison(uid),
        progress_written=facts.progress_written,
        live=facts.live,
        blocker=facts.blocker,
    )


def server_pod(manifest: Manifest, *, mount_failure: str | None = None) -> ServerPod:
    """Return the view of a server's pod. mount_failure: as in the view."""
    containers = containers_of(manifest.get("status") or {}, own=SERVER_CONTAINER)
    return ServerPod(
        **common_fields(manifest, own=SERVER_CONTAINER),
        mount_failure=mount_failure,
        revision=manifest["metadata"]["labels"][REVISION_LABEL],
        restarts=containers.own.get("restartCount", 0) + containers.check.get("restartCount", 0),
        port=local_port(manifest),
    )


def references_of(manifest: Manifest) -> Iterator[tuple[Kind, str]]:
    """Yield kind and name of the objects that a stored ModelDeployment refers to, each once: FineTuneJobs, and deployments whose feedback it adds; whether it fits the model is not known."""
    for name in dict.fromkeys((*_served_jobs(manifest), *retraining_jobs(manifest))):
        yield "FineTuneJob", name
    for name in dict.fromkeys(added_feedback(manifest)):
        if name != manifest["metadata"]["name"]:
            yield "ModelDeployment", name


def _served_jobs(manifest: Manifest) -> Iterator[str]:
    spec = manifest.get("spec") or {}
    adapters = spec.get("adapters")
    for place in (spec.get("model") or {}, *(adapters if isinstance(adapters, list) else ())):
        if isinstance(place, dict) and (name := (place.get("fineTuneJobRef") or {}).get("name")):
            yield name


def _server_pods(children: Iterable[Manifest], facts: Facts) -> tuple[ServerPod, ...]:
    """Return the pods that stay. Their owner is a ReplicaSet, which is not watched: the labels tell whose they are."""
    views = [
        server_pod(child, mount_failure=facts.mount_failures.get(child["metadata"]["uid"]))
        for child in children
        if child["kind"] == "Pod"
        and REVISION_LABEL in child["metadata"]["labels"]
        and "deletionTimestamp" not in child["metadata"]
    ]
    return tuple(sorted(views, key=lambda pod: pod.name))


def _graph(store: Store, deployment: ModelDeployment) -> dict[str, frozenset[str]]:
    """Return which deployments learn from which, as far as one that retrains depends on them."""
    retraining = deployment.spec.retraining
    if retraining is None or not retraining.enabled:
        return {}
    return learned_from(store, namespace=deployment.metadata["namespace"], name=deployment.metadata["name"])


def _teachers(deployment: ModelDeployment, jobs: Mapping[str, FineTuneJob | str]) -> list[str]:
    """Return the ModelDeployments whose feedback a run reads, by name. jobs: as in the observation."""
    retraining = deployment.spec.retraining
    if retraining is None:
        return []
    template = jobs.get(retraining.job_template_ref.name) if retraining.job_template_ref else None
    of_template = template.spec.feedback_deployments if isinstance(template, FineTuneJob) else []
    added = (feedback_deployment(source.uri) for source in retraining.data or ())
    return sorted({*of_template, *(name for name in added if name is not None)})


def _source(store: Store, deployment: ModelDeployment) -> tuple[FineTuneJob | None, str]:
    """Return the FineTuneJob that the deployment refers to, and why it cannot be read; None and an empty text if there is none."""
    reference = deployment.spec.model.fine_tune_job_ref
    name = reference.name if reference else None
    found = job_named(store, namespace=deployment.metadata["namespace"], name=name)
    return (None, found) if isinstance(found, str) else (found, "")
