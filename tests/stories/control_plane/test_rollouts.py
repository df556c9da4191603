"""Roll-outs on a real API server: the operator is killed in the middle, an old revision keeps its pods' template, and kubectl tells the story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cluster_tier import fresh_namespace
from namespace_client import NamespaceClient
from operator_process import RunningOperator
from pod_scripts import PodLifecycle, Run, Wait
from pod_status_patcher import PodStatusPatcher
from served_models import deployment_status, take_down
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.control_plane import ControlPlane

NAME = "reviews"
SECONDS = 60


class Place:
    """A namespace with the ModelDeployment `reviews`, and whoever plays its pods."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.namespace = plane, namespace
        self.client = NamespaceClient(plane, namespace)

    def deploy(self, **spec: Any) -> str:
        """Create the ModelDeployment, and return its revision once it is ready."""
        body = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": NAME}}
        self.client.create("ModelDeployment", body | {"spec": {"model": {"uri": "pvc://models/artifact"}} | spec})
        until(lambda: self.status.get("phase") == "Ready", seconds=SECONDS, what="the first revision")
        return self.stable

    def offer(self, **spec: Any) -> str:
        """Change the spec, and return the canary."""
        self.client.patch("ModelDeployment", NAME, {"spec": spec})
        canary = until(lambda: self.status.get("canary"), seconds=SECONDS, what="a canary")
        return canary["revision"]

    def servers(self, revision: str) -> dict[str, Any]:
        return self.client.stored("Deployment", f"{NAME}-{revision}")

    @property
    def status(self) -> dict[str, Any]:
        return deployment_status(self.client, NAME)

    def message(self, type_: str) -> str:
        """Return the message of a condition; empty if there is none."""
        found = self.status.get("conditions", ())
        return next((entry["message"] for entry in found if entry["type"] == type_), "")

    @property
    def stable(self) -> str:
        return self.status["stable"]["revision"]

    @property
    def target(self) -> str:
        """The revision that the Service leads to."""
        return self.client.stored("Service", NAME)["spec"]["selector"]["tuneloop.dev/revision"]


@pytest.fixture
def place(custom_resources) -> Iterator[Place]:
    with (
        fresh_namespace(custom_resources) as namespace,
        PodStatusPatcher(
            custom_resources,
            namespace=namespace,
            scripts={"serve": lambda *_: PodLifecycle((Wait(1.0), Run()))},
        ),
    ):
        place = Place(custom_resources, namespace)
        yield place
        take_down(place.client)


def test_a_roll_out_goes_on_where_its_operator_was_killed_and_a_person_takes_it_back(place, custom_resources, tmp_path):
    def operator(pod: str) -> RunningOperator:
        settings = {"pod_namespace": place.namespace, "namespaces": place.namespace, "pod": pod}
        return RunningOperator(custom_resources, tmp_path, **settings)

    with operator("operator-0") as first:
        first.wait_ready().wait_leading()
        old = place.deploy(replicas=2, rollout={"strategy": "Recreate", "approval": "Manual"})
        template = place.servers(old)["spec"]["template"]
        new = place.offer(batching={"maxBatchSize": 8})
        first.kill()
    with operator("operator-1") as second:
        second.wait_ready().wait_leading()
        until(lambda: place.status["rollout"]["phase"] == "Paused", seconds=SECONDS, what="the new servers")
        assert (place.stable, place.target) == (old, old)
        shown = custom_resources.kubectl("get", "mdep", NAME, "-n", place.namespace).stdout
        assert [old, new, "Paused"] == [word for word in shown.split() if word in {old, new, "Paused"}]
        annotate(custom_resources, place.namespace, "approve/1")
        until(lambda: place.stable == new, seconds=SECONDS, what="the promotion")
        assert place.target == new
        until(lambda: place.servers(old)["spec"]["replicas"] == 0, seconds=SECONDS, what="no old server")
        assert place.servers(old)["spec"]["template"] == template
        annotate(custom_resources, place.namespace, "roll-back/2")
        until(lambda: place.stable == old, seconds=SECONDS, what="the old revision")
        assert (place.target, place.servers(old)["spec"]["replicas"]) == (old, 2)
        described = custom_resources.kubectl("describe", "mdep", NAME, "-n", place.namespace).stdout
        for reason in ("Paused", "CommandObeyed", "Promoted", "RolledBack"):
            assert reason in described, reason
        assert "unexpected error" not in second.log


def annotate(plane: ControlPlane, namespace: str, command: str) -> None:
    ended = plane.kubectl("annotate", "mdep", NAME, "-n", namespace, "--overwrite", f"tuneloop.dev/rollout={command}")
    assert ended.returncode == 0, ended.stderr


def test_the_number_of_servers_is_the_autoscalers_and_no_write_of_the_operator_takes_it_back(
    place, custom_resources, tmp_path
):
    """An apply that leaves out the number that its manager alone owns would leave one server."""

    def mended(revision: str) -> bool:
        return place.servers(revision)["spec"]["progressDeadlineSeconds"] != 1

    def mend(revision: str) -> None:
        place.client.patch("Deployment", f"{NAME}-{revision}", {"spec": {"progressDeadlineSeconds": 1}})
        until(lambda: mended(revision), seconds=SECONDS, what="the operator's own deadline")

    settings = {"pod_namespace": place.namespace, "namespaces": place.namespace, "pod": "operator-0"}
    with RunningOperator(custom_resources, tmp_path, **settings) as operator:
        operator.wait_ready().wait_leading()
        spec = {"autoscaling": {"min": 2, "max": 5}, "rollout": {"strategy": "Recreate"}}
        old = place.deploy(**spec)
        mend(old)
        assert place.servers(old)["spec"]["replicas"] == 2, "the number was handed over before it was left out"
        # this cluster measures nothing: its autoscaler keeps the limits, and says why it does no more
        place.client.patch("Deployment", f"{NAME}-{old}", {"spec": {"replicas": 9}}, subresource="/scale")
        until(lambda: place.servers(old)["spec"]["replicas"] == 5, seconds=SECONDS, what="the autoscaler's limit")
        mend(old)
        assert place.servers(old)["spec"]["replicas"] == 5
        until(lambda: "metrics" in place.message("ScalingActive"), seconds=SECONDS, what="why it does not scale")
        new = place.offer(batching={"maxBatchSize": 8})
        until(lambda: place.stable == new, seconds=SECONDS, what="the promotion")
        until(lambda: place.servers(old)["spec"]["replicas"] == 0, seconds=SECONDS, what="no old server")
        assert place.servers(new)["spec"]["replicas"] == 5
        aim = place.client.stored("HorizontalPodAutoscaler", NAME)["spec"]["scaleTargetRef"]["name"]
        assert aim == f"{NAME}-{new}"
        mend(new)
        assert place.servers(new)["spec"]["replicas"] == 5
        assert "unexpected error" not in operator.log
