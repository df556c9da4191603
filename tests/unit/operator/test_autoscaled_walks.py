"""Roll-outs of a deployment with an autoscaler in which anything happens at random.

`Autoscaled` checks after every write that the operator changes no number of servers that the autoscaler owns, `Routed` that each share has its servers.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from autoscaled_in_memory import Autoscaled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

QUICK: dict[str, Any] = {"rollback": {"baking": "0s", "window": "1m"}, "revisionHistoryLimit": 1}
ROLLOUTS: tuple[dict[str, Any], ...] = (
    {"strategy": "Canary", "steps": [{"weight": 25, "minDuration": "1m"}, {"weight": 60}]},
    {"strategy": "Canary", "capacity": "Replace", "steps": [{"weight": 50}]},
    {"strategy": "BlueGreen"},
    {"strategy": "Recreate"},
)
LIMITS: tuple[dict[str, int], ...] = ({"min": 2, "max": 8}, {"min": 1, "max": 3}, {"min": 3, "max": 3})
COMMANDS = ("promote", "abort", "retry", "skip", "approve", "roll-back")
STEPS = 25


class Walk:
    """One deployment, and what happens to it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.deployed = Autoscaled()
        self.moves: list[str] = []
        self.number = 0

    async def go(self) -> None:
        """Let things happen, then let everything heal, and check the end."""
        await self.deployed.begin(rollout=self.chance.choice(ROLLOUTS) | QUICK)
        for _ in range(STEPS):
            move = self.chance.choice(self._moves())
            self.moves.append(move.__name__)
            await move()
        await self._heal()
        self._check_end()

    def _moves(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return (
            self.offer, self.serve, self.serve, self.serve, self.fail, self.wait, self.wait, self.load, self.load, self.limit,
            self.command, self.change_strategy, self.kill, self.meddle,
        )  # fmt: skip

    async def offer(self) -> None:
        self.number += 1
        await self.deployed.change(batching={"maxBatchSize": self.number})

    async def serve(self) -> None:
        """Let all servers of a revision that are asked for be ready."""
        revision = self.chance.choice(self.deployed.revisions)
        await self.deployed.ready(revision, self.deployed.counts[revision])

    async def fail(self) -> None:
        await self.deployed.ready(self.chance.choice(self.deployed.revisions), 0)

    async def wait(self) -> None:
        await self.deployed.settle(later=self.chance.choice((1.0, 61.0, 700.0)))

    async def load(self) -> None:
        """Let the autoscaler follow the load."""
        if self.deployed.aim in self.deployed.revisions:
            self.deployed.set_number(self.chance.randint(*self.deployed.limits))
            await self.deployed.settle()

    async def limit(self) -> None:
        await self.deployed.change(autoscaling=self.chance.choice(LIMITS))

    async def command(self) -> None:
        self.number += 1
        await self.deployed.command(f"{self.chance.choice(COMMANDS)}/{self.number}")

    async def change_strategy(self) -> None:
        await self.deployed.change(rollout=self.chance.choice(ROLLOUTS) | QUICK)

    async def meddle(self) -> None:
        """Let somebody change a Deployment, which the operator then applies again."""
        servers = self.deployed.servers(self.chance.choice(self.deployed.revisions))
        self.deployed.harness.cluster.change(servers, spec=servers["spec"] | {"progressDeadlineSeconds": 1})
        await self.deployed.settle()

    async def kill(self) -> None:
        cluster = self.deployed.harness.cluster
        cluster.fail_write = len(cluster.writes) + self.chance.randint(0, 3)
        await self.deployed.settle(later=61.0)
        await self.deployed.restart()

    async def _heal(self) -> None:
        """Let everything work again, and a new revision be promoted."""
        for word in ("retry/heal", "abort/heal"):
            await self._serve_all()
            await self.deployed.command(word)
        await self.offer()
        for _ in range(6):
            await self._serve_all()
            await self.deployed.settle(later=61.0)
        await self.deployed.settle(later=700.0)

    async def _serve_all(self) -> None:
        for revision in self.deployed.revisions:
            if revision in self.deployed.revisions:
                await self.deployed.ready(revision, self.deployed.counts[revision])

    def _check_end(self) -> None:
        deployed = self.deployed
        newest = deployed.revisions[-1]
        rollout, limits = deployed.status["rollout"], deployed.stored["spec"]["autoscaling"]
        assert (rollout["phase"], deployed.status["stable"]["revision"]) == ("Done", newest), rollout
        assert (deployed.aim, deployed.limits) == (newest, (limits["min"], limits["max"]))
        (count,) = (count for count in deployed.counts.values() if count)
        assert limits["min"] <= count <= limits["max"]
        assert deployed.condition("Ready") == ("True", "AllReady")
        assert not [error for error in deployed.harness.errors if "answer was lost" not in str(error)]


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 100), marks=pytest.mark.full)], ids=["few", "many"])
def test_whatever_happens_the_autoscaler_keeps_its_number_and_all_ends_well(seeds: range) -> None:
    for seed in seeds:
        walk = Walk(seed)
        try:
            asyncio.run(walk.go())
        except AssertionError as error:
            raise AssertionError(f"walk {seed}: {walk.moves}: {error}") from error
