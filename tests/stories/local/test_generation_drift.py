"""A model that writes text is asked something else: its scores fall, the operator has it trained again with the corrections of clients, and quality is back."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import numpy as np
import pytest
from demo_loop.accuracy import wilson
from routed_sessions import is_routed, require_envoy, whole
from scraped_numbers import require_prometheus
from tiny_language_models import tiny_decoder, write_rows
from workspace import CLAIM, Workspace, deployment_manifest, job_manifest, processes_of

if TYPE_CHECKING:
    from tuneloop_cli.local.session import LocalSession

pytestmark = [pytest.mark.local_story, pytest.mark.full, pytest.mark.timeout(2400)]

SECONDS = 900
PER_SECOND, LABELLED, SCORED = 8.0, 0.8, 200
"""Requests a second, the share of them that get a score, and how many answers make a mean."""
ANSWERS = {
    "colour": {"grass": "green", "the sky": "blue", "snow": "white", "coal": "black", "blood": "red", "the sun": "yellow"},
    "sound": {"a cow": "moo", "a cat": "meow", "a dog": "woof", "a duck": "quack", "a sheep": "baa", "an owl": "hoot"},
}  # fmt: skip
_COUNTED = '{namespace="{{namespace}}",deployment="{{deployment}}",predicted_by="{{revision}}"}[1m]'
LOST = (
    f"1 - sum(increase(tuneloop_feedback_correct_total{_COUNTED})) / sum(increase(tuneloop_feedback_total{_COUNTED}))"
    f" and sum(increase(tuneloop_feedback_total{_COUNTED})) >= 100"
)
"""What the mean score lacks to 1, of a minute."""


def rows(kind: str, count: int, *, seed: int) -> list[dict[str, str]]:
    """Return prompts of a kind with their completions; hardly two are alike."""
    chance = np.random.default_rng(seed)
    things = list(ANSWERS[kind])
    found = []
    for number in chance.integers(10**6, size=count):
        thing = things[chance.integers(len(things))]
        found.append({"prompt": f"{number}: what {kind} is {thing}?", "completion": f" {ANSWERS[kind][thing]}."})
    return found


@dataclass
class Clients:
    """Ask prompts of the kind of the day, compare the answers with the right ones, and send scores and corrections."""

    url: str
    stage: str = "before"
    kind: str = "colour"
    scores: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By the stage in which the prompt was sent."""
    failed: int = 0

    def enter(self, stage: str, kind: str) -> None:
        self.stage, self.kind = stage, kind

    async def scored(self, stage: str) -> None:
        """Wait for as many answers of a stage as make a mean."""
        async with asyncio.timeout(SECONDS):
            while len(self.scores[stage]) < SCORED:  # noqa: ASYNC110  (clients set no event)
                await asyncio.sleep(0.1)

    async def run(self) -> None:
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
            began, number = time.monotonic(), 0
            while True:
                group.create_task(self._ask(http, number))
                number += 1
                await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))

    async def _ask(self, http: aiohttp.ClientSession, number: int) -> None:
        stage = self.stage
        (row,) = rows(self.kind, 1, seed=10_000 + number)
        asked = {"inputs": row["prompt"], "parameters": {"max_new_tokens": 12}}
        async with http.post(f"{self.url}/predict", json=asked, headers={"x-user": f"user-{number % 50}"}) as answer:
            if answer.status != 200:
                self.failed += 1
                return
            text, token = (await answer.json())[0]["generated_text"], answer.headers["x-tuneloop-feedback"]
        score = float(text == row["completion"])
        self.scores[stage].append(score)
        if np.random.default_rng(number).random() < LABELLED:
            feedback = {"token": token, "score": score, "input": row["prompt"]}
            feedback |= {} if score else {"correction": row["completion"]}
            async with http.post(f"{self.url}/v1/feedback", json=feedback) as taken:
                self.failed += taken.status != 200


def job(name: str, **changes: Any) -> dict[str, Any]:
    """Return a job over the prompts about colours. After 600 steps a tiny decoder knows two kinds of answers by heart; after 300 it wrote `woot` for `woof`."""
    data = {
        "train": [{"uri": f"pvc://{CLAIM}/train.jsonl"}],
        "validation": [{"uri": f"pvc://{CLAIM}/validation.jsonl"}],
        "test": [{"uri": f"pvc://{CLAIM}/test.jsonl"}],
        "format": "prompt-completion",
    }
    made = job_manifest(
        task="text-generation",
        data=data | changes.pop("data", {}),
        training={"maxSteps": 600, "learningRate": 1e-2, "globalBatchSize": 32, "microBatchSize": 16, "seed": 1},
        resources={"nodes": 1, "gpusPerNode": 0},
        checkpoint={"everySteps": 600},
        **{"evaluation": {"baselines": False, "bootstrapSamples": 200}} | changes,
    )
    made["metadata"] = {"name": name, "namespace": "default"}
    return made


def template() -> dict[str, Any]:
    """The rows of the first model and what clients have corrected since; better on the newest corrections, not worse on the old test rows."""
    feedback = {"uri": "feedback://reviews"}
    beside = {"uri": f"pvc://{CLAIM}/champion", "recent": [feedback]}
    evaluation = {"baselines": False, "bootstrapSamples": 200, "compareWith": beside}
    train = [{"uri": f"pvc://{CLAIM}/train.jsonl"}, feedback]
    return job("again", data={"train": train}, evaluation=evaluation, suspend=True)


def deployment() -> dict[str, Any]:
    trigger = {"name": "score", "type": "promql", "query": LOST, "threshold": 0.5, "for": "45s", "clearFor": "1m"}
    made = deployment_manifest(
        env=[{"name": "OMP_NUM_THREADS", "value": "1"}],
        feedback={"labelDelay": "10s", "storeInputs": "all", "storage": {"claim": CLAIM, "subPath": "kept"}},
        monitoring={"baselineWindow": "1m"},
        rollout={
            "strategy": "Canary",
            "steps": [{"weight": 50, "minRequests": 60}, {"weight": 100, "minRequests": 60}],
            "gates": [{"name": "errors", "metric": "Errors", "margin": 0.1}],
            "shadow": {"percent": 50},
            "rollback": {"baking": "5s"},
        },
        retraining={
            "enabled": True,
            "jobTemplateRef": {"name": "again"},
            "cooldown": "1m",
            "budget": {"maxRuns": 2, "window": "1d"},
            "triggers": [trigger],
        },
    )
    made["metadata"] |= {"namespace": "default"}
    return made


def runs_of(status: dict[str, Any]) -> list[dict[str, Any]]:
    return (status.get("retraining") or {}).get("history") or []


async def until(session: LocalSession, holds: Any, *, kind: Any = "ModelDeployment", name: str = "reviews") -> Any:
    found = await session.wait_for(
        kind, name, until=lambda stored: bool(holds(stored.get("status") or {})), seconds=SECONDS
    )
    return found["status"]


def share(scores: list[float]) -> dict[str, float]:
    """Return the mean of scores of 0 and 1, with its 95 % interval (Wilson)."""
    mean = sum(scores) / len(scores)
    low, high = wilson(mean, len(scores))
    return {"mean": mean, "low": low, "high": high, "answers": len(scores)}


async def closed_loop(session: LocalSession) -> dict[str, Any]:
    """Go the whole way; return what was found. Nobody but the operator decides anything."""
    await session.submit(job("reviews"))
    await until(session, lambda status: status.get("phase") == "Succeeded", kind="FineTuneJob")
    await session.submit(template(), deployment())
    stable = await until(session, is_routed(session))
    clients = Clients(stable["url"])
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(clients.run())
        await clients.scored("before")
        watched = await until(session, lambda status: (status.get("monitoring") or {}).get("baseline"))
        assert not runs_of(watched)
        clients.enter("drift", "sound")
        (run,) = runs_of(await until(session, runs_of))
        clients.enter("run", "sound")
        trained = await until(session, lambda status: status.get("evaluation"), kind="FineTuneJob", name=run["job"])
        ended = await until(session, lambda status: runs_of(status)[0].get("outcome"))
        clients.enter("after", "sound")
        await clients.scored("after")
        asking.cancel()
    return {
        "shares": {stage: share(scores) for stage, scores in clients.scores.items()},
        "failed": clients.failed,
        "watched": watched["monitoring"]["baseline"]["features"],
        "comparison": trained["evaluation"]["comparison"],
        "run": runs_of(ended)[0],
        "revisions": [status["stable"]["revision"] for status in (stable, ended)],
    }


def test_other_prompts_lead_to_a_model_that_answers_them(tmp_path, capsys):
    require_envoy()
    require_prometheus()
    workspace = Workspace(tmp_path)
    workspace.claim.mkdir(parents=True)
    tiny_decoder(workspace.claim / "model", family="smollm", template=None)
    for name, count, seed in (("train", 600, 1), ("validation", 60, 2), ("test", 100, 3)):
        write_rows(workspace.claim / f"{name}.jsonl", rows("colour", count, seed=seed))
    began = time.monotonic()
    found = asyncio.run(whole(workspace, closed_loop))
    with capsys.disabled():
        print(json.dumps(found | {"seconds": round(time.monotonic() - began)}))
    shares, comparison = found["shares"], found["comparison"]
    assert found["run"]["outcome"] == "Promoted", found["run"]
    assert shares["before"]["low"] > 0.9
    assert shares["drift"]["high"] < 0.1
    assert shares["after"]["low"] > 0.9
    assert found["failed"] == 0
    measured = {feature["name"] for feature in found["watched"]}
    assert {"answer_tokens", "mean_logprob", "repetition", "finish_reason", "answer_kind"} <= measured
    assert (comparison["verdict"], comparison["metric"]) == ("Better", "bits_per_byte")
    first, last = found["revisions"]
    assert first != last
    assert processes_of(workspace.path) == []
