"""A ModelDeployment with `spec.monitoring` on the memory cluster, and a Prometheus that answers as the test says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from operator_harness import OperatorHarness
from routed_in_memory import Routed

from tuneloop_operator.controller.baselines import Baselines
from tuneloop_operator.prometheus.answer import Series, Unanswered, Vector
from tuneloop_operator.settings.operator import OperatorSettings

if TYPE_CHECKING:
    from tuneloop_operator.prometheus.answer import VectorAnswer
    from tuneloop_operator.prometheus.query import PromQL

HOUR, DAY = 3600.0, 86_400.0
EMPTY = Unanswered(verdict="NoData", reason="the query has an empty result")
DOWN = Unanswered(verdict="Error", reason="Prometheus at http://p: no connection (Connection refused)")


def counts(*texts: float, feature: str = "tokens") -> tuple[Series, ...]:
    return tuple(Series(labels={"feature": feature, "bin": str(bin_)}, value=value) for bin_, value in enumerate(texts))


ENOUGH, FEW = counts(300.0, 200.0, 500.0), counts(100.0, 20.0, 0.0)


class Monitored(Routed):
    """A deployment with `spec.monitoring`, and a Prometheus with one answer."""

    def __init__(self, *, has_prometheus: bool = True, **monitoring: Any) -> None:
        super().__init__()
        self.harness = OperatorHarness(
            OperatorSettings(server_image="server:1", router_image="router:1", has_prometheus=has_prometheus)
        )
        self.besides = {"monitoring": monitoring}
        self.series: tuple[Series, ...] | Unanswered = ENOUGH
        self.asked: list[str] = []
        self.results: list[str] = []
        self.leads = True

    async def ask(self, query: PromQL) -> VectorAnswer:
        self.asked.append(query)
        if isinstance(self.series, Unanswered):
            return self.series
        return Vector(series=self.series, at=self.harness.now.timestamp())

    async def pass_(self, seconds: float) -> None:
        """Let time pass, the operator work, and Prometheus be asked once."""
        await self.settle(later=seconds)
        baselines = Baselines(
            self.harness.operator,
            ask=self.ask,
            clock=lambda: self.harness.now,
            leads=lambda: self.leads,
            on_answer=self.results.append,
        )
        await baselines.ask_all()
        await self.settle()

    async def promote(self) -> str:
        """Roll another revision out, until it bakes; return its name."""
        new = await self.offer(number=len(self.status["revisions"]))
        await self.ready(new, 1)
        await self.settle(later=600.0)
        assert self.status["rollout"]["phase"] == "Baking"
        return new

    @property
    def monitoring(self) -> dict[str, Any]:
        found: dict[str, Any] = self.status["monitoring"]
        return found

    @property
    def ready_condition(self) -> tuple[str, str] | None:
        return self.condition("MonitoringReady")


async def served(*, has_prometheus: bool = True, **monitoring: Any) -> tuple[Monitored, str]:
    """Return a deployment whose first revision answers."""
    monitored = Monitored(has_prometheus=has_prometheus, **monitoring)
    steps = [{"weight": 50, "minDuration": "5m"}]
    return monitored, await monitored.create(replicas=1, steps=steps, rollback={"baking": "2h", "window": "7d"})
