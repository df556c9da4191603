"""Walks: roll-outs in memory in which anything happens at random, until everything heals: `Walk`, `walk_all`."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from compared_in_memory import Compared

QUICK: dict[str, Any] = {"rollback": {"baking": "0s", "window": "1m"}, "revisionHistoryLimit": 1}
COPIES: dict[str, Any] = {"percent": 20, "minRequests": 100}
ROLLOUTS: tuple[dict[str, Any], ...] = (
    {"strategy": "Canary", "steps": [{"weight": 25, "minDuration": "1m"}, {"weight": 60}]},
    {"strategy": "Canary", "capacity": "Replace", "steps": [{"weight": 50}]},
    {"strategy": "BlueGreen"},
    {"strategy": "BlueGreen", "capacity": "Replace"},
    {"strategy": "Shadow", "shadow": COPIES, "steps": [{"weight": 50}]},
    {"strategy": "Shadow", "shadow": COPIES, "capacity": "Replace"},
    {"strategy": "Recreate"},
)
"""Each strategy, with each place for new servers that it may have. A walk begins with the one of its seed."""
REQUESTS = 1000
"""That clients send at a time: enough for the copies of a Shadow."""
COMMANDS = ("promote", "abort", "retry", "skip", "approve", "roll-back")
STEPS = 25


class Walk:
    """One deployment, and what happens to it. A subclass says how it begins, which moves there are, and what holds at the end."""

    def __init__(self, seed: int, deployed: Compared) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.deployed = deployed
        self.moves: list[str] = []
        self.number = 0

    async def begin(self, rollout: dict[str, Any]) -> None:
        """Create the deployment."""
        raise NotImplementedError

    def possible(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """Return the moves of this walk beside `common`."""
        raise NotImplementedError

    def check_end(self, newest: str) -> None:
        """Check what healed. newest: the revision that was offered last."""
        raise NotImplementedError

    async def end_troubles(self) -> None:
        """Let everything work again."""

    async def go(self) -> None:
        """Let things happen, then let everything heal, and check the end."""
        await self.begin(ROLLOUTS[self.seed % len(ROLLOUTS)] | QUICK)
        for _ in range(STEPS):
            move = self.chance.choice(self._common() + self.possible())
            self.moves.append(move.__name__)
            await move()
        await self._heal()
        deployed, newest = self.deployed, self.deployed.revisions[-1]
        rollout = deployed.status["rollout"]
        assert (rollout["phase"], deployed.status["stable"]["revision"]) == ("Done", newest), rollout
        assert deployed.condition("Ready") == ("True", "AllReady")
        assert not [error for error in deployed.harness.errors if "answer was lost" not in str(error)]
        self.check_end(newest)

    def _common(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return (
            self.offer, self.serve, self.serve, self.serve, self.ask, self.ask, self.fail, self.wait, self.wait, self.command, self.change_strategy, self.kill,
        )  # fmt: skip

    async def offer(self) -> None:
        self.number += 1
        await self.deployed.change(batching={"maxBatchSize": self.number})

    async def serve(self) -> None:
        """Let all servers of a revision that are asked for be ready."""
        revision = self.chance.choice(self.deployed.revisions)
        await self.deployed.ready(revision, self.deployed.counts[revision])

    async def ask(self) -> None:
        """Let clients send requests, some of which are copied."""
        await self.deployed.serve(REQUESTS)

    async def fail(self) -> None:
        await self.deployed.ready(self.chance.choice(self.deployed.revisions), 0)

    async def wait(self) -> None:
        await self.deployed.settle(later=self.chance.choice((1.0, 61.0, 700.0)))

    async def command(self) -> None:
        self.number += 1
        await self.deployed.command(f"{self.chance.choice(COMMANDS)}/{self.number}")

    async def change_strategy(self) -> None:
        await self.deployed.change(rollout=self.chance.choice(ROLLOUTS) | QUICK)

    async def kill(self) -> None:
        cluster = self.deployed.harness.cluster
        cluster.fail_write = len(cluster.writes) + self.chance.randint(0, 3)
        await self.deployed.settle(later=61.0)
        await self.deployed.restart()

    async def _heal(self) -> None:
        """Let everything work again, and a new revision be promoted."""
        await self.end_troubles()
        for word in ("retry/heal", "abort/heal"):
            await self._serve_all()
            await self.deployed.command(word)
        await self.offer()
        for _ in range(6):
            await self._serve_all()
            await self.deployed.serve(REQUESTS, later=61.0)
        await self.deployed.settle(later=700.0)

    async def _serve_all(self) -> None:
        for revision in self.deployed.revisions:
            if revision in self.deployed.revisions:
                await self.deployed.ready(revision, self.deployed.counts[revision])


def walk_all(seeds: Iterable[int], walk: Callable[[int], Walk]) -> None:
    """Go one walk for each seed; an AssertionError names the seed and the moves."""
    for seed in seeds:
        walking = walk(seed)
        try:
            asyncio.run(walking.go())
        except AssertionError as error:
            raise AssertionError(f"walk {seed}: {walking.moves}: {error}") from error
