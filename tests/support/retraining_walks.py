"""Walks: a deployment that retrains, and anything that may happen to it at random, until everything heals: `RetrainingWalk`, `walk_all`."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrained_in_memory import DAY, HOUR, Retrained

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

STEPS = 25
COOLDOWN, MOST_RUNS, WINDOW = HOUR, 3, 2 * DAY


class RetrainingWalk:
    """One deployment, and what happens to it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.deployed = Retrained()
        self.moves: list[str] = []
        self.number = 0
        self.asked: list[str] = []
        """Tokens of people, one after another."""

    async def go(self) -> None:
        """Let things happen, then let everything heal, and check the end."""
        budget = {"maxRuns": MOST_RUNS, "window": "2d"}
        await self.deployed.begin(cooldown="1h", backoff={"factor": 2, "max": "8h"}, budget=budget)
        for _ in range(STEPS):
            move = self.chance.choice(self.possible())
            self.moves.append(move.__name__)
            await move()
            self.check()
        await self.heal()

    def possible(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """Return the moves."""
        return (
            self.ask, self.ask, self.withdraw, self.prepare_old, self.prepare_new, self.train, self.train, self.fail_job, self.delete_job,
            self.serve, self.serve, self.break_servers, self.wait, self.wait, self.bake, self.suspend, self.go_on, self.edit_model,
            self.edit_batching, self.kill, self.kill, self.command,
        )  # fmt: skip

    def check(self) -> None:
        """Check what must hold in every world."""
        loop = self.deployed.loop
        runs = loop.get("history", [])
        names = [run["job"] for run in runs]
        assert len(names) == len(set(names)), f"a run is twice in the history: {names}"
        assert sum("outcome" not in run for run in runs) <= 1, "two runs in flight"
        assert len(self.deployed.created) == len(set(self.deployed.created)), "a job was created twice"
        assert set(self.deployed.created) <= set(names), "a job of no run"
        keys = [run["key"] for run in runs]
        assert len(keys) == len(set(keys)), f"one request started two runs: {keys}"
        self.check_pauses(runs)

    def check_pauses(self, runs: list[dict[str, Any]]) -> None:
        """Check the pause after each run, and the budget."""
        begins = [moment(run["startedAt"]) for run in runs]
        for before, begin in zip(runs, begins[1:], strict=False):
            assert begin - moment(before["endedAt"]) >= COOLDOWN, "no pause after a run"
        for begin in begins:
            assert sum(begin <= other < begin + WINDOW for other in begins) <= MOST_RUNS, (
                "more runs than the budget has"
            )

    async def ask(self) -> None:
        await self.deployed.ask()

    async def withdraw(self) -> None:
        metadata = self.deployed.stored["metadata"] | {"annotations": {}}
        self.deployed.harness.cluster.change(self.deployed.stored, metadata=metadata)
        await self.deployed.settle()

    async def prepare_old(self) -> None:
        await self._stage("prepare", "old")

    async def prepare_new(self) -> None:
        self.number += 1
        await self._stage("prepare", f"new-{self.number}")

    async def train(self) -> None:
        self.number += 1
        await self._stage("train", f"new-{self.number}")

    async def fail_job(self) -> None:
        if self._waits_for("prepare"):
            await self.deployed.fail_job()

    async def delete_job(self) -> None:
        if name := self._job():
            self.deployed.harness.cluster.remove(self.deployed.harness.job(name))
            await self.deployed.settle()

    async def serve(self) -> None:
        await self.deployed.serve()

    async def break_servers(self) -> None:
        """Let the servers of the canary never come up."""
        canary = self.deployed.status["rollout"].get("canary")
        if canary in self.deployed.revisions:
            await self.deployed.overdue(canary)

    async def wait(self) -> None:
        await self.deployed.settle(later=self.chance.choice((1.0, HOUR, DAY)))

    async def bake(self) -> None:
        await self.deployed.serve()
        await self.deployed.settle(later=HOUR + 1)

    async def suspend(self) -> None:
        await self._change(suspend=True)

    async def go_on(self) -> None:
        await self._change(suspend=False)

    async def edit_model(self) -> None:
        self.number += 1
        await self.deployed.change(model={"uri": f"pvc://models/mine-{self.number}"})

    async def edit_batching(self) -> None:
        self.number += 1
        await self.deployed.change(batching={"maxBatchSize": self.number})

    async def command(self) -> None:
        self.number += 1
        await self.deployed.command(f"{self.chance.choice(('roll-back', 'abort', 'promote'))}/{self.number}")

    async def kill(self) -> None:
        """Let the answer to one of the next writes be lost, and the operator with it."""
        cluster = self.deployed.harness.cluster
        cluster.fail_write = len(cluster.writes) + self.chance.randint(0, 2)
        await self.chance.choice((self.ask, self.wait, self.serve, self.prepare_new))()
        await self.deployed.restart()

    async def heal(self) -> None:
        """Let everything work again: what was in flight ends, and one more request is answered by one more model."""
        deployed = self.deployed
        await deployed.restart()
        await self._change(suspend=False)
        for _ in range(3):
            await self._stage("train", f"last-{self.number}")
            await self.bake()
        await deployed.command("abort/heal")
        await self.bake()
        await deployed.settle(later=3 * DAY)
        before = len(deployed.created)
        await deployed.ask()
        self.number += 1
        await self._stage("train", f"last-{self.number}")
        await self.bake()
        await deployed.settle(later=3 * DAY)
        self.check()
        assert deployed.outcomes[-1] == "Promoted", deployed.loop
        assert len(deployed.created) - before == 1
        assert deployed.status["stable"]["digest"] == deployed.loop["choice"]["digest"]
        assert deployed.place == ("Idle", "")
        jobs = set(deployed.harness.cluster.of_kind("FineTuneJob")) - {"reviews"}
        phases = {deployed.harness.job(name)["status"]["phase"] for name in jobs}
        assert phases <= {"Succeeded", "Failed"}, "a job works for no run"

    async def _change(self, **retraining: Any) -> None:
        spec = self.deployed.stored["spec"]["retraining"] | retraining
        await self.deployed.change(retraining=spec)

    def _job(self) -> str:
        """Return the job of the run in flight; empty if there is none."""
        runs = self.deployed.loop.get("history", [])
        jobs = self.deployed.harness.cluster.of_kind("FineTuneJob")
        return next((run["job"] for run in runs if "outcome" not in run and run["job"] in jobs), "")

    def _waits_for(self, stage: str) -> bool:
        """Whether the job of the run has this stage, and it has not ended."""
        job = self.deployed.harness.cluster.of_kind("Job").get(f"{self._job()}-{stage}")
        return job is not None and not (job.get("status") or {}).get("conditions")

    async def _stage(self, until: str, data: str) -> None:
        if self._waits_for("prepare"):
            await self.deployed.prepare(data)
        if until == "train" and self._waits_for("a1"):
            await self.deployed.finish()


def moment(text: str) -> float:
    """Return a time of the status as seconds."""
    return datetime.fromisoformat(text).timestamp()


def walk_all(seeds: Iterable[int]) -> None:
    """Go one walk for each seed; an AssertionError names the seed and the moves."""
    for seed in seeds:
        walking = RetrainingWalk(seed)
        try:
            asyncio.run(walking.go())
        except AssertionError as error:
            raise AssertionError(f"walk {seed}: {walking.moves}: {error}") from error
