"""A volume that cannot be mounted: only an Event of the pod says why, and the status shows its words."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from desired_pods import a_deployment, a_job
from observed_jobs import NOW, SETTINGS

from tuneloop_operator.decide.decision import Decision, MountFailures
from tuneloop_operator.decide.model_deployment.deployment import decide as deployment_decision
from tuneloop_operator.desired.common.volumes import has_given_volumes
from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.settings.trusted_ca import TrustedCa
from tuneloop_operator.state.mounts import mounts_in, unread_mounts
from tuneloop_operator.state.observed import Blocker, ObservedDeployment, ObservedPod, ServerPod
from tuneloop_operator.status.waiting import why_waiting

VOLUMES = [{"name": "a", "mountPath": "/a", "secret": {"secretName": "trackers"}}]
SAYS = 'MountVolume.SetUp failed for volume "a" : secret "trackers" not found'


def a_pod(age: float, **fields: Any) -> ObservedPod:
    created = NOW - timedelta(seconds=age)
    return ObservedPod(**{"name": "p", "uid": "u", "created": created, "waiting": "ContainerCreating"} | fields)


def observed_deployment(*, spec: dict[str, Any], pods: tuple[ServerPod, ...] = ()) -> ObservedDeployment:
    deployment = a_deployment(**spec)
    return ObservedDeployment(deployment=deployment, manifest={}, present={}, pods=pods)


@pytest.mark.parametrize("kind", [a_job, a_deployment])
@pytest.mark.parametrize(
    ("pods", "unread", "again"),
    [
        pytest.param([], (), None, id="no pod"),
        pytest.param([a_pod(4)], (), 6, id="a young pod"),
        pytest.param([a_pod(10)], ("u",), 10, id="a late pod"),
        pytest.param([a_pod(4, uid="v"), a_pod(25)], ("u",), 25, id="the late pod alone"),
        pytest.param([a_pod(25), a_pod(30, uid="v")], ("u",), 30, id="one of two late pods"),
        pytest.param([a_pod(600)], ("u",), 60, id="at the latest after a minute"),
        pytest.param([a_pod(25, mount_failure="")], (), 25, id="nothing was found"),
        pytest.param([a_pod(25, mount_failure=SAYS)], (), 25, id="a failure was found"),
        pytest.param([a_pod(25, waiting="ErrImagePull")], (), None, id="the volumes are mounted"),
        pytest.param([a_pod(25, waiting="")], (), None, id="without a node"),
    ],
)
def test_events_are_read_of_a_late_pod(kind: Any, pods: list[ObservedPod], unread: tuple[str, ...], again: float | None) -> None:  # fmt: skip
    trusting = OperatorSettings(trusted_ca=TrustedCa(config_map="company-ca"))
    for options, settings in ((kind(volumes=VOLUMES).spec, SETTINGS), (kind().spec, trusting)):
        is_expected = has_given_volumes(options, settings)
        assert unread_mounts(pods, is_expected=is_expected, now=NOW) == unread
        assert mounts_in(pods, is_expected=is_expected, now=NOW) == again
    assert not has_given_volumes(kind().spec, SETTINGS)
    assert (unread_mounts(pods, is_expected=False, now=NOW), mounts_in(pods, is_expected=False, now=NOW)) == ((), None)


@pytest.mark.parametrize(
    ("pod", "shown"),
    [
        (a_pod(25, mount_failure=SAYS), ("FailedMount", f"pod p: {SAYS}")),
        (a_pod(25, mount_failure=""), None),
        (a_pod(25), None),
        (a_pod(25, mount_failure=SAYS, waiting=""), None),
    ],
)
def test_the_message_is_shown_while_the_container_waits(pod: ObservedPod, shown: tuple[str, str] | None) -> None:
    assert why_waiting([pod]) == shown


def ready(harness: Any) -> tuple[str, str]:
    (found,) = [found for found in harness.status["conditions"] if found["type"] == "PodsReady"]
    return found["reason"], found["message"]


def create_container(harness: Any) -> Any:
    """Let the kubelet begin with the pod of `prepare`."""
    harness.start_pods("reviews-prepare")
    (pod,) = harness.cluster.of_kind("Pod").values()
    status = {"phase": "Pending", "containerStatuses": [{"name": "trainer", "state": {"waiting": {"reason": "ContainerCreating"}}}]}  # fmt: skip
    harness.cluster.change(pod, status=status)
    return pod


def test_a_job_says_which_secret_its_pod_waits_for(harness: Any) -> None:
    async def life() -> None:
        harness.submit(volumes=VOLUMES)
        await harness.settle()
        pod = create_container(harness)
        harness.cluster.failed_mounts[pod["metadata"]["uid"]] = SAYS
        await harness.settle(later=60)
        assert ready(harness) == ("FailedMount", f"pod {pod['metadata']['name']}: {SAYS}")
        running = {
            "phase": "Running",
            "containerStatuses": [{"name": "trainer", "state": {"running": {"startedAt": harness.stamp()}}}],
        }
        harness.cluster.change(pod, status=running)
        await harness.settle()
        assert ready(harness)[0] != "FailedMount"

    asyncio.run(life())


def test_at_the_start_deadline_the_message_is_the_failure(harness: Any) -> None:
    async def life() -> None:
        harness.submit(volumes=VOLUMES, failurePolicy={"startDeadline": "5m"})
        await harness.settle()
        pod = create_container(harness)
        harness.cluster.failed_mounts[pod["metadata"]["uid"]] = SAYS
        await harness.settle(later=301)
        failure = harness.status["failure"]
        assert (failure["class"], failure["message"]) == ("Config", f"FailedMount: {SAYS}")

    asyncio.run(life())


def test_a_job_without_volumes_reads_no_event(harness: Any) -> None:
    async def life() -> None:
        harness.submit()
        await harness.settle()
        create_container(harness)
        await harness.settle()
        reads = harness.cluster.reads
        await harness.settle(later=60)
        assert harness.cluster.reads == reads

    asyncio.run(life())


def test_a_deployment_asks_for_the_events_of_a_late_server_and_shows_them() -> None:
    spec = {"model": {"uri": "pvc://models/a"}, "volumes": VOLUMES}
    first = deployment_decision(observed_deployment(spec=spec), now=NOW, settings=SETTINGS)
    revision = first.create[0]["metadata"]["labels"]["tuneloop.dev/revision"]
    late = {"uid": "u", "created": NOW - timedelta(seconds=25), "waiting": "ContainerCreating", "revision": revision}

    def decided(**fields: Any) -> Decision:
        pods = (ServerPod(name="p", **late | fields),)
        return deployment_decision(observed_deployment(spec=spec, pods=pods), now=NOW, settings=SETTINGS)

    assert decided() == Decision(needs=MountFailures(pod_uids=("u",)))
    assert decided(revision="old").needs is None
    found = decided(mount_failure=SAYS)
    assert found.requeue_after == 25
    (ready,) = [item for item in (found.status or {})["conditions"] if item["type"] == "Ready"]
    assert (ready["reason"], ready["message"]) == ("FailedMount", f"pod p: {SAYS}")
    blocked = replace(observed_deployment(spec=spec, pods=(ServerPod(name="p", **late),)), blocker=Blocker(reason="Refused", message="no"))  # fmt: skip
    assert deployment_decision(blocked, now=NOW, settings=SETTINGS).needs is None
