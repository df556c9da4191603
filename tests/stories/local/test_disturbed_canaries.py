"""One session under a steady load: in each step of a canary its Envoy and its comparator are killed, and a third revision takes the second one's place.

In local mode there is one router. While no Envoy listens nobody can answer: the only requests that may fail are those that a killed Envoy had in
hand, and those that are sent before the next one listens. That is a moment, which the test takes from the requests themselves: from the kill to
the first request that is sent after it and answered. In a cluster the Service leads to a second router meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from bad_revisions import change_nothing_that_counts, write_changed, write_good
from routed_sessions import is_routed, require_envoy, status_once, whole
from router_process import revisions_of
from tiny_models import sentences, tiny_bert
from waiting import eventually
from workspace import CLAIM, Workspace, deployment_manifest, processes_of

from tuneloop_cli.local.processes.processes import recorded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tuneloop_cli.local.session import LocalSession

pytestmark = [pytest.mark.local_story, pytest.mark.timeout(900)]

REQUESTS_A_SECOND = 20
HEADER = "x-user"
USERS = [f"user-{number}" for number in range(60)]
STEPS = [{"weight": weight, "minRequests": 60, "pause": True} for weight in (25, 100)]
GATES = [{"name": "errors", "metric": "Errors", "margin": 0.15}]
SECONDS = 180.0


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    require_envoy()
    made = Workspace(tmp_path)
    write_good(made.claim / "first", tiny_bert(made.claim / "model"), [text for text, _ in sentences(100)])
    for name, before in (("second", "first"), ("third", "second")):
        write_changed(made.claim / name, made.claim / before, change_nothing_that_counts)
    return made


def manifest(artifact: str, *, command: str = "") -> dict[str, Any]:
    made = deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/{artifact}"},
        env=[{"name": "OMP_NUM_THREADS", "value": "1"}],
        expose={"stickyHeader": HEADER},
        rollout={
            "strategy": "Canary",
            "steps": STEPS,
            "gates": GATES,
            "shadow": {"percent": 100},
            "rollback": {"baking": "0s"},
        },
    )
    made["metadata"] |= {"namespace": "default"}
    made["metadata"] |= {"annotations": {"tuneloop.dev/rollout": command}} if command else {}
    return made


@dataclass(frozen=True)
class Request:
    """What became of a request; times of the monotonic clock."""

    begun: float
    ended: float
    outcome: str
    revision: str


@dataclass
class Load:
    """A steady stream of requests of many users."""

    url: str
    requests: list[Request] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    """When an Envoy was killed."""

    async def run(self) -> None:
        """Send requests until the task is cancelled, then wait for those that are under way."""
        begun, count = time.monotonic(), 0
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as http, asyncio.TaskGroup() as group:
            try:
                while True:
                    group.create_task(self._ask(http, USERS[count % len(USERS)]))
                    count += 1
                    await asyncio.sleep(max(0.0, begun + count / REQUESTS_A_SECOND - time.monotonic()))
            except asyncio.CancelledError:
                pass

    async def _ask(self, http: aiohttp.ClientSession, user: str) -> None:
        begun, revision = time.monotonic(), ""
        try:
            async with http.post(self.url, json={"inputs": "a good film"}, headers={HEADER: user}) as answer:
                await answer.read()
                outcome, revision = str(answer.status), answer.headers.get("x-tuneloop-revision", "")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            outcome = type(error).__name__
        self.requests.append(Request(begun, time.monotonic(), outcome, revision.removeprefix("reviews-")))

    @property
    def failed(self) -> list[Request]:
        """Requests that failed while an Envoy could answer them."""
        return [found for found in self.requests if found.outcome != "200" and not self._may_fail(found)]

    @property
    def excused(self) -> list[Request]:
        """Requests that failed because no Envoy was there."""
        return [found for found in self.requests if found.outcome != "200" and self._may_fail(found)]

    def _may_fail(self, request: Request) -> bool:
        """Whether an Envoy that was killed had it in hand, or none listened when it was sent. Such a request gets no answer, not a bad one."""
        if request.outcome.isdigit():
            return False
        answered = [found.begun for found in self.requests if found.outcome == "200"]
        return any(
            kill <= request.ended and request.begun <= min((t for t in answered if t > kill), default=kill)
            for kill in self.kills
        )


@asynccontextmanager
async def load(url: str) -> AsyncIterator[Load]:
    found = Load(url)
    sending = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        sending.cancel()
        await sending


def pid_of(session: LocalSession, component: str) -> int:
    """Return the process id of the one pod of a component; 0 if none runs."""
    pods = session.node.cluster.all("Pod")
    uids = {p["metadata"]["uid"] for p in pods if p["metadata"]["labels"].get("tuneloop.dev/component") == component}
    return next((found.pid for found in recorded(session.node.folders.root) if found.pod_uid in uids), 0)


def envoy_of(session: LocalSession) -> int:
    """Return the process id of the Envoy beside the router; 0 if none runs."""
    router = pid_of(session, "router")
    try:
        children = Path(f"/proc/{router}/task/{router}/children").read_text().split()
    except OSError:
        return 0
    return int(children[0]) if children else 0


async def kill_envoy_and_comparator(session: LocalSession, load: Load) -> None:
    """Kill both; return once there are others, and the same users get the same revisions."""
    before = await asyncio.to_thread(revisions_of, load.url, USERS, HEADER)
    envoy, comparator = envoy_of(session), pid_of(session, "comparator")
    assert envoy
    assert comparator
    load.kills.append(time.monotonic())
    os.kill(envoy, signal.SIGKILL)
    os.kill(comparator, signal.SIGKILL)

    async def is_back() -> bool:
        is_answered = any(found.outcome == "200" and found.begun > load.kills[-1] for found in load.requests)
        return (
            is_answered and envoy_of(session) not in {0, envoy} and pid_of(session, "comparator") not in {0, comparator}
        )

    await eventually(is_back, seconds=SECONDS, what="another Envoy and another comparator")
    assert await asyncio.to_thread(revisions_of, load.url, USERS, HEADER) == before


async def in_step(session: LocalSession, canary: str, number: int) -> dict[str, Any]:
    """Return the status once the step of this number, from 1, is in force."""

    def holds(status: dict[str, Any]) -> bool:
        rollout = status["rollout"]
        found = (rollout.get("canary"), rollout.get("step"), rollout.get("phase"))
        return found == (canary, number, "Progressing") and "stepStartedAt" in rollout

    return await status_once(session, holds)


async def canary_of(session: LocalSession, *, before: str) -> str:
    status = await status_once(session, lambda status: (status.get("canary") or {}).get("revision", before) != before)
    return status["canary"]["revision"]


def test_a_canary_whose_envoy_and_comparator_are_killed_in_each_step_goes_on_and_a_third_revision_takes_its_place(
    workspace: Workspace,
) -> None:
    async def story(session: LocalSession) -> None:
        await session.submit(manifest("first"))
        first = await status_once(session, is_routed(session))
        stable = first["stable"]["revision"]
        async with load(first["url"]) as found:
            await session.submit(manifest("second"))
            second = await canary_of(session, before=stable)
            await in_step(session, second, 1)
            await kill_envoy_and_comparator(session, found)
            await status_once(
                session, lambda status: status["rollout"]["phase"] == "Paused"
            )  # the gate has advanced again
            third = await third_takes_the_place_of(session, workspace, found, second)
            await goes_through_though_killed(session, found, third)
        assert not found.failed, found.failed[:5]
        assert len(found.excused) < len(found.requests) / 4, "most of the time somebody answers"
        print(f"{len(found.requests)} requests; without an Envoy: {len(found.excused)}")

    asyncio.run(whole(workspace, story))
    assert processes_of(workspace.path) == []


async def third_takes_the_place_of(session: LocalSession, workspace: Workspace, load: Load, second: str) -> str:
    """Offer a third revision; return it once it has the first step's share, and the second one has no request and no server."""
    await session.submit(manifest("third"))
    third = await canary_of(session, before=second)
    status = await in_step(session, third, 1)
    assert {share["revision"] for share in status["rollout"]["split"]["weights"]} == {
        third,
        status["stable"]["revision"],
    }
    sent = time.monotonic()
    servers = f"/reviews-{second}-"

    async def is_gone() -> bool:
        return not any(servers in process for process in processes_of(workspace.path))

    await eventually(is_gone, seconds=SECONDS, what="no server of the second revision")
    later = {request.revision for request in load.requests if request.begun > sent}
    assert second not in later, later
    return third


async def goes_through_though_killed(session: LocalSession, load: Load, canary: str) -> None:
    """Kill in each step, approve each, and return once the revision is stable."""
    for number in range(1, len(STEPS) + 1):
        if number > 1:
            await in_step(session, canary, number)
            await kill_envoy_and_comparator(session, load)
        await status_once(session, lambda status: status["rollout"]["phase"] == "Paused")
        await session.submit(manifest("third", command=f"approve/{number}"))
    done = await status_once(session, lambda status: status["stable"]["revision"] == canary)
    assert not done["rollout"].get("rejected")
