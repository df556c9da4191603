"""Roll-outs of a deployment with an autoscaler in which anything happens at random.

`Autoscaled` checks after every write that the operator changes no number of servers that the autoscaler owns, `Routed` that each share has its servers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from autoscaled_in_memory import Autoscaled
from rollout_walks import Walk, walk_all

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIMITS: tuple[dict[str, int], ...] = ({"min": 2, "max": 8}, {"min": 1, "max": 3}, {"min": 3, "max": 3})


class AutoscaledWalk(Walk):
    """The load changes, the limits change, and somebody meddles with a Deployment."""

    deployed: Autoscaled

    def __init__(self, seed: int) -> None:
        super().__init__(seed, Autoscaled())

    async def begin(self, rollout: dict[str, Any]) -> None:
        await self.deployed.begin(rollout=rollout)

    def possible(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return self.load, self.load, self.limit, self.meddle

    async def load(self) -> None:
        """Let the autoscaler follow the load."""
        if self.deployed.aim in self.deployed.revisions:
            self.deployed.set_number(self.chance.randint(*self.deployed.limits))
            await self.deployed.settle()

    async def limit(self) -> None:
        await self.deployed.change(autoscaling=self.chance.choice(LIMITS))

    async def meddle(self) -> None:
        """Let somebody change a Deployment, which the operator then applies again."""
        servers = self.deployed.servers(self.chance.choice(self.deployed.revisions))
        self.deployed.harness.cluster.change(servers, spec=servers["spec"] | {"progressDeadlineSeconds": 1})
        await self.deployed.settle()

    def check_end(self, newest: str) -> None:
        limits = self.deployed.stored["spec"]["autoscaling"]
        assert (self.deployed.aim, self.deployed.limits) == (newest, (limits["min"], limits["max"]))
        (count,) = (count for count in self.deployed.counts.values() if count)
        assert limits["min"] <= count <= limits["max"]


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 100), marks=pytest.mark.full)], ids=["few", "many"])
def test_whatever_happens_the_autoscaler_keeps_its_number_and_all_ends_well(seeds: range) -> None:
    walk_all(seeds, AutoscaledWalk)
