"""A model that writes text is asked something else: its scores fall, the operator has it trained again with the corrections of clients, and quality is back."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import numpy as np
import pytest
from routed_sessions import is_routed, require_envoy, whole
from scraped_numbers import require_prometheus
from tiny_language_models import tiny_decoder, write_rows
from workspace import CLAIM, Workspace, deployment_manifest, job_manifest, processes_of

if TYPE_CHECKING:
    from tuneloop_cli.local.session import LocalSession

pytestmark = [pytest.mark.local_story, pytest.mark.full, pytest.mark.timeout(2400)]

SECONDS = 900
PER_SECOND, LABELLED, SCORED = 8.0, 0.8, 60
"""Requests a second, the share of them that get a score, and how many of the newest make the mean."""
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
    kind: str = "colour"
    newest: deque[float] = field(default_factory=lambda: deque(maxlen=SCORED))
    """Scores of the newest answers, all of the kind."""
    failed: int = 0
    sent: Counter[str] = field(default_factory=Counter)

    def turn(self, kind: str) -> None:
        self.kind = kind
        self.newest.clear()

    @property
    def score(self) -> float:
        return sum(self.newest) / len(self.newest)

    async def run(self) -> None:
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
            began, number = time.monotonic(), 0
            while True:
                group.create_task(self._ask(http, number))
                number += 1
                await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))

    async def _ask(self, http: aiohttp.ClientSession, number: int) -> None:
        kind = self.kind
        (row,) = rows(kind, 1, seed=10_000 + number)
        asked = {"inputs": row["prompt"], "parameters": {"max_new_tokens": 12}}
        async with http.post(f"{self.url}/predict", json=asked, headers={"x-user": f"user-{number % 50}"}) as answer:
            if answer.status != 200:
                self.failed += 1
                return
            text, token = (await answer.json())[0]["generated_text"], answer.headers["x-tuneloop-feedback"]
        score = float(text == row["completion"])
        self.sent[kind] += 1
        if kind == self.kind:
            self.newest.append(score)
        if np.random.default_rng(number).random() < LABELLED:
            said = {"token": token, "score": score, "input": row["prompt"]}
            said |= {} if score else {"correction": row["completion"]}
            async with http.post(f"{self.url}/v1/feedback", json=said) as taken:
                self.failed += taken.status != 200


def job(name: str, **changes: Any) -> dict[str, Any]:
    data = {
        "train": [{"uri": f"pvc://{CLAIM}/train.jsonl"}],
        "validation": [{"uri": f"pvc://{CLAIM}/validation.jsonl"}],
        "test": [{"uri": f"pvc://{CLAIM}/test.jsonl"}],
        "format": "prompt-completion",
    }
    made = job_manifest(
        task="text-generation",
        data=data | changes.pop("data", {}),
        training={"maxSteps": 80, "learningRate": 1e-2, "globalBatchSize": 32, "microBatchSize": 16, "seed": 1},
        resources={"nodes": 1, "gpusPerNode": 0},
        checkpoint={"everySteps": 80},
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


async def scored(clients: Clients) -> float:
    """Return the mean score of as many new answers as make one."""
    clients.newest.clear()
    async with asyncio.timeout(SECONDS):
        while len(clients.newest) < SCORED:  # noqa: ASYNC110  (clients set no event)
            await asyncio.sleep(0.1)
    return clients.score


async def told(session: LocalSession) -> dict[str, Any]:
    """Go the whole way; return what was found. Nobody but the operator decides anything."""
    await session.submit(job("reviews"))
    await until(session, lambda status: status.get("phase") == "Succeeded", kind="FineTuneJob")
    await session.submit(template(), deployment())
    stable = await until(session, is_routed(session))
    clients = Clients(stable["url"])
    asking = asyncio.create_task(clients.run())
    try:
        before = await scored(clients)
        watched = await until(session, lambda status: (status.get("monitoring") or {}).get("baseline"))
        assert not runs_of(watched)
        clients.turn("sound")
        turned = await scored(clients)
        (run,) = runs_of(await until(session, runs_of))
        trained = await until(session, lambda status: status.get("evaluation"), kind="FineTuneJob", name=run["job"])
        ended = await until(session, lambda status: runs_of(status)[0].get("outcome"))
        back = await scored(clients)
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    found = {"before": before, "turned": turned, "back": back, "failed": clients.failed, "sent": clients.sent}
    comparison = trained["evaluation"]["comparison"]
    return found | {
        "watched": watched,
        "comparison": comparison,
        "run": runs_of(ended)[0],
        "revisions": (stable, ended),
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
    found = asyncio.run(whole(workspace, told))
    with capsys.disabled():
        shown = {name: found[name] for name in ("before", "turned", "back", "failed", "sent", "run", "comparison")}
        print(json.dumps(shown | {"seconds": round(time.monotonic() - began)}, default=str))
    assert found["before"] > 0.9
    assert found["turned"] < 0.1
    assert found["back"] > 0.9
    assert found["run"]["outcome"] == "Promoted"
    assert found["failed"] == 0
    measured = {feature["name"] for feature in found["watched"]["monitoring"]["baseline"]["features"]}
    assert {"answer_tokens", "mean_logprob", "repetition", "finish_reason", "answer_kind"} <= measured
    assert (found["comparison"]["verdict"], found["comparison"]["metric"]) == ("Better", "bits_per_byte")
    first, last = (status["stable"]["revision"] for status in found["revisions"])
    assert first != last
    assert processes_of(workspace.path) == []
