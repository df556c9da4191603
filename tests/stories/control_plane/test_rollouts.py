"""Roll-outs on a real API server: the operator is killed in the middle, an old revision keeps its pods' template, and kubectl tells the story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cluster_tier import fresh_namespace
from namespace_client import NamespaceClient
from operator_process import RunningOperator
from pod_scripts import PodLifecycle, Run, Wait
from pod_status_patcher import PodStatusPatcher
from rollouts import NOW, a_spec, in_step
from served_models import deployment_status, take_down
from stored_conditions import condition
from waiting import until

from tuneloop_operator.decide.model_deployment.gates.verdict import GateAction, Verdict
from tuneloop_operator.decide.model_deployment.rollout.gate_summary import GateSummary
from tuneloop_operator.decide.model_deployment.rollout.memory import written
from tuneloop_operator.decide.model_deployment.rollout.story import story

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.control_plane import ControlPlane

NAME = "reviews"
SECONDS = 60
NUMBERS = {
    "errors": "canary errors 0.4 %, stable 0.3 %: harm 0.1 % (-0.6 to 0.9 %), margin 1 %",
    "golden": "canary wrong answers 8.1 %, stable 8.3 %: harm -0.2 % (-1.1 to 0.8 %), margin 3 %",
}
"""What two gates have found, by name."""
GATES = r'{range .status.rollout.gates[*]}{.name}{" "}{.verdict}{": "}{.reason}{"\n"}{end}'
"""As in docs/rollouts.md."""


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


def test_kubectl_shows_step_share_and_the_numbers_of_each_gate(custom_resources):
    gates = tuple(
        GateSummary(name=name, verdict=Verdict.INCONCLUSIVE, action=GateAction.HOLD, reason=numbers)
        for name, numbers in NUMBERS.items()
    )
    rollout = in_step(1, requests=312, gates=gates)
    ready = condition("Ready", true=False, reason="Progressing", message=story(rollout, a_spec(), now=NOW))
    stable = {"revision": "r1", "digest": "a", "uri": "pvc://models/artifact", "replicas": 2, "readyReplicas": 2}
    status = {"phase": "Progressing", "ready": "2/2", "stable": stable, "conditions": [ready]}
    with fresh_namespace(custom_resources) as namespace:
        client = NamespaceClient(custom_resources, namespace)
        spec = {"model": {"uri": "pvc://models/artifact"}, "rollout": {"strategy": "Canary"}}
        body = {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": NAME}}
        client.create("ModelDeployment", body | {"spec": spec})
        changed = {"status": status | {"rollout": written(rollout).to_wire()}}
        client.patch("ModelDeployment", NAME, changed, subresource="/status")

        def kubectl(*words: str) -> str:
            ended = custom_resources.kubectl(*words, "-n", namespace)
            assert ended.returncode == 0, ended.stderr
            return ended.stdout

        header, row = kubectl("get", "mdep", NAME).splitlines()
        assert header.split() == ["NAME", "PHASE", "STABLE", "CANARY", "READY", "REASON", "RETRAINING", "AGE"]
        assert row.split()[:-1] == [NAME, "Progressing", "r1", "r2", "25%", "2/2", "Progressing"]
        described = " ".join(kubectl("describe", "mdep", NAME).split())
        assert "step 2 of 4: 25 % to r2, 312 of 500 requests" in described
        for gate, numbers in NUMBERS.items():
            assert f"gate {gate} Inconclusive ({numbers})" in described
        assert kubectl("get", "mdep", NAME, "-o", f"jsonpath={GATES}").splitlines() == [
            f"{gate} Inconclusive: {numbers}" for gate, numbers in NUMBERS.items()
        ]


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
