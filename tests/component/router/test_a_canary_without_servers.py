"""A canary loses its servers: the operator that reconciles takes its share in one generation, and every router has it by the poll that it holds.

The goal is a second. A clock on a busy machine measures the machine, so that what takes the time is counted: a generation in between, and a poll
that a router has to make anew before it hears of it.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

from router_process import answers_of, running, settings_file
from routing_operator import RoutingOperator
from waiting import until

from tuneloop_api.contract.router import split_path
from tuneloop_router.operator_link import HOLD_SECONDS

ROUTERS = ("reviews-router-x", "reviews-router-y")
DEPLOYMENT = {
    "apiVersion": "tuneloop.dev/v1alpha1",
    "kind": "ModelDeployment",
    "metadata": {"name": "reviews", "namespace": "team-a"},
    "spec": {
        "model": {"uri": "pvc://models/artifact"},
        "replicas": 2,
        "rollout": {"strategy": "Canary", "steps": [{"weight": 50, "minDuration": "1h"}, {"weight": 100}]},
    },
}


class Place:
    """The operator's cluster, in which the test plays the servers."""

    def __init__(self, operator: RoutingOperator) -> None:
        self.operator = operator

    @property
    def stored(self):
        return self.operator.cluster.objects["ModelDeployment", "team-a", "reviews"]

    @property
    def split(self):
        return self.stored.get("status", {}).get("rollout", {}).get("split", {"generation": 0, "weights": []})

    @property
    def weights(self) -> dict[str, int]:
        return {share["revision"]: share["weight"] for share in self.split["weights"]}

    def revisions(self) -> set[str]:
        labels = [found["metadata"]["labels"] for found in list(self.operator.cluster.of_kind("Deployment").values())]
        return {found["tuneloop.dev/revision"] for found in labels if "tuneloop.dev/revision" in found}

    def new_revision(self, *, beside: set[str]) -> str:
        """Return a revision once the operator has made its Deployment."""
        return until(lambda: self.revisions() - beside, seconds=20, what="a revision", pause=0.01).pop()

    def offer(self, **spec) -> None:
        self.operator.change(lambda cluster: cluster.change(self.stored, spec=self.stored["spec"] | spec))

    def set_ready(self, revision: str, count: int) -> None:
        """Let so many servers of a revision answer."""

        def do(cluster) -> None:
            servers = cluster.of_kind("Deployment")[f"reviews-{revision}"]
            cluster.change(servers, status={"readyReplicas": count})
            for number in range(2):
                pod = pod_of(revision, number)
                stored = cluster.of_kind("Pod").get(pod["metadata"]["name"])
                if stored and number >= count:
                    cluster.remove(stored)
                elif number < count and not stored:
                    cluster.add(pod)

        self.operator.change(do)


def pod_of(revision: str, number: int):
    labels = {"app.kubernetes.io/managed-by": "tuneloop", "tuneloop.dev/deployment": "reviews"}
    metadata = {"name": f"reviews-{revision}-{number}", "namespace": "team-a"}
    status = {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "server"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata | {"labels": labels | {"tuneloop.dev/revision": revision}},
        "spec": {},
        "status": status,
    }


def are_followed(operator: RoutingOperator, generation: int):
    """Whether every router reports this generation."""
    newest = {report.router: report.in_force for report in operator.heard}
    return newest == dict.fromkeys(ROUTERS, generation)


def test_a_canary_that_loses_all_its_servers_gets_nothing_by_the_next_generation_at_every_router(
    models, certificates, tmp_path, monkeypatch
):
    monkeypatch.setattr("tuneloop_operator.routers.server.CANARY_HOLD_SECONDS", HOLD_SECONDS)
    addresses = {}
    operator = RoutingOperator(certificates, addresses=addresses, deployment=DEPLOYMENT, routers=ROUTERS)
    place = Place(operator)
    with operator.serving(), ExitStack() as stack:
        old = place.new_revision(beside=set())
        addresses[old] = ("127.0.0.1", models["stable"].port)
        place.set_ready(old, 2)
        routers = []
        for name in ROUTERS:
            folder = tmp_path / name[-1]  # a socket in it has a path of 107 bytes at most
            folder.mkdir()
            (folder / "token").write_text(operator.tokens[name])
            url = f"https://localhost:{operator.port}{split_path('team-a', 'reviews')}"
            follows = {"url": url, "caPath": str(certificates / "own.crt"), "tokenPath": str(folder / "token")}
            start = models.split(generation=1, stable=100)
            routers.append(stack.enter_context(running(settings_file(folder, start, operator=follows))))
            operator.change(
                lambda cluster, name=name: cluster.change(
                    cluster.of_kind("Pod")[name], status={"conditions": [{"type": "Ready", "status": "True"}]}
                )
            )
        until(lambda: place.stored["status"].get("phase") == "Ready", seconds=20, what="the first revision")
        place.offer(batching={"maxBatchSize": 8})
        new = place.new_revision(beside={old})
        addresses[new] = ("127.0.0.1", models["canary"].port)
        place.set_ready(new, 2)
        until(lambda: place.weights == {new: 50, old: 50}, seconds=20, what="half of the requests", pause=0.01)
        half = place.split["generation"]
        until(lambda: are_followed(operator, half), seconds=20, what="both routers follow it", pause=0.01)

        begun, heard = time.monotonic(), len(operator.heard)
        place.set_ready(new, 0)
        until(lambda: are_followed(operator, half + 1), seconds=20, what="the next generation", pause=0.005)
        print(f"from the loss to both reports: {(time.monotonic() - begun) * 1000:.0f} ms")
        assert (place.split["generation"], place.weights) == (half + 1, {old: 100})
        again = [report for report in operator.heard[heard:] if report.in_force == half]
        assert not again, f"a router heard of it by the poll that it held, which waits for {HOLD_SECONDS} s"
        for router in routers:
            kept = json.loads((router.folder / "state.json").read_text())
            assert [found["name"] for found in kept["revisions"] if found["weight"]] == [f"reviews-{old}"]
            assert answers_of(router.url, 40).revisions == {f"reviews-{old}": 40}
