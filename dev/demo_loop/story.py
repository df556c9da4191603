"""The story of drift: train, serve, turn the traffic, and watch what the operator does about it. Nobody but the operator decides anything."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from demo_loop.client import TrafficClient
from demo_loop.decisions import PROMOTED, decisions, runs_of
from demo_loop.domains import divided, read_domain
from demo_loop.events import Mark, to_line
from demo_loop.files import story_traffic, write_story
from demo_loop.place import wait_for
from demo_loop.plan import Requests, TrafficPlan
from demo_loop.progress import Phase, Progress
from tuneloop_cli.local.node import is_finished
from tuneloop_cli.manifests.load import load_manifests
from tuneloop_cli.views.progress import plain_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from demo_loop.events import Event
    from demo_loop.place import Place
    from tuneloop_operator.cluster import Manifest

DEPLOYMENT, TRIGGER = "reviews", "accuracy"
PER_SECOND, LABELLED = 5.0, 0.8
STEADY_SECONDS, AFTER_SECONDS = 150.0, 120.0
ROWS_FOR_AFTER = 800
"""Texts of the new domain that are sent after the promotion alone."""
RUNS = 2
"""What the budget of the deployment allows. Where a new model is rejected, the operator tries again after a time, with more labelled texts."""
LOST = 0.03
"""How far below its own test accuracy the first model may fall before the trigger fires; beyond doubt, by the query. A thousand test rows may flatter by two points."""
_TRAIN, _SERVE, _BASELINE, _FIRE, _RETRAIN, _ROLL_OUT = 1800.0, 600.0, 600.0, 600.0, 2400.0, 1200.0
"""Seconds after which a phase has failed."""
_JUDGED_SECONDS = 10.0


class StoryStoppedError(Exception):
    """The story cannot go on."""


@dataclass(kw_only=True)
class Story:
    """One run. `events` grows; `deployment` and `job` are what was last seen of them."""

    place: Place
    examples: Path
    pair: tuple[str, str]
    seed: int
    events_file: Path
    progress: Progress
    events: list[Event] = field(default_factory=list)
    deployment: Manifest = field(default_factory=dict)
    job: Manifest = field(default_factory=dict)
    """Of the last run."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def comparison(self) -> dict[str, Any]:
        """What the job of the run found beside the champion; empty if it found nothing."""
        return ((self.job.get("status") or {}).get("evaluation") or {}).get("comparison") or {}

    def record(self, event: Event) -> None:
        """Keep an event, on disk too."""
        self.events.append(event)
        with self.events_file.open("a", encoding="utf-8") as file:
            file.write(to_line(event))
        self.progress.add(event)

    async def run(self, source: Path) -> None:
        """Go the whole way. source: folder with the texts. Raises StoryStoppedError."""
        old, new = (divided(read_domain(source, domain), seed=self.seed) for domain in self.pair)
        write_story(self.place.claim / "story", old, new)
        sent, later = story_traffic(old, new)
        plan = TrafficPlan(per_second=PER_SECOND, labelled=LABELLED, sends_texts=True, seed=self.seed)
        requests = Requests(plan, sent, later[:-ROWS_FOR_AFTER])
        first, template = _manifests(self.examples / "jobs.yaml")
        (deployment,) = _manifests(self.examples / "deployment.yaml")
        accuracy = await self._trained(first)
        deployment = with_threshold(deployment, below=accuracy - LOST)
        self._enter(Phase.STEADY)
        await self.place.submit(template, deployment)
        url = await self._served()
        async with asyncio.TaskGroup() as group:
            self._tasks = [
                group.create_task(TrafficClient(url, requests, plan, self.record).run(math.inf)),
                group.create_task(self._watch(requests, later[-ROWS_FOR_AFTER:])),
            ]
            await self._acts(requests, group)
            for task in self._tasks:
                task.cancel()

    async def _acts(self, requests: Requests, group: asyncio.TaskGroup) -> None:
        await asyncio.sleep(STEADY_SECONDS)
        await self._until(
            lambda status: bool((status.get("monitoring") or {}).get("baseline")), _BASELINE, "a baseline"
        )
        if runs_of(self.deployment["status"]):
            raise StoryStoppedError(
                "a run started before the traffic turned: the first model is right less often than on its test rows"
            )
        self._enter(Phase.DRIFT)
        requests.turn()
        self._mark("turn", f"traffic turns from {' to '.join(self.pair)}")
        for number in range(RUNS):
            if await self._run_ended(number, group) == "Promoted":
                self._enter(Phase.AFTER)
                await asyncio.sleep(AFTER_SECONDS)
                return

    async def _run_ended(self, number: int, group: asyncio.TaskGroup) -> str:
        """Wait for a run, its model and its roll-out; return its outcome. number: of the run, from 0. Raises StoryStoppedError."""

        def has(*keys: str) -> Callable[[dict[str, Any]], bool]:
            return lambda status: len(runs_of(status)) > number and any(key in runs_of(status)[number] for key in keys)

        runs = await self._until(has("job"), _FIRE, "a trigger that starts a run")
        self._enter(Phase.RETRAINING)
        following = group.create_task(self._follow(runs[number]["job"]))
        self._tasks.append(following)
        await self._until(has("challenger", "outcome"), _RETRAIN, "a model of the run, or of its end")
        self._enter(Phase.ROLLOUT)
        runs = await self._until(has("outcome"), _ROLL_OUT, "an outcome of the run")
        await asyncio.wait([following], timeout=_JUDGED_SECONDS)  # a run may end with the same change that ends its job
        return str(runs[number]["outcome"])

    async def _trained(self, manifest: Manifest) -> float:
        """Return the accuracy of the first model on its test rows. Raises StoryStoppedError."""
        name = manifest["metadata"]["name"]
        self._enter(Phase.TRAINING)
        await self.place.submit(manifest)
        try:
            async with asyncio.timeout(_TRAIN):
                job = await self._finished(name)
        except TimeoutError as error:
            raise StoryStoppedError(f"FineTuneJob {name} has not ended within {_TRAIN:.0f} s") from error
        if job["status"]["phase"] != "Succeeded":
            raise StoryStoppedError(f"FineTuneJob {name}: {job['status']['phase']}: {job['status'].get('failure')}")
        accuracy = next(found for found in job["status"]["evaluation"]["metrics"] if found["name"] == "accuracy")
        self._mark("trained", f"the first model is right on {accuracy['value']:.1%} of its test rows")
        return float(accuracy["value"])

    async def _follow(self, name: str) -> None:
        """Mark what the job of the run found when it compared its model with the champion."""
        self.job = await self._finished(name)
        if comparison := self.comparison:
            self._mark("judged", f"the new model is {comparison['verdict']}: {comparison['message']}")

    async def _finished(self, name: str) -> Manifest:
        """Return a job that has ended; show how far it is."""

        def holds(job: Manifest) -> bool:
            self.progress.note = f"{name}: {plain_line(job)}"
            self.progress.look(time.time())
            return is_finished(job)

        job = await wait_for(self.place, "FineTuneJob", name, until=holds)
        self.progress.note = ""
        return job

    async def _served(self) -> str:
        """Return the address of the deployment once it answers. Raises StoryStoppedError."""
        try:
            async with asyncio.timeout(_SERVE):
                url = await self.place.address(DEPLOYMENT)
                async with aiohttp.ClientSession() as http:
                    while not await _answers(http, url):  # noqa: ASYNC110  (a server elsewhere sets no event)
                        await asyncio.sleep(0.2)
        except TimeoutError as error:
            raise StoryStoppedError(f"the first model does not answer within {_SERVE:.0f} s") from error
        return url

    async def _watch(self, requests: Requests, kept: list[Any]) -> None:
        """Mark what the operator decides, by the changes of the status."""
        async with aclosing(self.place.watch("ModelDeployment", DEPLOYMENT)) as versions:
            async for version in versions:
                if version is None:
                    continue
                marks = list(decisions(self.deployment or version, version, at=time.time()))
                self.deployment = version
                self.progress.status = version.get("status") or {}
                for mark in marks:
                    self.record(mark)
                    if mark.name == PROMOTED:
                        requests.go_on_with(kept)

    async def _until(self, holds: Callable[[dict[str, Any]], bool], seconds: float, what: str) -> list[dict[str, Any]]:
        """Wait for a status; return its runs. Raises StoryStoppedError after so many seconds."""
        try:
            found = await wait_for(
                self.place,
                "ModelDeployment",
                DEPLOYMENT,
                until=lambda found: holds(found.get("status") or {}),
                seconds=seconds,
            )
        except TimeoutError as error:
            raise StoryStoppedError(f"there was no sign of {what} within {seconds:.0f} s") from error
        return runs_of(found["status"])

    def _enter(self, phase: Phase) -> None:
        self.progress.enter(phase, at=time.time())

    def _mark(self, name: str, text: str) -> None:
        self.record(Mark(at=time.time(), name=name, text=text))


def with_threshold(deployment: Manifest, *, below: float) -> Manifest:
    """Return a deployment whose trigger fires when the accuracy is below this, 0 to 1."""
    retraining = deployment["spec"]["retraining"]
    (trigger,) = retraining["triggers"]
    triggers = [trigger | {"threshold": round(1 - below, 4)}]
    return deployment | {"spec": deployment["spec"] | {"retraining": retraining | {"triggers": triggers}}}


def _manifests(file: Path) -> list[Manifest]:
    return [loaded.manifest for loaded in load_manifests([file])]


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.post(f"{url}/predict", json={"inputs": "a good film"}) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
