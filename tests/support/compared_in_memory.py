"""A ModelDeployment whose canary is compared with stable, on the memory cluster: clients send requests, routers answer and count, a comparator compares.

The comparator counts as the real one does; only what its revisions would answer is said by the test.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from comparator_counts import ratios
from routed_in_memory import Routed

from tuneloop_api.contract.comparator_config import ComparatorConfig
from tuneloop_api.contract.comparison import ComparisonCounts, GoldenCounts, LabelledCounts, PairCounts
from tuneloop_operator.state.gate_inputs import ComparatorReply
from tuneloop_operator.state.router_report import RouterReport

ERRORS: dict[str, Any] = {"name": "errors", "metric": "Errors", "margin": 0.01}
LATENCY: dict[str, Any] = {"name": "latency", "metric": "Latency", "margin": 0.1}
AGREEMENT: dict[str, Any] = {"name": "agreement", "metric": "Agreement", "margin": 0.05}
GOLDEN: dict[str, Any] = {"name": "golden", "metric": "GoldenAccuracy", "margin": 0.03}
GOLDEN_SET: dict[str, Any] = {"goldenSet": {"uri": "pvc://golden/reviews.jsonl"}}
GOLDEN_ROWS = 3000
STEPS = [{"weight": 10, "minRequests": 1000}, {"weight": 50, "minRequests": 1000}]


@dataclass
class MemoryComparator:
    """A comparator that runs."""

    config: ComparatorConfig
    started_at: str
    live: PairCounts = field(default_factory=PairCounts)
    golden: GoldenCounts | None = None

    def counts(self) -> ComparisonCounts:
        return ComparisonCounts(
            deployment=self.config.name,
            task="text-classification",
            stable=self.config.stable.name,
            canary=self.config.canary.name,
            started_at=self.started_at,
            live=self.live,
            golden=self.golden,
        )


class Compared(Routed):
    """The ModelDeployment `api` with routers and a comparator."""

    def __init__(self) -> None:
        super().__init__()
        self.besides = {"evaluation": GOLDEN_SET}
        self.comparator: MemoryComparator | None = None
        self.is_comparator_away = False
        """Whether it does not answer, though it runs."""
        self.wrong_golden_rows = 0
        """Rows of the golden set that the canary alone gets wrong."""
        self._answered: dict[tuple[str, int], dict[str, int]] = {}
        """By router and generation: requests by revision."""

    async def serve(self, requests: int, *, later: float = 60.0, **bad: int) -> None:
        """Let clients send so many requests; each is answered by the routers' split, and as many are compared as `bad` names errors, or all that are copied.

        bad: of the compared ones, `canary_failed`, `disagree` and `slow`.
        """
        for router in self.routers.values():
            shares = {revision.name: revision.weight for revision in router.split.revisions}
            answered = self._answered.setdefault((router.name, router.split.generation), {})
            for name, weight in shares.items():
                own = name.removeprefix("api-")
                answered[own] = answered.get(own, 0) + requests * weight // (100 * len(self.routers))
        shadow = next(iter(self.routers.values())).split.shadow if self.routers else None
        if self.comparator is not None and shadow is not None:
            self._compare(requests * shadow.percent // 100, **bad)
        await self.settle(later=later)

    async def settle(self, *, later: float = 0.0) -> None:
        await super().settle(later=later)
        while self._run_comparator():
            await super().settle()
        await self._tell()

    async def replace_comparator(self) -> None:
        """Let the comparator's pod die: another process counts from zero."""
        self.comparator = None
        await self.settle()

    @property
    def comparator_objects(self) -> set[tuple[str, str]]:
        """Kind and name of what exists for the comparator."""
        return {(kind, name) for kind, _, name in self.harness.cluster.objects if name.startswith("api-comparator")}

    @property
    def rollout(self) -> dict[str, Any]:
        """What the status says of the roll-out."""
        found: dict[str, Any] = self.status["rollout"]
        return found

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict of each gate."""
        return {gate["name"]: gate["verdict"] for gate in self.rollout.get("gates", ())}

    def reason(self, gate: str) -> str:
        """Return the numbers behind the verdict of a gate."""
        return next(str(found["reason"]) for found in self.rollout["gates"] if found["name"] == gate)

    def report(self, router: str, *, in_force: int, refused: int | None = None) -> None:
        reason = self.refusal if refused else ""
        requests = tuple(sorted(self._answered.get((router, in_force), {}).items()))
        found = RouterReport(router=router, in_force=in_force, refused=refused, reason=reason, requests=requests)
        self.harness.operator.router_report("team-a", "api", found)

    def _compare(self, copies: int, *, canary_failed: int = 0, disagree: int = 0, slow: int = 0) -> None:
        assert self.comparator is not None
        live = self.comparator.live
        before = live.latency_ratios or ratios()
        times = ratios(at_0=copies - canary_failed - slow, slow=slow)
        self.comparator.live = PairCounts(
            agree=live.agree + copies - canary_failed - disagree,
            disagree=live.disagree + disagree,
            canary_failed=live.canary_failed + canary_failed,
            latency_ratios=[old + new for old, new in zip(before, times, strict=True)],
        )

    def _run_comparator(self) -> bool:
        """Let there be the process that the Deployment asks for; return whether anything changed."""
        before = self.comparator
        deployment = self.harness.cluster.of_kind("Deployment").get("api-comparator")
        if deployment is None:
            self.comparator = None
            return before is not None
        name = deployment["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"]
        text = self.harness.cluster.of_kind("ConfigMap")[name]["data"]["comparator.json"]
        config = ComparatorConfig.from_wire(json.loads(text))
        if before is not None and before.config == config:
            return False
        golden = self._replayed() if config.golden is not None else None
        self.comparator = MemoryComparator(config, started_at=self.harness.stamp(), golden=golden)
        return True

    def _replayed(self) -> GoldenCounts:
        """Return the counts after a complete replay."""
        pairs = PairCounts(agree=GOLDEN_ROWS - self.wrong_golden_rows, disagree=self.wrong_golden_rows)
        labelled = LabelledCounts(rows=GOLDEN_ROWS, canary_only=self.wrong_golden_rows)
        return GoldenCounts(
            rows=GOLDEN_ROWS,
            wanted=1,
            completed=1,
            pairs=pairs,
            labelled=labelled,
            last_pairs=pairs,
            last_labelled=labelled,
        )

    async def _tell(self) -> None:
        """Let the operator hear what the comparator says."""
        if self.comparator is None:
            return
        reply = ComparatorReply(document=self.comparator.counts().to_wire())
        if self.is_comparator_away:
            reply = ComparatorReply(problem="the comparator does not answer")
        self.harness.operator.comparator_said("team-a", "api", reply)
        await super().settle()
        if self._run_comparator():
            await self._tell()


async def with_canary(deployed: Compared, **rollout: Any) -> tuple[str, str]:
    """Return the stable revision, and a canary in its first step."""
    old = await deployed.create(replicas=1, **{"steps": STEPS, "gates": [ERRORS]} | rollout)
    new = await deployed.offer()
    await deployed.ready(new, 1)
    return old, new
