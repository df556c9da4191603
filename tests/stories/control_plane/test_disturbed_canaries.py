"""What befalls a canary in the middle of its way: it is deleted, another operator takes over, or its operator is killed after any write. Routers are played."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cluster_tier import fresh_namespace
from end_state import count_differences
from fault_plans import COUNTED_WRITES, NOT_COUNTED, made_and_deleted
from fault_proxy import FaultProxy, Kill, Match, Rule, writes
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
    from fault_proxy import Call

AT_ONCE = 4
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


@contextmanager
def a_scene(plane: ControlPlane, folder: Path) -> Iterator[Scene]:
    client = plane.client()  # of this thread
    with fresh_namespace(client) as namespace, FaultProxy(plane, folder=folder / "proxy") as proxy:
        scene = Scene(plane, namespace, folder, proxy)
        yield scene
        take_down(scene.client)


@pytest.fixture(scope="module")
def pods(custom_resources) -> Iterator[None]:
    """Whoever plays the pods of all scenes."""
    with PodStatusPatcher(custom_resources):
        yield


@pytest.fixture
def scene(custom_resources, pods, tmp_path) -> Iterator[Scene]:
    with a_scene(custom_resources, tmp_path) as scene:
        yield scene


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
            canary.wait(lambda status: status["rollout"].get("requests", 0) >= was["requests"], what="all are counted")
            now = canary.status["rollout"]
            same = ("phase", "step", "startedAt", "stepStartedAt", "split", "stable", "canary")
            assert {field: now.get(field) for field in same} == {field: was.get(field) for field in same}
            assert canary.servers == servers
            canary.let_through()
            done = canary.wait_for_promotion(new)
            assert {found["revision"] for found in done["revisions"]} == {old, new}
            assert "rejected" not in done["rollout"]
            until(lambda: promotions(scene.client), seconds=60, what="the promotion is reported", pause=0.2)
            assert promotions(scene.client) == 1
            assert "unexpected error" not in after.log


def promotions(client: NamespaceClient) -> int:
    """Return how often a promotion is reported. The API counts equal Events in a series, which begins with two."""
    events = client.events_of(client.stored("ModelDeployment", NAME))
    found = [event for event in events if event["reason"] == "Promoted"]
    return sum((event.get("series") or {}).get("count", 1) for event in found)


@dataclass(frozen=True)
class Promotion:
    """What an operator, and its successor if it was killed, did from the offer to the promotion."""

    writes: list[Call]
    counts: Counter[tuple[str, ...]]
    """How often each object was made and deleted."""
    shares: list[list[tuple[str, int]]]
    """What a router followed, one after the other."""
    promoted: int
    """How often an Event says so."""
    servers: set[str]
    """Names of the Deployments at the end."""
    log: str
    is_killed: bool
    """Two changes that are observed at once make one write less: then there may be none of the last number."""

    def problems(self, clean: Promotion) -> list[str]:
        """Return what is not as it was without a kill."""
        found = count_differences(clean.counts, self.counts)
        found += [f"shares {self.shares}, not {clean.shares}"] if self.shares != clean.shares else []
        found += [f"promoted {self.promoted} times"] if self.promoted != 1 else []
        found += [f"servers {self.servers}"] if self.servers != clean.servers else []
        return found + ([self.log[-2000:]] if "unexpected error" in self.log else [])


def promoted(plane: ControlPlane, folder: Path, *, killed_at: int | None = None) -> Promotion:
    """Let a canary go through; the operator is killed right after its write of this number, and started again."""
    folder.mkdir()
    with a_scene(plane, folder) as scene, scene.operator() as operator, scene.canary(operator) as canary:
        operator.wait_ready().wait_leading()
        old = canary.deploy(rollout=QUICK)
        traffic = Traffic(scene.proxy, scene.namespace, NAME)
        traffic.come_to_rest()
        before, taken = len(traffic.calls), len(canary.routers.splits)
        match = Match(verb="write", resource=COUNTED_WRITES, namespace=re.escape(scene.namespace), nth=killed_at or 1)
        kill = scene.proxy.add(Rule(match, Kill())) if killed_at else None
        canary.change_spec()
        new = canary.wait_for_new_revision(beside=old)
        if kill:
            until(lambda: kill.fired or canary.is_promoted(new), seconds=60, what="a kill", pause=0.15)
            if kill.fired:
                operator.wait()
                operator.start()
                operator.wait_ready().wait_leading()
        canary.wait_for_promotion(new)
        traffic.come_to_rest()
        calls = traffic.calls[before:]

        def plain(name: str) -> str:
            """Return a name without the revision, which depends on the namespace."""
            return name.replace(old, "old").replace(new, "new")

        return Promotion(
            writes=writes(calls, without=NOT_COUNTED),
            counts=Counter({(*key[:2], plain(key[2])): n for key, n in made_and_deleted(calls).items()}),
            shares=[
                [(plain(name), weight) for name, weight in shares]
                for shares in shares_of(canary.routers.splits[taken:])
            ],
            promoted=promotions(scene.client),
            servers={plain(name) for name in scene.client.names("Deployment")},
            log=operator.log,
            is_killed=kill is not None and bool(kill.fired),
        )


QUICK = {
    "strategy": "Canary",
    "steps": [{"weight": 5}, {"weight": 25}, {"weight": 100}],
    "rollback": {"baking": "0s"},
}
"""Nothing is counted in these steps, so that each run has the same writes."""


def shares_of(splits: list[dict[str, Any]]) -> list[list[tuple[str, int]]]:
    """Return the shares of each split, without repetitions: a router may take the same shares with other addresses."""
    found = [[(part["name"], part["weight"]) for part in split["revisions"] if part["weight"]] for split in splits]
    return [shares for number, shares in enumerate(found) if number == 0 or shares != found[number - 1]]


@pytest.fixture(scope="module")
def clean(custom_resources, pods, tmp_path_factory) -> Promotion:
    """A canary that goes through without a kill."""
    return promoted(custom_resources, tmp_path_factory.mktemp("clean") / "run")


def check(plane: ControlPlane, folder: Path, clean: Promotion, numbers: list[int]) -> None:
    """Kill an operator after each of these writes, four at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = {number: pool.submit(promoted, plane, folder / f"{number}", killed_at=number) for number in numbers}
        done = {number: run.result() for number, run in runs.items()}
    assert all(found.is_killed or len(found.writes) < number for number, found in done.items())
    assert sum(found.is_killed for found in done.values()) > len(numbers) / 2
    problems = {number: found.problems(clean) for number, found in done.items()}
    bad = [f"killed after write {number}: {lines}" for number, lines in problems.items() if lines]
    assert not bad, "\n".join([*bad, *(f"{at}: {call}" for at, call in enumerate(clean.writes, start=1))])


def telling(clean: Promotion) -> list[int]:
    """Return the numbers of four writes: the canary's Deployment is made, and the first, a middle and the last but one write of the status."""
    statuses = [number for number, call in enumerate(clean.writes, start=1) if call.subresource == "status"]
    made = next(number for number, call in enumerate(clean.writes, start=1) if call.resource == "deployments")
    return sorted({made, statuses[0], statuses[len(statuses) // 2], statuses[-2]})


@pytest.mark.timeout(900)
def test_an_operator_that_is_killed_after_a_write_promotes_the_canary_once_and_loses_no_step(
    custom_resources, clean, tmp_path
):
    check(custom_resources, tmp_path, clean, telling(clean))


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_the_same_after_every_write(custom_resources, clean, tmp_path):
    check(custom_resources, tmp_path, clean, list(range(1, len(clean.writes) + 1)))
