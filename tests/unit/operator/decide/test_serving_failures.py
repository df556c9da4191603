"""`status.failure` of a ModelDeployment: each class, from statuses of pods as the kubelet writes them."""

from __future__ import annotations

from typing import Any

import pytest
from child_manifests import bare, stamp

from tuneloop_api.contract.redaction import last_lines
from tuneloop_api.contract.server_end import ServerEnd
from tuneloop_api.contract.termination import TERMINATION_MESSAGE_BYTES, fit_termination_message
from tuneloop_api.v1alpha1 import ModelDeploymentStatus
from tuneloop_api.v1alpha1.failure import ServingFailure
from tuneloop_api.wire.serving_failure import ServingFailureClass
from tuneloop_operator.controller.observe.model_deployment import server_pod
from tuneloop_operator.decide.model_deployment.serving_failure import MemoryFacts, failure_event, made_failure
from tuneloop_operator.decide.model_deployment.trouble import trouble_of

LABELS = {"tuneloop.dev/deployment": "api", "tuneloop.dev/revision": "r1"}
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}}


def words(kind: ServingFailureClass, message: str = "it is so", **fields: Any) -> str:
    """Return the termination message of a server."""
    return fit_termination_message(ServerEnd(failure_class=kind, message=message, **fields)).decode()


def ended(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    """Return the state of a server that ended and is not started again yet."""
    last = {"terminated": {"exitCode": code, "reason": reason, "message": message, "finishedAt": stamp(5)}}
    return {"state": BACK_OFF, "lastState": last, "restartCount": 2}


def failure(container: dict[str, Any], *, memory: MemoryFacts | None = None, conditions: Any = None) -> ServingFailure:
    status = {"containerStatuses": [{"name": "server"} | container], "conditions": conditions}
    pod = server_pod(bare("Pod", "api-r1-x", labels=LABELS) | {"spec": {"nodeName": "n1"}, "status": status})
    return made_failure(trouble_of([pod], {}), revision="r1", memory=memory or MemoryFacts())


def waiting(reason: str) -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": "m"}}}


NO_NODE = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"}]


@pytest.mark.parametrize(
    ("container", "kind"),
    [
        *((ended(66, words(kind)), kind) for kind in ServingFailureClass),
        (ended(137, reason="OOMKilled"), "OutOfMemory"),
        (ended(137, words(ServingFailureClass.MODEL_LOAD_FAILED), reason="OOMKilled"), "OutOfMemory"),
        (ended(1, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"), "OutOfMemory"),
        (ended(1, "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "OutOfMemory"),
        (ended(137), "ServerEnded"),
        (ended(72), "OutOfMemory"),
        (ended(74), "DigestMismatch"),
        (ended(66), "ArtifactNotReadable"),
        (ended(78, "tuneloop-server: cannot listen on 0.0.0.0 port 8080"), "ServerEnded"),
        (ended(1, '{"failureClass": "ClassOfALaterRelease", "message": "m"}'), "ServerEnded"),
        (ended(1, '{"not": "ours"}'), "ServerEnded"),
        (ended(1, "{"), "ServerEnded"),
        *((waiting(word), "ImagePull") for word in ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable", "ImageInspectError")),
        (waiting("CreateContainerConfigError"), "CreateContainerConfigError"),
    ],
)  # fmt: skip
def test_the_class_of_a_failure(container: dict[str, Any], kind: str) -> None:
    found = failure(container)
    assert found.failure_class == kind
    assert found.hint
    assert (found.pod, found.node, found.revision) == ("api-r1-x", "n1", "r1")


def test_a_pod_without_a_node_keeps_the_words_of_the_scheduler() -> None:
    found = failure({}, conditions=NO_NODE)
    assert (found.failure_class, found.message) == ("Unschedulable", "0/3 nodes are available")


def test_what_the_server_says_stands_in_the_status() -> None:
    end = words(ServingFailureClass.ARTIFACT_MISSING, "pvc://m/a: no", hint="look", last_lines=["first", "last"])
    assert failure(ended(66, end)).to_wire() == {
        "revision": "r1",
        "class": "ArtifactMissing",
        "exitCode": 66,
        "pod": "api-r1-x",
        "node": "n1",
        "message": "pvc://m/a: no",
        "hint": "look",
        "lastLines": ["first", "last"],
    }


def test_the_end_of_a_log_is_cut_and_shows_no_secret_and_no_control_character() -> None:
    lines = [f"line {number}" for number in range(90)]
    log = "\n".join([*lines, "GET https://me:secret@hub/x", "Bearer abcdefghijkl", "\x1b[31mred \u202e", "y" * 900])
    found = failure(ended(1, log)).last_lines or []
    assert found[:2] == ["line 74", "line 75"]
    assert found[-4:-1] == ["GET https://***@hub/x", "Bearer ***", r"red \u202e"]
    assert (len(found), len(found[-1])) == (20, 200)


def test_whatever_a_server_writes_fits_into_the_status() -> None:
    many = words(
        ServingFailureClass.MODEL_LOAD_FAILED, "m\x01" * 3000, hint="h\x01" * 3000, last_lines=["l" * 900] * 90
    )
    assert len(many.encode()) <= TERMINATION_MESSAGE_BYTES
    failure(ended(66, many))
    longest = '{"failureClass": "ModelLoadFailed", "message": "%s", "hint": "%s"}' % (2 * ("\\u0001" * 2000,))
    found = failure(ended(66, longest))
    assert max(len(found.message or ""), len(found.hint or "")) <= 4096


@pytest.mark.parametrize(
    ("memory", "hint"),
    [
        (MemoryFacts(limit="512Mi", size_bytes=1_340_000_000), "The limit is 512Mi (resources.memory), and the artifact has 1.3 GB: set resources.memory to more"),
        (MemoryFacts(limit="512Mi"), "The limit is 512Mi (resources.memory): set resources.memory to more"),
        (MemoryFacts(), "There is no resources.memory, so that the memory of the node is the limit: set resources.memory"),
    ],
)  # fmt: skip
def test_the_hint_for_memory_names_the_limit_the_size_and_the_field(memory: MemoryFacts, hint: str) -> None:
    assert (failure(ended(137, reason="OOMKilled"), memory=memory).hint or "").startswith(hint)


def test_an_external_server_is_told_of_the_memory_of_its_gpu() -> None:
    found = failure(ended(1, "CUDA out of memory"), memory=MemoryFacts(limit="8Gi", is_external=True))
    assert "runtime.args" in (found.hint or "")


def test_a_failure_is_an_event_once() -> None:
    before = ModelDeploymentStatus(failure=failure(ended(66, words(ServingFailureClass.ARTIFACT_MISSING, "gone"))))
    again = ModelDeploymentStatus(failure=failure(ended(66, words(ServingFailureClass.ARTIFACT_MISSING, "still"))))
    other = ModelDeploymentStatus(failure=failure(ended(74)))
    (event,) = failure_event(None, before)
    assert (event.type, event.reason, event.message) == (
        "Warning",
        "ArtifactMissing",
        "revision r1: pod api-r1-x: gone",
    )
    assert failure_event(before, again) == ()
    assert [found.reason for found in failure_event(again, other)] == ["DigestMismatch"]
    assert failure_event(before, ModelDeploymentStatus()) == ()


def test_lines_of_a_message_are_masked_in_the_server_by_its_own_variables() -> None:
    assert last_lines(["key is abcdef-123"], environment={"API_KEY": "abcdef-123"}) == ["key is ***"]
