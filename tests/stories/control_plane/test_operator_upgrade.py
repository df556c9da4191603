"""Today's operator, with other images, takes over from release 0.1.0, or 0.1.0 again from today's: what runs is left alone, what comes next is of the one that leads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cluster_tier import fresh_namespace
from fault_proxy import FaultProxy
from namespace_client import NamespaceClient
from operator_process import RunningOperator, make_certificate
from operator_traffic import Traffic
from pod_scripts import Until, before_the_end, succeed
from pod_status import IMAGE_DIGEST
from pod_status_patcher import PodStatusPatcher
from release_code import code_of, python_path
from served_models import deploy, is_ready, take_down
from stored_conditions import without_tools
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cluster.control_plane import ControlPlane
    from fault_proxy import Call

Manifest = dict[str, Any]
IMAGES = "registry.test/tuneloop"
FIRST_RELEASE = "0.1.0"
STATUS_WRITE = ("patch", "finetunejobs", "status")
OLD = {"trainer_image": f"{IMAGES}/trainer:1", "server_image": f"{IMAGES}/server:1"}
NEW = {
    "trainer_image": f"{IMAGES}/trainer:2",
    "server_image": f"{IMAGES}/server:2",
    "image_pull_policy": "Always",
}


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """What there was at one moment of a job that trains and of a deployment that serves."""

    train: Manifest
    gang: dict[str, str]
    """Uids of the pods, by name."""
    status: Manifest
    servers: Manifest
    """The Deployment of the one revision."""


@dataclass(frozen=True, kw_only=True)
class Upgrade:
    """What one upgrade did."""

    before: ClusterState
    after: ClusterState
    """While the job still trains; the new operator is at rest."""
    written: list[Call]
    """By the new operator for the job until then."""
    applied: list[Call]
    """Applies of Deployments by the new operator."""
    export: Manifest
    """The Job that the new operator made for the job that the old one had begun."""
    fresh: Manifest
    """The first Job of a job that came after the upgrade."""
    end: Manifest
    """The status of the job at the end."""


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """What going back to the old version did, after the new one was at rest."""

    before: ClusterState
    """Under the old version, before the upgrade."""
    after: ClusterState
    written: list[Call]
    """By both versions for the job that trains, from the upgrade on."""
    end: Manifest
    """The status of the job at the end."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A namespace, one version after the other, and what is counted of them."""

    client: NamespaceClient
    plane: ControlPlane
    proxy: FaultProxy
    folder: Path
    old_code: Path
    common: Manifest
    go: threading.Event
    """The gang may end."""

    def start(self, version: Manifest, *, pod: str, counted: bool = True) -> RunningOperator:
        """Return an operator of a version, not running yet; `counted`: its calls go through the proxy. The old version is the code of 0.1.0."""
        plane, how = (None, {"kubeconfig": self.proxy.kubeconfig}) if counted else (self.plane, {})
        code = python_path(self.old_code) if version is OLD else None
        return RunningOperator(plane, self.folder, pod=pod, python_path=code, **how, **self.common, **version)

    def begin(self) -> ClusterState:
        """Let a gang train and a server serve."""
        self.client.submit()
        deploy(self.client, "api")
        self.client.wait_for_phase("reviews", "Running")
        until(lambda: is_served(self.client), seconds=60, what="a server")
        return cluster_state(self.client)

    def serve_again(self, servers: Traffic, *, image: str) -> ClusterState:
        """Return what there is once a version has replaced the servers and is at rest."""
        until(lambda: is_served(self.client, image=image), seconds=60, what=f"a server of {image}")
        servers.come_to_rest()
        return cluster_state(self.client)


ENDS = {"SIGTERM": RunningOperator.terminate, "SIGKILL": RunningOperator.kill}


@pytest.fixture(scope="module")
def upgrades(custom_resources, tmp_path_factory):
    """Both upgrades, at once: the second one mostly waits for the Lease."""
    with ExitStack() as stack, ThreadPoolExecutor(len(ENDS)) as pool:
        started = {
            name: pool.submit(
                upgraded,
                custom_resources,
                stack.enter_context(fresh_namespace(custom_resources)),
                tmp_path_factory.mktemp(name),
                end=end,
            )
            for name, end in ENDS.items()
        }
        yield {name: future.result() for name, future in started.items()}


@pytest.fixture(params=ENDS)
def upgrade(request, upgrades):
    return upgrades[request.param]


@contextmanager
def scene(plane: ControlPlane, namespace: str, folder: Path) -> Iterator[Scene]:
    go = threading.Event()
    scripts = {"reviews/train": before_the_end(succeed, Until(go))}
    common = {
        "pod_namespace": namespace,
        "namespaces": namespace,
        "progress_url": "https://tuneloop-progress.test:8443",
        "tls_directory": make_certificate(folder / "tls"),
    }
    client = NamespaceClient(plane, namespace)
    with (
        PodStatusPatcher(plane, namespace=namespace, scripts=scripts, nodes=[f"{namespace}-0", f"{namespace}-1"]),
        FaultProxy(plane, folder=folder / "proxy") as proxy,
    ):
        yield Scene(
            client=client,
            plane=plane,
            proxy=proxy,
            folder=folder,
            old_code=code_of(FIRST_RELEASE),
            common=common,
            go=go,
        )
        take_down(client)


def upgraded(plane: ControlPlane, namespace: str, folder: Path, *, end: Callable[[RunningOperator], Any]) -> Upgrade:
    """End an operator while a gang trains and a server serves, let another version take over, and return what that did."""
    with scene(plane, namespace, folder) as stage:
        client = stage.client
        with stage.start(OLD, pod="old", counted=False) as old:
            old.wait_ready().wait_leading()
            before = stage.begin()
            end(old)
        with stage.start(NEW, pod="new") as new:
            new.wait_ready().wait_leading()
            job, servers = Traffic(stage.proxy, namespace, "reviews"), Traffic(stage.proxy, namespace, "api")
            after, written = stage.serve_again(servers, image=NEW["server_image"]), job.writes
            stage.go.set()
            client.submit("fresh")
            return Upgrade(
                before=before,
                after=after,
                written=written,
                applied=servers.applied("deployments"),
                fresh=client.stored("Job", "fresh-prepare"),
                end=client.wait_for_phase("reviews", "Succeeded"),
                export=client.stored("Job", "reviews-export"),
            )


def rolled_back(plane: ControlPlane, namespace: str, folder: Path) -> Rollback:
    """Upgrade the operator while a gang trains and a server serves, go back to the old version, and return what both did."""
    with scene(plane, namespace, folder) as stage:
        with stage.start(OLD, pod="old", counted=False) as old:
            old.wait_ready().wait_leading()
            before = stage.begin()
            old.terminate()
        job, servers = Traffic(stage.proxy, namespace, "reviews"), Traffic(stage.proxy, namespace, "api")
        for version, pod in ((NEW, "new"), (OLD, "old-again")):
            with stage.start(version, pod=pod) as operator:
                operator.wait_ready().wait_leading()
                after, written = stage.serve_again(servers, image=version["server_image"]), job.writes
                if version is OLD:
                    stage.go.set()
                    end = stage.client.wait_for_phase("reviews", "Succeeded")
                operator.terminate()
        return Rollback(before=before, after=after, written=written, end=end)


def is_served(client: NamespaceClient, *, image: str = OLD["server_image"]) -> bool:
    (servers,) = client.all("Deployment") or [{}]
    if not servers or container(servers)["image"] != image:
        return False
    status = servers.get("status", {})
    is_new = status.get("observedGeneration") == servers["metadata"]["generation"]
    is_rolled = status.get("updatedReplicas") == status.get("replicas") == status.get("readyReplicas") == 1
    return is_new and is_rolled and is_ready(client, "api")


def cluster_state(client: NamespaceClient) -> ClusterState:
    (servers,) = client.all("Deployment")
    pods = [pod["metadata"] for pod in client.all("Pod") if pod["metadata"]["name"].startswith("reviews-a1-")]
    return ClusterState(
        train=client.stored("Job", "reviews-a1"),
        gang={pod["name"]: pod["uid"] for pod in pods},
        status=client.status("reviews"),
        servers=servers,
    )


def container(manifest: Manifest) -> Manifest:
    (found,) = manifest["spec"]["template"]["spec"]["containers"]
    return found


def test_a_gang_that_trains_is_left_alone(upgrade):
    before, after = upgrade.before.train, upgrade.after.train
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
    assert upgrade.after.gang == upgrade.before.gang


def test_a_job_that_trains_gets_the_new_conditions_in_one_write_and_nothing_else(upgrade):
    assert [(call.verb, call.resource, call.subresource) for call in upgrade.written] == [STATUS_WRITE]
    assert without_tools(upgrade.after.status) == without_tools(upgrade.before.status)
    assert {"Ready", "Reconciling"} <= {found["type"] for found in upgrade.after.status["conditions"]}


def test_no_attempt_is_counted(upgrade):
    assert (upgrade.end["attempt"], upgrade.end.get("restarts")) == (1, None)


def test_a_job_ends_with_the_image_with_which_it_began(upgrade):
    """All its stages run the same code; the tag may have moved since."""
    assert container(upgrade.export)["image"] == f"{IMAGES}/trainer@{IMAGE_DIGEST}"
    assert upgrade.end["image"] == f"{IMAGES}/trainer@{IMAGE_DIGEST}"


def test_the_next_child_is_made_as_the_new_version_makes_it(upgrade):
    assert container(upgrade.export)["imagePullPolicy"] == "Always"


def test_the_next_job_gets_the_new_image(upgrade):
    assert container(upgrade.fresh)["image"] == NEW["trainer_image"]


def test_servers_follow_through_one_apply_and_stay_the_same_revision(upgrade):
    assert [call.code for call in upgrade.applied] == [200]
    assert upgrade.after.servers["metadata"]["uid"] == upgrade.before.servers["metadata"]["uid"]
    before, after = container(upgrade.before.servers), container(upgrade.after.servers)
    assert (before["image"], after["image"]) == (OLD["server_image"], NEW["server_image"])


@pytest.fixture(scope="module")
def rollback(custom_resources, tmp_path_factory):
    with fresh_namespace(custom_resources) as namespace:
        return rolled_back(custom_resources, namespace, tmp_path_factory.mktemp("rollback"))


def test_a_gang_that_trains_is_left_alone_by_an_upgrade_and_a_rollback(rollback):
    assert rollback.after.gang == rollback.before.gang
    assert rollback.after.train["spec"] == rollback.before.train["spec"]
    assert [(call.verb, call.resource, call.subresource) for call in rollback.written] == [STATUS_WRITE]
    assert (rollback.end["attempt"], rollback.end.get("restarts")) == (1, None)


def test_after_a_rollback_the_servers_are_those_of_before(rollback):
    before, after = rollback.before.servers, rollback.after.servers
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["template"] == before["spec"]["template"]
