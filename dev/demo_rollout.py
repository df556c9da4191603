"""Roll out two new models under a steady load: an equal one goes through, and one whose labels were swapped is taken back.

Everything runs on this machine: the operator's own code, real model servers, Envoy before them, the comparator beside them.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pyarrow.parquet as pq

from tuneloop_cli.commands.session_scope import versions_of
from tuneloop_cli.local.node import is_finished
from tuneloop_cli.local.session import LocalSession
from tuneloop_cli.manifests.load import load_manifests
from tuneloop_operator.names import COMPONENT_LABEL, ROUTER
from tuneloop_operator.status.model_deployment.deployment import LOCAL_URL

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.cluster import Manifest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".tuneloop" / "demo-rollout"
"""Made anew each time: a session would go on from the roll-outs of the one before."""
CLAIM = ROOT / ".tuneloop" / "claims" / "demo"
EXAMPLES = ROOT / "examples" / "rollout"
REQUESTS_PER_SECOND = 20
USERS = 400
GOLDEN_ROWS = 400
JOB_SECONDS = 600
ROLLOUT_SECONDS = 900
ENDED = {"Done", "RolledBack", "Aborted", "Held"}


@dataclass
class Load:
    """A steady stream of requests, and what became of them."""

    url: str
    sentences: list[str]
    per_second: float = REQUESTS_PER_SECOND
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By revision and HTTP status; 0 where there was no answer."""
    revision_of: dict[str, str] = field(default_factory=dict)
    """Which revision answered a user last."""
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often a user went from one revision to another."""

    async def run(self) -> None:
        """Send requests until the task is cancelled. Each is sent at its time, however long others take."""
        began, number = time.monotonic(), 0
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as requests:
            while True:
                requests.create_task(self._ask(http, number))
                number += 1
                await asyncio.sleep(max(0.0, began + number / self.per_second - time.monotonic()))

    async def _ask(self, http: aiohttp.ClientSession, number: int) -> None:
        user, sentence = f"user-{number % USERS}", self.sentences[number % len(self.sentences)]
        try:
            async with http.post(self.url, json={"inputs": sentence}, headers={"x-user": user}) as answer:
                await answer.read()
                revision = answer.headers.get("x-tuneloop-revision", "")
                self.answers[revision, answer.status] += 1
        except aiohttp.ClientError:
            self.answers["", 0] += 1
            return
        if (before := self.revision_of.get(user, revision)) != revision:
            self.moves[before, revision] += 1
        self.revision_of[user] = revision

    @property
    def failed(self) -> int:
        """Number of requests without a good answer."""
        return sum(count for (_, status), count in self.answers.items() if status != 200)


async def demo() -> int:
    """Return 0 if the equal model was promoted, the other one was rolled back, and no request failed."""
    began = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "claims").mkdir(parents=True)
    (FOLDER / "claims" / "demo").symlink_to(CLAIM)
    async with LocalSession(FOLDER) as session:
        jobs = [await _trained(session, job) for job in _manifests("jobs.yaml")]
        sentences = _write_golden_set(jobs[0])
        (deployment,) = _manifests("deployment.yaml")
        await session.submit(deployment)
        print("\nreviews-1 is served first")
        ready = await session.wait_for("ModelDeployment", "reviews", until=is_routed(session), seconds=ROLLOUT_SECONDS)
        load = Load(ready["status"]["url"], sentences)
        await _until_answered(load)
        sending = asyncio.create_task(load.run())
        try:
            phases = [await _rolled_out(session, deployment, job, load) for job in ("reviews-2", "reviews-3")]
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        _print_end(load, phases, minutes=(time.monotonic() - began) / 60)
        await session.suspend_all()
    return 0 if phases == ["Done", "RolledBack"] and load.failed == 0 else 1


def _manifests(name: str) -> list[Manifest]:
    return [loaded.manifest for loaded in load_manifests([EXAMPLES / name])]


async def _trained(session: LocalSession, manifest: Manifest) -> Manifest:
    name, began = manifest["metadata"]["name"], time.monotonic()
    print(f"{name}: training", flush=True)
    await session.submit(manifest)
    job = await session.wait_for("FineTuneJob", name, until=is_finished, seconds=JOB_SECONDS)
    if job["status"]["phase"] != "Succeeded":
        sys.exit(f"{name}: {job['status'].get('failure')}")
    accuracy = next(found for found in job["status"]["evaluation"]["metrics"] if found["name"] == "accuracy")
    print(f"{name}: accuracy {accuracy['value']:.3f} by its own test rows, after {time.monotonic() - began:.0f} s")
    return job


def _write_golden_set(job: Manifest) -> list[str]:
    """Write the test rows of a job as the golden set; return their texts."""
    table = pq.read_table(sorted((CLAIM / "datasets" / job["status"]["data"]["digest"]).glob("test-*.parquet")))
    texts, labels = table.column("text").to_pylist(), table.column("label").to_pylist()
    rows = [{"inputs": text, "label": label} for text, label in zip(texts, labels, strict=True)][:GOLDEN_ROWS]
    (CLAIM / "golden.jsonl").write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
    print(f"golden set: {len(rows)} test rows of {job['metadata']['name']}")
    return list(texts)


def is_routed(session: LocalSession) -> Callable[[Manifest], bool]:
    """Whether a deployment is ready, and its address that of its router."""

    def holds(stored: Manifest) -> bool:
        routers = [
            pod for pod in session.node.cluster.all("Pod") if pod["metadata"]["labels"].get(COMPONENT_LABEL) == ROUTER
        ]
        addresses = [pod["metadata"].get("annotations", {}).get(LOCAL_URL) for pod in routers]
        status = stored.get("status", {})
        return status.get("phase") == "Ready" and status.get("url") in addresses

    return holds


async def _until_answered(load: Load) -> None:
    deadline = time.monotonic() + JOB_SECONDS
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < deadline:
            try:
                async with http.post(load.url, json={"inputs": "a good film"}) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)
    sys.exit("the first model does not answer")


async def _rolled_out(session: LocalSession, deployment: Manifest, job: str, load: Load) -> str:
    """Offer the model of a job; print what happens; return the phase in which the roll-out ended."""
    stable = (await _stored(session))["status"]["stable"]["revision"]
    spec = deployment["spec"] | {"model": {"fineTuneJobRef": {"name": job}}}
    print(f"\n{job} is to take over, at {REQUESTS_PER_SECOND} requests a second", flush=True)
    began, printed = time.monotonic(), ""
    await session.submit(deployment | {"spec": spec})
    async with asyncio.timeout(ROLLOUT_SECONDS), aclosing(versions_of(session, deployment)) as versions:
        async for version in versions:
            rollout = version.get("status", {}).get("rollout") or {}
            if (text := _described(rollout)) != printed:
                printed = text
                print(f"{time.monotonic() - began:5.1f} s  {text}   {load.failed} failed requests", flush=True)
            has_begun = (
                rollout.get("canary") or version["status"]["stable"]["revision"] != stable or rollout.get("rejected")
            )
            if has_begun and rollout["phase"] in ENDED:
                _print_gates(rollout)
                return str(rollout["phase"])
    raise AssertionError("the versions of an object that stays do not end")


async def _stored(session: LocalSession) -> Manifest:
    return await session.wait_for("ModelDeployment", "reviews", until=lambda _: True, seconds=JOB_SECONDS)


def _described(rollout: dict[str, Any]) -> str:
    verdicts = "  ".join(f"{gate['name']} {gate['verdict']}" for gate in rollout.get("gates") or ())
    return f"{rollout.get('phase', ''):<12} {rollout.get('share') or '':<14} {verdicts}"


def _print_gates(rollout: dict[str, Any]) -> None:
    for gate in rollout.get("gates") or ():
        print(f"         {gate['name']:<16} {gate['verdict']:<13} {gate['reason']}")
    if rollout.get("message"):
        print(f"         {rollout['message']}")


def _print_end(load: Load, phases: list[str], *, minutes: float) -> None:
    print("\nrequests by the revision that answered them")
    for (revision, status), count in sorted(load.answers.items()):
        print(f"  {revision or 'no answer':<20} {status}  {count}")
    print("users who went from one revision to another")
    for (before, after), count in load.moves.items():
        print(f"  {before} → {after}  {count}")
    print(f"\nreviews-2: {phases[0]}, reviews-3: {phases[1]}; {load.failed} failed requests; {minutes:.1f} min in all")


if __name__ == "__main__":
    sys.exit(asyncio.run(demo()))
