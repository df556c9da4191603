"""`status.failure` of a ModelDeployment: what is wrong with the servers of a revision, and what a person can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuneloop_api.v1alpha1.failure import ServingFailure
from tuneloop_api.wire.printable import printable
from tuneloop_api.wire.serving_failure import ServingFailureClass
from tuneloop_operator.decide.decision import Event
from tuneloop_operator.decide.model_deployment.trouble import trouble_of
from tuneloop_operator.names import SERVER_CONTAINER, revision_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_api.v1alpha1.model_deployment.status import ModelDeploymentStatus
    from tuneloop_operator.decide.model_deployment.trouble import Trouble
    from tuneloop_operator.state.observed import ObservedDeployment

_LONGEST = 4096
"""Characters of a sentence that the API server takes."""
_GB = 1e9
_HINTS: dict[str, str] = {
    ServingFailureClass.ARTIFACT_MISSING: "Look at the folder that the message names: `kubectl get ftj -o wide` lists the artifacts of jobs in the column ARTIFACT.",
    ServingFailureClass.ARTIFACT_NOT_READABLE: "Look at the folder that the message names: is it there, and may the user of the pod read it?",
    ServingFailureClass.DIGEST_MISMATCH: "Publish the artifact again, or correct its address or digest in spec.model.",
    ServingFailureClass.MODEL_LOAD_FAILED: "Publish the artifact again with this release, or set spec.image to the server of the release that made it.",
    ServingFailureClass.IMAGE_PULL: "Check spec.image (or the operator's image setting), spec.imagePullSecrets, and the node's access to the registry.",
    ServingFailureClass.SERVER_ENDED: "Look at the log of the pod: kubectl logs POD --previous.",
    "Unschedulable": "Ask for less in resources, make room on the nodes, or look at scheduling and at the claim that the message names.",
    "CreateContainerConfigError": "Make the Secret or ConfigMap that the message names; the pod starts by itself once it is there.",
    "FailedMount": "Make what the message names; the pod starts by itself once it is there.",
    "PodsRefused": "Raise the quota, or ask for less in resources; the pods come by themselves once they are allowed.",
}
_OTHER = "The Events of the pod say more: kubectl describe pod POD."


@dataclass(frozen=True, kw_only=True)
class MemoryFacts:
    """What is known of the memory of a server."""

    limit: str | None = None
    """Of its container; None: none but the node's."""
    size_bytes: int | None = None
    """Of the artifact; None: not known."""
    is_external: bool = False
    """Whether an image that is not ours serves."""


def failure_of(observed: ObservedDeployment, revision: str, *, offered: str) -> ServingFailure | None:
    """Return why the servers of a revision do not come up; None if nothing is known to be wrong. offered: the revision that the spec asks for."""
    stored = observed.present.get(("Deployment", revision_name(observed.deployment, revision))) or {}
    trouble = trouble_of([pod for pod in observed.pods if pod.revision == revision], stored.get("status") or {})
    if not trouble.reason:
        return None
    is_external = observed.deployment.spec.has_external_runtime
    size_bytes = _size(observed) if revision == offered else None
    memory = MemoryFacts(limit=_memory_limit(stored), size_bytes=size_bytes, is_external=is_external)
    return made_failure(trouble, revision=revision, memory=memory)


def made_failure(trouble: Trouble, *, revision: str, memory: MemoryFacts) -> ServingFailure:
    """Return a trouble with its hint, as it stands in the status."""
    pod = trouble.pod
    return ServingFailure(
        revision=revision,
        failure_class=trouble.reason,
        exit_code=trouble.exit_code,
        pod=pod.name if pod else None,
        node=pod.node if pod else None,
        message=_cut(trouble.text),
        hint=_cut(_hint(trouble, memory)),
        last_lines=list(trouble.lines) or None,
    )


def failure_event(before: ModelDeploymentStatus | None, after: ModelDeploymentStatus) -> tuple[Event, ...]:
    """Return an Event for a failure that is new: not one for each new start of a server, nor for each new pull of an image."""
    old, new = before.failure if before else None, after.failure
    if new is None or (old and (old.revision, old.failure_class) == (new.revision, new.failure_class)):
        return ()
    where = f"pod {new.pod}: " if new.pod else ""
    return (Event(type="Warning", reason=new.failure_class, message=f"revision {new.revision}: {where}{new.message}"),)


def _hint(trouble: Trouble, memory: MemoryFacts) -> str:
    if trouble.reason == ServingFailureClass.OUT_OF_MEMORY:
        return _memory_hint(memory)
    hint = _HINTS.get(trouble.reason, _OTHER)
    return trouble.hint or (hint.replace("POD", trouble.pod.name) if trouble.pod else hint)


def _memory_hint(memory: MemoryFacts) -> str:
    limit = f"The limit is {memory.limit} (resources.memory)" if memory.limit else "There is no resources.memory, so that the memory of the node is the limit"  # fmt: skip
    size = f", and the artifact has {memory.size_bytes / _GB:.2g} GB" if memory.size_bytes is not None else ""
    smaller = "; of a GPU's memory lower what runtime.args let it use" if memory.is_external else ", or lower batching.maxBatchSize"  # fmt: skip
    return f"{limit}{size}: set resources.memory to more than the weights and a full batch take{smaller}."


def _size(observed: ObservedDeployment) -> int | None:
    """Return the size of the artifact of the FineTuneJob that the spec refers to; None if it has none."""
    status = observed.source.status if observed.source else None
    return status.artifact.size_bytes if status and status.artifact else None


def _memory_limit(stored: Mapping[str, Any]) -> str | None:
    """Return the limit of a revision's servers by its Deployment; None if it has none, or is not there."""
    template = ((stored.get("spec") or {}).get("template") or {}).get("spec") or {}
    for container in template.get("containers") or ():
        if container.get("name") == SERVER_CONTAINER:
            limit: str | None = ((container.get("resources") or {}).get("limits") or {}).get("memory")
            return limit
    return None


def _cut(text: str) -> str:
    """Return a text as it fits into a status, where an escape is longer than its character."""
    safe = printable(text)
    return safe if len(safe) <= _LONGEST else f"{safe[: _LONGEST - 1]}…"
