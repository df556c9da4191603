"""Servers that do not come up: what a ModelDeployment says of them, and that it says so once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from child_manifests import at, bare, stamp
from operator_harness import OperatorHarness

from tuneloop_operator.controller.observe.model_deployment import server_pod
from tuneloop_operator.decide.model_deployment.trouble import Trouble, trouble_of
from tuneloop_operator.state.observed import ContainerEnd, ServerPod

GONE = (
    "2026-01-01 12:00:00 INFO begins\n"
    "tuneloop-server: pvc://models/artifact: manifest.json cannot be read (No such file or directory); expected the folder of a published artifact\n"
)
CRASHED = {"terminated": {"exitCode": 66, "message": GONE, "finishedAt": stamp(5)}}
LABELS = {"tuneloop.dev/deployment": "api", "tuneloop.dev/revision": "r1"}
NO_CLAIM = 'persistentvolumeclaim "modles" not found'


def view(*, last: dict[str, Any] | None = None, conditions: Any = None, **state: Any) -> ServerPod:
    """Return the view of a pod in which a mesh's proxy runs beside the server."""
    proxy = {"name": "istio-proxy", "state": {"running": {}}}
    server = {"name": "server", "state": state} | ({"lastState": last} if last else {})
    status = {"containerStatuses": [proxy, server], "conditions": conditions}
    return server_pod(bare("Pod", "api-r1-x", labels=LABELS) | {"status": status})


def test_the_view_of_a_servers_pod() -> None:
    end = ContainerEnd(exit_code=66, message=GONE, finished=at(5))
    ready = [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}]
    assert view(running={}, conditions=ready) == ServerPod(name="api-r1-x", uid="u-api-r1-x", revision="r1", ready=True)
    assert view(**CRASHED) == ServerPod(name="api-r1-x", uid="u-api-r1-x", revision="r1", ended=end)
    assert view(running={}, last=CRASHED) == ServerPod(name="api-r1-x", uid="u-api-r1-x", revision="r1", ended=end)
    waiting = view(waiting={"reason": "CrashLoopBackOff", "message": "back-off"}, last=CRASHED)
    assert waiting == ServerPod(name="api-r1-x", uid="u-api-r1-x", revision="r1", ended=end, waiting="CrashLoopBackOff", waiting_message="back-off")  # fmt: skip
    unscheduled = [{"type": "Ready", "status": "False"}, {"type": "PodScheduled", "status": "False", "message": NO_CLAIM}]  # fmt: skip
    assert view(conditions=unscheduled).unschedulable == NO_CLAIM
    assert server_pod(bare("Pod", "p", labels=LABELS)) == ServerPod(name="p", uid="u-p", revision="r1")


def pod(name: str = "p", **fields: Any) -> ServerPod:
    return ServerPod(name=name, revision="r1", **fields)


def end(code: int, *, text: str = "", reason: str = "") -> ContainerEnd:
    return ContainerEnd(exit_code=code, message=text, reason=reason, finished=at(0))


@pytest.mark.parametrize(
    ("pods", "reason", "message"),
    [
        ([], "", ""),
        ([pod()], "", ""),
        ([pod(ended=end(0))], "", ""),
        ([pod(ended=end(66, text=GONE), ready=True)], "", ""),
        ([pod(waiting="ContainerCreating")], "", ""),
        ([pod(waiting="ErrImageNeverPull", waiting_message="no image")], "ImagePull", "pod p: ErrImageNeverPull no image"),
        ([pod(unschedulable=NO_CLAIM)], "Unschedulable", f"pod p: {NO_CLAIM}"),
        ([pod(ended=end(66, text="a\n b \n\n"))], "ArtifactNotReadable", "pod p ended with exit code 66: b"),
        ([pod(ended=end(74))], "DigestMismatch", "pod p ended with exit code 74"),
        ([pod(ended=end(1, text="x" * 3000))], "ServerEnded", f"pod p ended with exit code 1: {'x' * 2048}"),
        ([pod(ended=end(137, reason="OOMKilled"))], "OutOfMemory", "pod p used more memory than its limit"),
        ([pod(waiting="CrashLoopBackOff", ended=end(1))], "ServerEnded", "pod p ended with exit code 1"),
        ([pod(waiting="CrashLoopBackOff", ended=end(0))], "CrashLoopBackOff", "pod p: CrashLoopBackOff"),
        ([pod(unschedulable=NO_CLAIM), pod("q", ended=end(1))], "ServerEnded", "pod q ended with exit code 1"),
    ],
)  # fmt: skip
def test_the_trouble_of_pods(pods: list[ServerPod], reason: str, message: str) -> None:
    trouble = trouble_of(pods, {})
    assert (trouble.reason, trouble.message) == (reason, message)


def test_the_words_of_a_deployment_count_where_its_pods_show_nothing() -> None:
    refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}
    trouble = trouble_of([pod()], {"conditions": [refused]})
    assert (trouble.reason, trouble.message) == ("PodsRefused", "FailedCreate: quota")
    assert trouble_of([pod(ended=end(1))], {"conditions": [refused]}).reason == "ServerEnded"
    overdue = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}
    assert trouble_of([], {"conditions": [overdue]}) == Trouble(message="ProgressDeadlineExceeded: late")


def deploy(harness: OperatorHarness, **model: Any) -> None:
    metadata = {"name": "api", "namespace": "team-a"}
    manifest = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata}
    harness.cluster.add(manifest | {"spec": {"model": {"uri": "pvc://models/artifact"} | model}})


def start(harness: OperatorHarness, **status: Any) -> str:
    """Play the Deployment's controller: one pod; return its name."""
    (name, stored) = next(iter(harness.cluster.of_kind("Deployment").items()))
    labels = stored["spec"]["template"]["metadata"]["labels"]
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{name}-5d", "uid": "u-rs", "controller": True}
    metadata = {"name": f"{name}-5d-x", "namespace": "team-a", "labels": labels, "ownerReferences": [owner]}
    harness.cluster.add({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status})
    return f"{name}-5d-x"


def server(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "server", "state": state} | more]}


def change(harness: OperatorHarness, name: str, status: dict[str, Any]) -> None:
    harness.cluster.change(harness.cluster.of_kind("Pod")[name], status=status)


def conditions(harness: OperatorHarness) -> dict[str, tuple[str, str, str]]:
    status = harness.cluster.objects["ModelDeployment", "team-a", "api"]["status"]
    return {found["type"]: (found["status"], found["reason"], found.get("message", "")) for found in status["conditions"]}  # fmt: skip


def test_an_artifact_that_is_not_there_is_named_in_the_words_of_the_server_and_in_one_event(harness: OperatorHarness) -> None:  # fmt: skip
    async def life() -> None:
        deploy(harness)
        await harness.settle()
        assert conditions(harness)["ModelAvailable"] == ("Unknown", "NotRead", "no server has read pvc://models/artifact yet")  # fmt: skip
        name = start(harness)
        crashed = {"terminated": {"exitCode": 66, "message": GONE}}
        for _ in range(3):  # as the kubelet shows a crash loop
            change(harness, name, server(crashed))
            await harness.settle()
            change(harness, name, server({"waiting": {"reason": "CrashLoopBackOff"}}, lastState=crashed))
            await harness.settle(later=700)
            change(harness, name, server({"running": {}}, lastState=crashed))
            await harness.settle()
        shown = harness.cluster.objects["ModelDeployment", "team-a", "api"]["status"]
        assert (shown["failure"]["class"], shown["failure"]["exitCode"], shown["failure"]["pod"]) == ("ArtifactNotReadable", 66, name)  # fmt: skip
        text = f"pod {name} ended with exit code 66: {GONE.splitlines()[-1]}"
        assert conditions(harness)["ModelAvailable"] == ("False", "ArtifactNotReadable", text)
        assert conditions(harness)["Ready"] == ("False", "ArtifactNotReadable", text)
        assert [(event.type, event.reason, event.message) for event in harness.events] == [("Warning", "ArtifactNotReadable", text)]  # fmt: skip
        killed = {"terminated": {"exitCode": 66, "message": "it is still not there"}}
        change(harness, name, server({"running": {}}, lastState=killed))
        await harness.settle()
        assert conditions(harness)["Ready"][2].endswith("it is still not there")
        assert len(harness.events) == 1
        change(harness, name, server({"running": {}}, lastState=crashed) | {"conditions": [{"type": "Ready", "status": "True"}]})  # fmt: skip
        deployment = next(iter(harness.cluster.of_kind("Deployment").values()))
        harness.cluster.change(deployment, status={"readyReplicas": 1})
        await harness.settle()
        assert conditions(harness)["ModelAvailable"] == ("True", "ArtifactFound", "pvc://models/artifact")
        assert conditions(harness)["Ready"][:2] == ("True", "AllReady")
        assert "failure" not in harness.cluster.objects["ModelDeployment", "team-a", "api"]["status"]
        assert len(harness.events) == 1

    asyncio.run(life())
    assert harness.errors == []


def test_the_words_of_a_server_cannot_steer_a_terminal(harness: OperatorHarness) -> None:
    async def life() -> None:
        deploy(harness)
        await harness.settle()
        name = start(harness)
        change(harness, name, server({"terminated": {"exitCode": 66, "message": "row \x1b[2J\u202e"}}))
        await harness.settle()
        assert conditions(harness)["Ready"][2].endswith(r"row \x1b[2J\u202e")

    asyncio.run(life())


def test_an_image_that_is_tried_again_and_again_makes_one_event(harness: OperatorHarness) -> None:
    async def life() -> None:
        deploy(harness)
        await harness.settle()
        name = start(harness)
        for reason in ("ErrImagePull", "ImagePullBackOff", "ErrImagePull"):
            change(harness, name, server({"waiting": {"reason": reason, "message": "no tag"}}))
            await harness.settle()
            assert conditions(harness)["Ready"][1] == "ImagePull"
            assert reason in conditions(harness)["Ready"][2]
        assert conditions(harness)["ModelAvailable"][0] == "Unknown"
        assert [event.reason for event in harness.events] == ["ImagePull"]

    asyncio.run(life())


def test_pods_of_another_revision_and_pods_that_go_count_no_more(harness: OperatorHarness) -> None:
    async def life() -> None:
        deploy(harness)
        await harness.settle()
        name = start(harness, **server({"terminated": {"exitCode": 74}}))
        await harness.settle()
        assert conditions(harness)["ModelAvailable"][:2] == ("False", "DigestMismatch")
        stored = harness.cluster.objects["ModelDeployment", "team-a", "api"]
        harness.cluster.change(stored, spec=stored["spec"] | {"model": {"uri": "pvc://models/other"}})
        await harness.settle()
        assert conditions(harness)["ModelAvailable"][:2] == ("Unknown", "NotRead")
        assert conditions(harness)["Ready"][1] == "Loading"
        harness.cluster.change(stored, spec=stored["spec"])
        await harness.settle()
        assert conditions(harness)["Ready"][1] == "DigestMismatch"
        pod = harness.cluster.of_kind("Pod")[name]
        harness.cluster.change(pod, metadata=pod["metadata"] | {"deletionTimestamp": stamp(90)})
        await harness.settle()
        assert conditions(harness)["Ready"][1] == "Loading"

    asyncio.run(life())
