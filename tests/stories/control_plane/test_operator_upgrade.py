"""A new version of the operator, with other images, takes over: what runs is left alone, what comes next is of the new version."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cluster_tier import fresh_namespace
from fault_proxy import FaultProxy
from operator_bed import Bed
from operator_process import RunningOperator, make_certificate
from operator_traffic import Traffic
from pod_courses import Until, before_the_end, succeed
from pod_status import IMAGE_DIGEST
from pod_status_patcher import PodStatusPatcher
from served_models import deploy, is_ready, take_down
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cluster.control_plane import ControlPlane
    from fault_proxy import Call

Manifest = dict[str, Any]
IMAGES = "registry.test/tuneloop"
OLD = {"trainer_image": f"{IMAGES}/trainer:1", "server_image": f"{IMAGES}/server:1"}
NEW = {
    "trainer_image": f"{IMAGES}/trainer:2",
    "server_image": f"{IMAGES}/server:2",
    "image_pull_policy": "Always",
}


@dataclass(frozen=True, kw_only=True)
class World:
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

    before: World
    after: World
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


def upgraded(plane: ControlPlane, namespace: str, folder: Path, *, end: Callable[[RunningOperator], Any]) -> Upgrade:
    """End an operator while a gang trains and a server serves, let another version take over, and tell what that did."""
    go = threading.Event()
    scripts = {"reviews/train": before_the_end(succeed, Until(go))}
    common = {
        "pod_namespace": namespace,
        "namespaces": namespace,
        "progress_url": "https://tuneloop-progress.test:8443",
        "tls_directory": make_certificate(folder / "tls"),
    }
    bed = Bed(plane, namespace)
    with (
        PodStatusPatcher(plane, namespace=namespace, scripts=scripts, nodes=[f"{namespace}-0", f"{namespace}-1"]),
        FaultProxy(plane, folder=folder / "proxy") as proxy,
    ):
        with RunningOperator(plane, folder, pod="old", **common, **OLD) as old:
            old.wait_ready().wait_leading()
            bed.submit()
            deploy(bed, "api")
            bed.wait_for_phase("reviews", "Running")
            until(lambda: is_served(bed), seconds=60, what="a server")
            before = world(bed)
            end(old)
        with RunningOperator(None, folder, pod="new", kubeconfig=proxy.kubeconfig, **common, **NEW) as new:
            new.wait_ready().wait_leading()
            job, servers = Traffic(proxy, namespace, "reviews"), Traffic(proxy, namespace, "api")
            until(lambda: servers.applied("deployments") and is_served(bed), seconds=60, what="a new server")
            servers.come_to_rest()
            after, written = world(bed), job.writes
            go.set()
            bed.submit("fresh")
            told = Upgrade(
                before=before,
                after=after,
                written=written,
                applied=servers.applied("deployments"),
                fresh=bed.stored("Job", "fresh-prepare"),
                end=bed.wait_for_phase("reviews", "Succeeded"),
                export=bed.stored("Job", "reviews-export"),
            )
        take_down(bed)
    return told


def is_served(bed: Bed) -> bool:
    (servers,) = bed.all("Deployment") or [{}]
    status = servers.get("status", {})
    is_new = status.get("observedGeneration") == servers.get("metadata", {}).get("generation")
    is_rolled = status.get("updatedReplicas") == status.get("replicas") == status.get("readyReplicas") == 1
    return is_new and is_rolled and is_ready(bed, "api")


def world(bed: Bed) -> World:
    (servers,) = bed.all("Deployment")
    pods = [pod["metadata"] for pod in bed.all("Pod") if pod["metadata"]["name"].startswith("reviews-a1-")]
    return World(
        train=bed.stored("Job", "reviews-a1"),
        gang={pod["name"]: pod["uid"] for pod in pods},
        status=bed.status("reviews"),
        servers=servers,
    )


def container(manifest: Manifest) -> Manifest:
    (found,) = manifest["spec"]["template"]["spec"]["containers"]
    return found


def test_a_gang_that_trains_is_left_alone(upgrade):
    before, after = upgrade.before.train, upgrade.after.train
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])
    assert upgrade.after.gang == upgrade.before.gang


def test_nothing_is_written_for_a_job_that_trains(upgrade):
    assert upgrade.written == []
    assert upgrade.after.status == upgrade.before.status


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
