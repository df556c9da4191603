"""A ModelDeployment whose requests routers divide, on the memory cluster: routers start, take what the operator gives them, and report.

Each router reads a split with the router's own parser. After every write it is checked that requests have somewhere to go.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from deployed_in_memory import Deployed
from operator_harness import OperatorHarness

from tuneloop_operator.settings.operator import OperatorSettings
from tuneloop_operator.state.router_report import RouterReport
from tuneloop_router.split import Split, check_successor

_MOST_ROUNDS = 50
Manifest = dict[str, Any]


@dataclass
class MemoryRouter:
    """A router that runs."""

    name: str
    split: Split
    """In force."""
    refused: int | None = None


class Routed(Deployed):
    """The ModelDeployment `api` with its routers. A test lets them be slow, refuse, and die."""

    def __init__(self) -> None:
        super().__init__(OperatorHarness(OperatorSettings(server_image="server:1", router_image="router:1")))
        self.routers: dict[str, MemoryRouter] = {}
        self.splits: list[Split] = []
        """Every split that some router took, in this order."""
        self.image_is_missing = False
        """Whether new routers never become ready."""
        self.refusal = ""
        """Why routers take no split; empty: they take it."""
        self.is_slow = False
        """Whether routers neither ask nor report for now."""
        self.targets: list[str] = []
        """Where the Service led, one after another."""
        self._born = 0
        self._full: int | None = None
        """Servers that were asked for when everything was at rest; 0: it slept, and its servers wake up. None: it was never at rest."""
        self._replaced = False
        """Whether servers were replaced one by one then."""
        self.harness.cluster.watchers.append(self._check)

    async def create(self, *, replicas: int = 2, **rollout: Any) -> str:
        return await super().create(replicas=replicas, **{"strategy": "Canary"} | rollout)

    async def settle(self, *, later: float = 0.0) -> None:
        """Let operator, routers and their pods do all that they can."""
        await super().settle(later=later)
        for _ in range(_MOST_ROUNDS):
            changed = self._run_pods()
            changed = self._poll() or changed
            await super().settle()
            if not changed:
                self._check_rest()
                self._full, self._replaced = self._asked_for, self._is_replacing()
                return
        raise AssertionError("routers and operator do not come to rest")

    async def lose_router(self, name: str) -> None:
        """Let a router die. Its Deployment makes another one."""
        self.harness.cluster.remove(self.harness.cluster.of_kind("Pod")[name])
        await self.settle()

    @property
    def weights(self) -> dict[str, int]:
        """The share of each revision that the status wants."""
        return {share["revision"]: share["weight"] for share in self.status["rollout"]["split"]["weights"]}

    @property
    def followed(self) -> list[dict[str, int]]:
        """The shares that each router gives, without those that get nothing."""
        return [
            {found.name.removeprefix("api-"): found.weight for found in router.split.revisions if found.weight}
            for router in self.routers.values()
        ]

    @property
    def router_objects(self) -> set[tuple[str, str]]:
        """Kind and name of what exists for the routers, but for their pods."""
        objects = self.harness.cluster.objects
        return {(kind, name) for kind, _, name in objects if name == "api-router" or name.endswith("-pods")}

    def reasons(self) -> list[str]:
        """Return the reasons of all Events."""
        return [event.reason for event in self.harness.events]

    @property
    def reports(self) -> tuple[RouterReport, ...]:
        """What the operator knows of its routers."""
        return self.harness.operator.store.router_reports(self.stored["metadata"]["uid"])

    def report(self, router: str, *, in_force: int, refused: int | None = None) -> None:
        """Let a router report."""
        reason = self.refusal if refused else ""
        found = RouterReport(router=router, in_force=in_force, refused=refused, reason=reason)
        self.harness.operator.router_report("team-a", "api", found)

    def _run_pods(self) -> bool:
        """Let there be as many router pods as are asked for; return whether anything changed."""
        cluster = self.harness.cluster
        deployment = cluster.of_kind("Deployment").get("api-router")
        wanted = deployment["spec"]["replicas"] if deployment else 0
        names = [name for name in cluster.of_kind("Pod") if name.startswith("api-router-")]
        for name in names[wanted:]:
            cluster.remove(cluster.of_kind("Pod")[name])
        for _ in range(wanted - len(names)):
            self._born += 1
            cluster.add(self._pod(f"api-router-{self._born}"))
        alive = set(cluster.of_kind("Pod"))
        gone = [name for name in self.routers if name not in alive]
        for name in gone:
            del self.routers[name]
        starting = [name for name in sorted(alive) if name.startswith("api-router-") and name not in self.routers]
        for name in starting if not self.image_is_missing else ():
            self.routers[name] = MemoryRouter(name, self._start_split())
            cluster.change(cluster.of_kind("Pod")[name], status={"conditions": [{"type": "Ready", "status": "True"}]})
        return bool(gone) or len(names) != wanted or (bool(starting) and not self.image_is_missing)

    def _pod(self, name: str) -> Manifest:
        labels = {"app.kubernetes.io/managed-by": "tuneloop", "tuneloop.dev/deployment": "api"}
        metadata = {"name": name, "namespace": "team-a", "labels": labels | {"tuneloop.dev/component": "router"}}
        waiting = {"name": "router", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
        status = {"conditions": [], "containerStatuses": [waiting] if self.image_is_missing else []}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status}

    def _start_split(self) -> Split:
        return Split.parse(self.harness.cluster.of_kind("ConfigMap")["api-router"]["data"]["split.json"].encode())

    def _poll(self) -> bool:
        """Let each router ask once; return whether it reports anything new."""
        if self.is_slow:
            return False
        wanted = self._wanted()
        if wanted is None:
            return False
        before = self.reports
        for router in self.routers.values():
            if wanted.generation > max(router.split.generation, router.refused or 0):
                self._take(router, wanted)
            self.report(router.name, in_force=router.split.generation, refused=router.refused)
        return self.reports != before

    def _take(self, router: MemoryRouter, wanted: Split) -> None:
        if self.refusal:
            router.refused = wanted.generation
            return
        check_successor(wanted, of=router.split)
        router.split, router.refused = wanted, None
        self.splits.append(wanted)

    def _wanted(self) -> Split | None:
        found = self.harness.operator.split_of("team-a", "api")
        return Split.parse(json.dumps(found.to_wire()).encode()) if found else None

    def _check(self, _: str, manifest: Manifest) -> None:
        """Check what must hold after every write."""
        objects = self.harness.cluster.objects
        if ("ModelDeployment", "team-a", "api") not in objects:
            return
        if manifest["kind"] == "ModelDeployment" and "rollout" in self.status:
            assert sum(self.weights.values()) == 100, self.weights
        if ("Service", "team-a", "api") not in objects:
            return
        if not self.targets or self.targets[-1] != self.target:
            self.targets.append(self.target)
            if self.target == "routers" and not self._needs_key:
                newest = self.status["rollout"]["split"]["generation"]
                assert any(report.in_force == newest for report in self.reports), "no router follows yet"
        if self._asked_for and self._full != 0:
            self._check_servers()

    def _check_servers(self) -> None:
        """Check that every revision that gets requests has servers, and as many as its share needs."""
        if self.target != "routers":
            assert self.counts[self.target] > 0, f"the Service leads to {self.target}, which has no server"
            return
        if self._needs_key and not self.routers:
            return  # it is closed before there is a router
        assert {("Deployment", "api-router"), ("ConfigMap", "api-router")} <= self.router_objects
        full = min(self._full or 0, self._asked_for)
        replaces = self._replaced or self._is_replacing()
        for shares in self.followed:
            for revision, weight in shares.items():
                least = 1 if replaces else max(1, full * weight // 100)
                assert self.counts.get(revision, 0) >= least, f"{revision} gets {weight} %: {self.counts}"
                assert f"api-{revision}-pods" in self.harness.cluster.of_kind("Service"), "routers cannot find it"

    def _check_rest(self) -> None:
        """Check what must hold once routers and operator have nothing to do: who gets requests can answer them, and no server is too many."""
        rollout, spec = self.status.get("rollout"), self.stored["spec"]
        if rollout is None:
            return
        for revision, weight in self.weights.items():
            ready = any(pod["status"]["conditions"][0]["status"] == "True" for pod in self.pods(revision))
            assert ready or revision == rollout["stable"], f"{revision} gets {weight} % and has no ready server"
        generations = {router.get("generation") for router in rollout.get("routers") or ()}
        if "autoscaling" in spec or generations != {rollout["split"]["generation"]}:
            return  # a router that is late may still send requests to servers that are there
        is_replacing = self._is_replacing() and rollout["strategy"] != "Recreate"
        most = max(spec["replicas"], 2) if is_replacing else 2 * spec["replicas"]
        kept = ((spec.get("rollout") or {}).get("rollback") or {}).get("keepReplicas", 0)
        assert sum(self.counts.values()) <= most + kept, f"{most} servers are allowed, {kept} are kept: {self.counts}"

    @property
    def _needs_key(self) -> bool:
        """Whether requests need a key: nothing but a router may be asked then, ready or not."""
        return "apiKeySecretRef" in self.stored["spec"].get("access", {})

    @property
    def _asked_for(self) -> int:
        """Servers that the spec asks for at least."""
        spec = self.stored["spec"]
        least: int = spec["autoscaling"].get("min", 1) if "autoscaling" in spec else spec["replicas"]
        return least

    def _is_replacing(self) -> bool:
        return bool((self.stored["spec"].get("rollout") or {}).get("capacity") == "Replace")
