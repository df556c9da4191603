"""Deployments whose servers are not ours: their revisions, how routers find them beside ours, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from child_manifests import at, bare, stamp
from desired_pods import SETTINGS, a_deployment, container_of, pod_in, server
from operator_harness import OperatorHarness
from routed_manifests import routed_deployment

from tuneloop_api.contract.server_config import MOST_BODY_BYTES
from tuneloop_api.v1alpha1 import ModelDeploymentSpec
from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.observe.model_deployment import observe, server_pod
from tuneloop_operator.controller.splits import Splits
from tuneloop_operator.decide.model_deployment.accept import deployment_refusals
from tuneloop_operator.decide.model_deployment.revision_servers import revision_servers
from tuneloop_operator.decide.model_deployment.routed import policy_of_servers
from tuneloop_operator.decide.model_deployment.trouble import trouble_of
from tuneloop_operator.desired.model_deployment.serving import ArtifactReference, server_config
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.state.observed import Facts, ObservedDeployment

ARTIFACT = ArtifactReference(uri="pvc://models/artifact", digest=None)
CUSTOM: dict[str, Any] = {"image": "registry.example/serve:1", "runtime": {"type": "Custom"}}
DAMAGED = "tuneloop-server: pvc://models/artifact: model/a: found 1 bytes, expected 2\n"


def revision(**spec: Any) -> str:
    return server_config(a_deployment(**spec), ARTIFACT).revision


def test_our_own_server_has_the_revision_that_it_always_had() -> None:
    assert revision() == revision(runtime={}) == revision(runtime={"type": "Builtin", "engine": "auto"})


def test_whatever_changes_the_pod_of_another_image_makes_a_revision() -> None:
    runtimes: list[dict[str, Any]] = [
        {},
        {"args": ["--a"]},
        {"command": ["serve"]},
        {"endpoints": {"port": 8000}},
        {"endpoints": {"readinessPath": "/ready"}},
    ]
    specs = [CUSTOM | {"runtime": CUSTOM["runtime"] | runtime} for runtime in runtimes]
    specs += [
        {"image": CUSTOM["image"]},
        CUSTOM | {"runtime": {"type": "VLLM"}},
        CUSTOM | {"lifecycle": {"preStop": "5s"}},
    ]
    assert len({revision(**spec) for spec in specs}) == len(specs)


@pytest.mark.parametrize(("spec", "gpus"), [({}, 1), ({"image": "registry.example/server:1"}, 1), (CUSTOM, None)])
def test_our_own_server_is_told_of_its_gpus_and_another_program_finds_its_own(
    spec: dict[str, Any], gpus: int | None
) -> None:
    assert server_config(a_deployment(**spec, resources={"gpus": 1}), ARTIFACT).gpus == gpus


@pytest.mark.parametrize("type_", ["Custom", "VLLM"])
def test_local_mode_runs_no_images(type_: str) -> None:
    spec = ModelDeploymentSpec.from_wire(
        {"model": {"uri": "file:///artifact"}, "image": "a", "runtime": {"type": type_}}
    )
    (refusal,) = deployment_refusals(spec, OperatorSettings(local=True))
    assert str(refusal) == (
        f"spec.runtime.type: found {type_}; local mode runs no images: it serves with Builtin, "
        "and Custom and VLLM need a cluster; for example type: Builtin"
    )


def stored(name: str, **spec: Any) -> dict[str, Any]:
    """Return a stored Deployment of the revision `name` that was made of this spec."""
    made = server(SETTINGS, **spec)
    labels = {
        "app.kubernetes.io/managed-by": "tuneloop",
        "tuneloop.dev/deployment": "reviews",
        "tuneloop.dev/revision": name,
    }
    owner = routed_deployment(7)["metadata"]["uid"]
    reference = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "name": "reviews", "uid": owner, "controller": True}  # fmt: skip
    metadata = {"name": f"reviews-{name}", "namespace": "team-a", "uid": name, "labels": labels, "ownerReferences": [reference]}  # fmt: skip
    return made | {"metadata": metadata}


def test_routers_ask_each_revision_at_its_own_port_and_path() -> None:
    store = new_store()
    splits = Splits(store, settings=OperatorSettings)
    store.put(routed_deployment(7, r2=5, r1=95))
    before = splits.of("team-a", "reviews")
    assert before is not None
    assert {found.port for found in before.revisions} == {8080}
    endpoints = {"port": 8000, "readinessPath": "/v2/health/ready"}
    store.put(stored("r2", **CUSTOM | {"runtime": {"type": "Custom", "endpoints": endpoints}}))
    store.put(stored("r1"))
    split = splits.of("team-a", "reviews")
    assert split is not None
    assert [(found.port, found.health_path) for found in split.revisions] == [(8000, "/v2/health/ready"), (8080, None)]


def test_routers_repeat_no_request_that_another_image_may_have_begun() -> None:
    store = new_store()
    store.put(routed_deployment(7, r2=5, r1=95))
    store.put(stored("r2", **CUSTOM))
    store.put(stored("r1"))
    split = Splits(store, settings=OperatorSettings).of("team-a", "reviews")
    assert split is not None
    assert [found.only_once for found in split.revisions] == [True, None]


@pytest.mark.parametrize(("canary", "most"), [({}, MOST_BODY_BYTES), (CUSTOM, None)], ids=["ours", "another image"])
def test_routers_hold_no_larger_bodies_than_our_own_servers_take(canary: dict[str, Any], most: int | None) -> None:
    store = new_store()
    store.put(routed_deployment(7, r2=5, r1=95))
    store.put(stored("r2", **canary))
    store.put(stored("r1"))
    split = Splits(store, settings=OperatorSettings).of("team-a", "reviews")
    assert split is not None
    assert split.limits.body_bytes == most


def observed(*children: dict[str, Any], **spec: Any) -> ObservedDeployment:
    store = new_store()
    manifest = routed_deployment(7, r2=5, r1=95)
    manifest["spec"] |= spec
    for child in children:
        store.put(child)
    return observe(store, manifest, Facts())


def test_the_policy_lets_clients_reach_the_servers_of_every_revision() -> None:
    old = CUSTOM | {"runtime": {"type": "Custom", "endpoints": {"port": 8000, "metricsPort": 9000}}}
    found = observed(stored("r1", **old))
    policy = policy_of_servers(found, settings=SETTINGS)
    (rule,) = policy["spec"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == [8000, 8080, 8081, 9000]


def test_an_upgrade_of_the_operator_replaces_no_server_of_another_image() -> None:
    first = observed(**CUSTOM)
    config = server_config(first.deployment, ARTIFACT)
    made = revision_servers(first, config, settings=SETTINGS)
    before = stored(config.revision, **CUSTOM) | {"spec": made["spec"]}
    upgraded = SETTINGS.model_copy(update={"server_image": "registry.example/server:next"})
    after = revision_servers(observed(before, **CUSTOM), config, settings=upgraded)
    assert after["spec"]["template"] == made["spec"]["template"]


def checked(**status: Any) -> Any:
    """Return the view of a pod whose artifact is checked before the image starts."""
    labels = {"tuneloop.dev/deployment": "reviews", "tuneloop.dev/revision": "r1"}
    waiting = {"waiting": {"reason": "PodInitializing"}}
    mesh = {"name": "istio-init", "state": {"terminated": {"exitCode": 1, "finishedAt": stamp(5)}}}
    found = {
        "containerStatuses": [{"name": "server", "state": waiting}],
        "initContainerStatuses": [mesh, {"name": "check-artifact"} | status],
    }
    return server_pod(bare("Pod", "p", labels=labels) | {"status": found})


def test_a_damaged_artifact_is_reported_as_our_own_server_reports_it() -> None:
    ended = {"terminated": {"exitCode": 74, "message": DAMAGED, "finishedAt": stamp(5)}}
    back_off = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    pod = checked(state=back_off, lastState=ended, restartCount=3)
    assert pod.restarts == 3
    assert pod.ended.finished == at(5)
    trouble = trouble_of([pod], {})
    assert (trouble.reason, trouble.artifact) == ("DigestMismatch", "DigestMismatch")
    assert trouble.message.endswith("model/a: found 1 bytes, expected 2")


def test_a_check_that_has_passed_says_nothing() -> None:
    failed = {"terminated": {"exitCode": 74, "message": DAMAGED, "finishedAt": stamp(5)}}
    passed = {"terminated": {"exitCode": 0, "finishedAt": stamp(9)}}
    assert checked(state=passed, lastState=failed).ended is None
    assert checked(state={"running": {}}).ended is None


@pytest.mark.parametrize("runtime", [{}, {"runtime": {}}, {"image": "a", "runtime": {"type": "Custom"}}])
def test_a_model_that_writes_texts_for_texts_gets_a_server_of_ours_or_of_the_users(
    harness: OperatorHarness, runtime: dict[str, Any]
) -> None:
    async def life() -> None:
        spec = {"model": {"fineTuneJobRef": {"name": "reviews"}}} | runtime
        metadata = {"name": "api", "namespace": "team-a"}
        harness.cluster.add(
            {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata, "spec": spec}
        )
        harness.submit(suspend=True, task="text2text-generation")
        artifact = {"uri": "pvc://models/a", "digest": "sha256:" + "b" * 64, "sizeBytes": 1, "formats": ["safetensors"]}
        complete = {"type": "Complete", "status": "True", "reason": "Reported", "message": "", "lastTransitionTime": harness.stamp()}  # fmt: skip
        harness.cluster.change(harness.job(), status={"artifact": artifact, "conditions": [complete]})
        await harness.settle()
        status = harness.cluster.objects["ModelDeployment", "team-a", "api"]["status"]
        (available,) = [found for found in status["conditions"] if found["type"] == "ModelAvailable"]
        assert available["reason"] == "ArtifactFound"
        assert harness.cluster.of_kind("Deployment")

    asyncio.run(life())


@pytest.mark.parametrize(
    ("task", "reason", "commands"),
    [
        ({"task": "text2text-generation"}, "TaskNotServed", []),
        ({"task": "text-classification"}, "ArtifactFound", [["vllm", "serve"]]),
        ({"task": "text-generation"}, "ArtifactFound", [["vllm", "serve"]]),
        ({"task": "text-classification", "taskOptions": {"problemType": "multi-label"}}, "TaskNotServed", []),
        ({"task": "token-classification"}, "TaskNotServed", []),
    ],
)
def test_vllm_gets_no_model_that_it_cannot_serve(
    harness: OperatorHarness, task: dict[str, Any], reason: str, commands: list[list[str]]
) -> None:
    async def life() -> None:
        metadata = {"name": "api", "namespace": "team-a"}
        spec = {"model": {"fineTuneJobRef": {"name": "reviews"}}, "image": "a", "runtime": {"type": "VLLM"}}
        body = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata, "spec": spec}
        harness.cluster.add(body)
        harness.submit(suspend=True, **task)
        artifact = {"uri": "pvc://models/a", "digest": "sha256:" + "b" * 64, "sizeBytes": 1, "formats": ["safetensors"]}
        complete = {"type": "Complete", "status": "True", "reason": "Reported", "message": "", "lastTransitionTime": harness.stamp()}  # fmt: skip
        harness.cluster.change(harness.job(), status={"artifact": artifact, "conditions": [complete]})
        await harness.settle()
        status = harness.cluster.objects["ModelDeployment", "team-a", "api"]["status"]
        (available,) = [found for found in status["conditions"] if found["type"] == "ModelAvailable"]
        assert available["reason"] == reason
        made = harness.cluster.of_kind("Deployment").values()
        assert [container_of(pod_in(deployment))["command"] for deployment in made] == commands

    asyncio.run(life())
