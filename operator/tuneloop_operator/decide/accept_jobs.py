"""Whether a FineTuneJob that fits the schema can run here, with these settings."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from tuneloop_api.v1alpha1.fine_tune_job.network import refused_network
from tuneloop_api.v1alpha1.fine_tune_job.search_points import refused_values
from tuneloop_operator.decide.accept_addresses import local_address
from tuneloop_operator.decide.accept_pods import pod_refusals, resources_refusals
from tuneloop_operator.decide.accept_secrets import secret_refusals
from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.v1alpha1 import FineTuneJobSpec
    from tuneloop_operator.settings.operator import OperatorSettings


_LONGEST_VALUE = 100
_LONGEST_REASON = 500
_FEEDBACK_FORMATS = {
    "text-classification": ("auto", "text-label"),
    "text-generation": ("auto", "messages", "prompt-completion"),
}
"""By task, formats of jobs that learn from feedback: rows of feedback are a text with its label, or a prompt or a conversation with its correction."""


def job_refusals(spec: FineTuneJobSpec, settings: OperatorSettings) -> tuple[Refusal, ...]:
    """Return why the job cannot run here; empty if it can."""
    return (
        *_labels_alike(spec),
        *_local_addresses(spec, settings),
        *_feedback_of_another_task(spec),
        *_missing_claim(spec, settings),
        *_search(spec),
        *secret_refusals(spec),
        *pod_refusals(spec, spec.scheduling),
        *resources_refusals(spec.resources),
        *_network(spec),
        *_host_network(spec, settings),
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
    yield from local_address("spec.model.uri", spec.model.uri)
    if beside := spec.evaluation.compare_with if spec.evaluation else None:
        yield from local_address("spec.evaluation.compareWith.uri", beside.uri)
    for field, source in spec.sources:
        yield from local_address(f"{field}.uri", source.uri)


def _feedback_of_another_task(spec: FineTuneJobSpec) -> Iterator[Refusal]:
    """Yield feedback for a task, or for a format of it, of which a client can send neither a label nor a correction."""
    found = [(field, source.uri) for field, source in spec.sources if source.is_feedback]
    given = ", ".join(dict.fromkeys(uri for _, uri in found))
    formats, format_ = _FEEDBACK_FORMATS.get(spec.task_id, ()), spec.data.format or "auto"
    if not found or format_ in formats:
        return
    if not formats:
        yield Refusal(
            reason="FeedbackOfAnotherTask",
            field=f"{found[0][0]}.uri",
            given=given,
            allowed=f"feedback is a label or a correction, which applies only to task: {' and '.join(_FEEDBACK_FORMATS)}, the first with one label a text",
            example="uri: pvc://models/tagged.jsonl",
        )
        return
    yield Refusal(
        reason="FeedbackOfAnotherFormat",
        field="spec.data.format",
        given=format_,
        allowed=f"a job that learns from {given} has one of the formats {', '.join(formats)}",
        example=f"format: {formats[1]}",
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


def _search(spec: FineTuneJobSpec) -> Iterator[Refusal]:
    """Yield values of the search that the spec itself refuses."""
    for refused in refused_values(spec):
        yield Refusal(
            reason="SearchRefused",
            field=refused.field,
            given=refused.given[:_LONGEST_VALUE],
            allowed=f"every value of a search must be allowed in the spec itself: {refused.reason}"[:_LONGEST_REASON],
            example="space: [{path: training.learningRate, type: log-float, low: 1e-5, high: 1e-3}]",
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
