"""What befalls a canary in the middle of its way: it is deleted, another operator takes over, or its operator is killed after any write. Routers are played."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from cluster_tier import fresh_namespace
from fault_proxy import FaultProxy
from namespace_client import NamespaceClient
from operator_process import RunningOperator, make_certificate
from operator_traffic import Traffic
from played_canaries import NAME, PlayedCanary
from played_routers import PlayedRouters
from pod_status_patcher import PodStatusPatcher
from served_models import take_down
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cluster.control_plane import ControlPlane

IMAGES = "registry.test/tuneloop"
OLD, NEW = ({"server_image": f"{IMAGES}/server:{tag}", "trainer_image": f"{IMAGES}/trainer:{tag}"} for tag in "12")
CHILDREN = (
    "Deployment", "ReplicaSet", "Pod", "Service", "ConfigMap", "HorizontalPodAutoscaler", "PodDisruptionBudget",
    "NetworkPolicy",
)  # fmt: skip


class Scene:
    """A namespace, its operators behind a proxy that counts, and a canary."""

    def __init__(self, plane: ControlPlane, namespace: str, folder: Path, proxy: FaultProxy) -> None:
        self.client = NamespaceClient(plane, namespace)
        self.routers_client = NamespaceClient(plane, namespace)
        self.proxy, self.folder = proxy, folder
        self.namespace = namespace
        self.certificate = make_certificate(folder / "tls")

    def operator(self, pod: str = "operator-0", **settings: Any) -> RunningOperator:
        """Return an operator; all have the address and the certificate of one Service, as replicas and releases do."""
        common = {
            "pod_namespace": self.namespace,
            "namespaces": self.namespace,
            "router_url": "https://tuneloop-routers.test:8443",
            "progress_url": "https://tuneloop-progress.test:8443",
            "tls_directory": self.certificate,
        }
        return RunningOperator(None, self.folder, pod=pod, kubeconfig=self.proxy.kubeconfig, **common, **settings)

    @contextmanager
    def canary(self, operator: RunningOperator) -> Iterator[PlayedCanary]:
        with PlayedRouters(self.routers_client, NAME, operator) as routers:
            yield PlayedCanary(self.client, routers)

    @property
    def left(self) -> dict[str, set[str]]:
        """The objects that are there, by kind."""
        return {kind: names for kind in CHILDREN if (names := self.client.names(kind))}


@pytest.fixture
def scene(custom_resources, tmp_path) -> Iterator[Scene]:
    with (
        fresh_namespace(custom_resources) as namespace,
        PodStatusPatcher(custom_resources, namespace=namespace),
        FaultProxy(custom_resources, folder=tmp_path / "proxy") as proxy,
    ):
        scene = Scene(custom_resources, namespace, tmp_path, proxy)
        yield scene
        take_down(scene.client)


def test_a_deployment_that_is_deleted_in_the_middle_of_a_canary_leaves_nothing_and_nothing_comes_again(scene):
    with scene.operator() as operator, scene.canary(operator) as canary:
        operator.wait_ready().wait_leading()
        old = canary.deploy(autoscaling={"min": 2, "max": 4})
        new = canary.offer()
        canary.wait_for_share(new, 25)
        before = scene.left
        assert before.keys() == set(CHILDREN)
        assert {f"{NAME}-{old}", f"{NAME}-{new}", f"{NAME}-router"} <= before["Deployment"]
        scene.client.delete("ModelDeployment", NAME)
        until(lambda: not scene.left, seconds=60, what="all children are gone", pause=0.2)
        traffic = Traffic(scene.proxy, scene.namespace, NAME)
        traffic.come_to_rest()
        assert not scene.left
        problems = [
            line for line in operator.log_lines if line.get("severity", line.get("level", "")).lower() == "error"
        ]
        assert (problems, "unexpected error" in operator.log, "Traceback" in operator.log) == ([], False, False)


def test_an_operator_with_other_images_takes_over_at_a_quarter_and_the_canary_goes_on_at_its_step(scene):
    with scene.operator("old", **OLD) as before, scene.canary(before) as canary:
        before.wait_ready().wait_leading()
        old = canary.deploy(replicas=2)
        new = canary.offer()
        was, servers = canary.wait_for_share(new, 25), canary.servers
        before.kill()
        canary.routers.requests_per_poll = 0
        with scene.operator("new", **NEW) as after:
            canary.routers.operator = after
            after.wait_ready().wait_leading()
            Traffic(scene.proxy, scene.namespace, NAME).come_to_rest()
            now = canary.status["rollout"]
            same = ("phase", "step", "startedAt", "stepStartedAt", "split", "stable", "canary")
            assert {field: now.get(field) for field in same} == {field: was.get(field) for field in same}
            assert now["requests"] >= was["requests"]
            assert canary.servers == servers
            canary.let_through()
            done = canary.wait_for_promotion(new)
            assert {found["revision"] for found in done["revisions"]} == {old, new}
            assert "rejected" not in done["rollout"]
            assert promotions(scene.client) == 1
            assert "unexpected error" not in after.log


def promotions(client: NamespaceClient) -> int:
    """Return how often a promotion was reported, once it was. The API counts equal Events in a series, which begins with two."""
    deployment = client.stored("ModelDeployment", NAME)

    def reported() -> list[Any]:
        return [event for event in client.events_of(deployment) if event["reason"] == "Promoted"]

    found = until(reported, seconds=60, what="the promotion is reported", pause=0.2)
    return sum((event.get("series") or {}).get("count", 1) for event in found)
