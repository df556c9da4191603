"""Roll-outs by routers in which anything happens at random: whatever it is, requests have somewhere to go, and the end is as it should be.

`Routed` checks after every write that each share has its servers and that the Service has a target.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from routed_in_memory import Routed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

QUICK: dict[str, Any] = {"rollback": {"baking": "0s", "window": "1m"}, "revisionHistoryLimit": 1}
ROLLOUTS: tuple[dict[str, Any], ...] = (
    {"strategy": "Canary", "steps": [{"weight": 25, "minDuration": "1m"}, {"weight": 60}]},
    {"strategy": "Canary", "capacity": "Replace", "steps": [{"weight": 50}]},
    {"strategy": "BlueGreen"},
    {"strategy": "Recreate"},
)
COMMANDS = ("promote", "abort", "retry", "skip", "approve", "roll-back")
STEPS = 25


class Walk:
    """One deployment, and what happens to it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.deployed = Routed()
        self.told: list[str] = []
        self.number = 0

    async def go(self) -> None:
        """Let things happen, then let everything heal, and check the end."""
        await self.deployed.create(replicas=2, **self.chance.choice(ROLLOUTS), **QUICK)
        for _ in range(STEPS):
            move = self.chance.choice(self._moves())
            self.told.append(move.__name__)
            await move()
        await self._heal()
        self._check_end()

    def _moves(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return (
            self.offer, self.serve, self.serve, self.serve, self.fail, self.wait, self.wait, self.scale, self.command,
            self.change_strategy, self.lose_a_router, self.turn_slow, self.turn_quick, self.refuse, self.accept, self.kill,
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

    async def scale(self) -> None:
        await self.deployed.change(replicas=self.chance.choice((1, 2, 4)))

    async def command(self) -> None:
        self.number += 1
        await self.deployed.command(f"{self.chance.choice(COMMANDS)}/{self.number}")

    async def change_strategy(self) -> None:
        await self.deployed.change(rollout=self.chance.choice(ROLLOUTS) | QUICK)

    async def lose_a_router(self) -> None:
        if self.deployed.routers:
            await self.deployed.lose_router(self.chance.choice(sorted(self.deployed.routers)))

    async def turn_slow(self) -> None:
        self.deployed.is_slow = True

    async def turn_quick(self) -> None:
        self.deployed.is_slow = False
        await self.deployed.settle()

    async def refuse(self) -> None:
        self.deployed.refusal = "no room"

    async def accept(self) -> None:
        self.deployed.refusal = ""

    async def kill(self) -> None:
        cluster = self.deployed.harness.cluster
        cluster.fail_write = len(cluster.writes) + self.chance.randint(0, 3)
        await self.deployed.settle(later=61.0)
        await self.deployed.restart()

    async def _heal(self) -> None:
        """Let everything work again, and a new revision be promoted."""
        deployed = self.deployed
        deployed.is_slow, deployed.refusal = False, ""
        await deployed.settle()
        for word in ("retry/heal", "abort/heal"):
            await self._serve_all()
            await deployed.command(word)
        await self.offer()
        for _ in range(6):
            await self._serve_all()
            await deployed.settle(later=61.0)
        await deployed.settle(later=700.0)

    async def _serve_all(self) -> None:
        for revision in self.deployed.revisions:
            if revision in self.deployed.revisions:
                await self.deployed.ready(revision, self.deployed.counts[revision])

    def _check_end(self) -> None:
        deployed = self.deployed
        newest = deployed.revisions[-1]
        full = deployed.stored["spec"]["replicas"]
        rollout = deployed.status["rollout"]
        assert (rollout["phase"], deployed.status["stable"]["revision"]) == ("Done", newest), rollout
        assert {name: count for name, count in deployed.counts.items() if count} == {newest: full}
        assert deployed.condition("Ready") == ("True", "AllReady")
        if deployed.stored["spec"]["rollout"]["strategy"] == "Recreate":
            assert (deployed.target, deployed.routers) == (newest, {})
        else:
            assert deployed.target == "routers"
            assert deployed.followed == len(deployed.routers) * [{newest: 100}]
        assert not [error for error in deployed.harness.errors if "answer was lost" not in str(error)]


@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 150), marks=pytest.mark.full)], ids=["few", "many"])
def test_whatever_happens_requests_have_somewhere_to_go_and_all_ends_well(seeds: range) -> None:
    for seed in seeds:
        walk = Walk(seed)
        try:
            asyncio.run(walk.go())
        except AssertionError as error:
            raise AssertionError(f"walk {seed}: {walk.told}: {error}") from error
