"""Whether a job or deployment that fits the schema can run here, with these settings."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_api.v1alpha1.common import ResourceAmounts
from tuneloop_api.v1alpha1.fine_tune_job.network import refused_network
from tuneloop_api.v1alpha1.model_deployment.rollout import DEFAULT_STEPS
from tuneloop_api.wire.durations import seconds
from tuneloop_api.wire.names import HUB_TOKEN
from tuneloop_api.wire.uris import FILE_SCHEME, HUB_SCHEME
from tuneloop_operator.decide.accept_pods import pod_refusals, resource_refusals
from tuneloop_operator.decide.accept_queries import query_refusals
from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.v1alpha1 import FineTuneJobSpec, ModelDeployment, ModelDeploymentSpec
    from tuneloop_api.v1alpha1.fine_tune_job.spec import Resources
    from tuneloop_api.v1alpha1.model_deployment.rollout import RolloutOptions
    from tuneloop_api.v1alpha1.model_deployment.spec import ServerResources
    from tuneloop_operator.settings.operator import OperatorSettings


_LONGEST_VALUE = 100


def refusals_of(resource: FineTuneJob | ModelDeployment, settings: OperatorSettings) -> tuple[Refusal, ...]:
    """Return why the job or deployment cannot run here; empty if it can."""
    if isinstance(resource, FineTuneJob):
        return job_refusals(resource.spec, settings)
    return deployment_refusals(resource.spec, settings)


def job_refusals(spec: FineTuneJobSpec, settings: OperatorSettings) -> tuple[Refusal, ...]:
    """Return why the job cannot run here; empty if it can."""
    return (
        *_labels_alike(spec),
        *_local_addresses(spec, settings),
        *_missing_claim(spec, settings),
        *_two_tokens(spec),
        *pod_refusals(spec, spec.scheduling),
        *_resources(spec.resources),
        *_network(spec),
        *_host_network(spec, settings),
    )


def deployment_refusals(spec: ModelDeploymentSpec, settings: OperatorSettings) -> tuple[Refusal, ...]:
    """Return why the deployment cannot run here; empty if it can."""
    return (
        *_no_artifact(spec, settings),
        *pod_refusals(spec, spec.scheduling),
        *_resources(spec.resources),
        *_long_steps(spec.rollout),
        *query_refusals(spec.rollout),
    )


def _resources(resources: Resources | ServerResources | None) -> Iterator[Refusal]:
    if resources is not None:
        limits = ResourceAmounts(cpu=resources.cpu, memory=resources.memory)
        yield from resource_refusals(resources, limits=limits, gpu=resources.gpu_resource)


def _no_artifact(spec: ModelDeploymentSpec, settings: OperatorSettings) -> Iterator[Refusal]:
    uri = spec.model.uri
    if uri is None:
        return
    if uri.startswith(HUB_SCHEME):
        yield Refusal(
            reason="NotAnArtifact",
            field="spec.model.uri",
            given=uri,
            allowed="the folder of an artifact that a FineTuneJob published is needed: its classes and checks are in its manifest",
            example="pvc://models/jobs/reviews-1a2b3c4d/artifact",
        )
    elif not settings.local:
        yield from _local("spec.model.uri", uri)


def _long_steps(options: RolloutOptions | None) -> Iterator[Refusal]:
    """Yield a time for the whole roll-out in which its steps have no room: it would always be held."""
    if options is None or options.strategy not in {None, "Canary"}:
        return
    least = sum(seconds(step.min_duration or "0s") for step in options.steps or DEFAULT_STEPS)
    if least >= seconds(options.max_duration or "1d"):
        yield Refusal(
            reason="StepsTooLong",
            field="spec.rollout.maxDuration",
            given=options.max_duration or "1d, the default",
            allowed=f"the steps last {least / 3600:.3g} hours at least, so a longer time is needed for the whole roll-out",
            example=f"maxDuration: {2 * least // 3600 + 1}h",
        )


def _labels_alike(spec: FineTuneJobSpec) -> Iterator[Refusal]:
    """Yield the classes that repeat an earlier class, or look the same: one letter can be written as two code points."""
    labels = spec.model.labels or []
    first: dict[str, int] = {}
    for number, label in enumerate(labels):
        other = first.setdefault(unicodedata.normalize("NFC", label), number)
        if other != number:
            yield Refusal(
                reason="LabelsAlike",
                field=f"spec.model.labels[{number}]",
                given=ascii(label),
                allowed=f"each class is named once, and no two names look alike; labels[{other}] is {labels[other]!a}",
                example="labels: [negative, positive]",
            )


def _local_addresses(spec: FineTuneJobSpec, settings: OperatorSettings) -> Iterator[Refusal]:
    if settings.local:
        return
    yield from _local("spec.model.uri", spec.model.uri)
    for split in ("train", "validation", "test"):
        for number, source in enumerate(getattr(spec.data, split) or ()):
            yield from _local(f"spec.data.{split}[{number}].uri", source.uri)


def _local(field: str, uri: str) -> Iterator[Refusal]:
    if uri.startswith(FILE_SCHEME):
        yield Refusal(
            reason="LocalAddress",
            field=field,
            given=uri,
            allowed="file:// is a path of one machine and works only with `tuneloop run`; in a cluster data and models come from a claim or a hub",
            example="pvc://models/" + uri.removeprefix(FILE_SCHEME).strip("/"),
        )


def _network(spec: FineTuneJobSpec) -> Iterator[Refusal]:
    for refusal in refused_network(spec.network, spec.env or []) if spec.network else ():
        yield Refusal(
            reason="InvalidVariable",
            field=f"spec.{refusal.field}",
            given=ascii(refusal.name)[:_LONGEST_VALUE],
            allowed=refusal.allowed,
            example=refusal.example,
        )


def _host_network(spec: FineTuneJobSpec, settings: OperatorSettings) -> Iterator[Refusal]:
    """Yield the network of the node, unless the administrator allows it. Local mode has no other network, and leaves the field out."""
    if settings.local or settings.allow_host_network or not (spec.scheduling and spec.scheduling.host_network):
        return
    yield Refusal(
        reason="HostNetworkNotAllowed",
        field="spec.scheduling.hostNetwork",
        given="true",
        allowed="only false is allowed here: pods on the network of a node escape every NetworkPolicy. The administrator allows it by `children.allow.hostNetwork: true` of the chart",
        example="hostNetwork: false",
    )


def _missing_claim(spec: FineTuneJobSpec, settings: OperatorSettings) -> Iterator[Refusal]:
    if (spec.storage and spec.storage.claim) or settings.default_claim:
        return
    yield Refusal(
        reason="NoClaim",
        field="spec.storage.claim",
        given="nothing",
        allowed="name a PersistentVolumeClaim of this namespace to write to, since the operator has no default claim",
        example="storage: {claim: models}",
    )


def _two_tokens(spec: FineTuneJobSpec) -> Iterator[Refusal]:
    """Yield the variable that gives `prepare` a second token of the hub."""
    if spec.model.secret_ref is None:
        return
    for number, variable in enumerate(spec.env or ()):
        if variable.name == HUB_TOKEN:
            yield Refusal(
                reason="InvalidVariable",
                field=f"spec.env[{number}].name",
                given=repr(HUB_TOKEN),
                allowed="model.secretRef gives prepare this variable; leave one of the two out",
                example="model.secretRef alone, so that no other stage gets the token",
            )
