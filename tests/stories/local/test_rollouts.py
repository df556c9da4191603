"""Roll-outs without routers, with the real operator and real model servers, in one session under load: a good revision, one whose model is damaged, and the way back.

On one machine nothing stands before the servers: a client asks where the status says, and no answer is lost if it looks there before each request.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from artifact import make_artifact
from tiny_models import tiny_bert
from workspace import Workspace, deployment_manifest

from tuneloop_cli.commands.rollout import steer_rollout
from tuneloop_cli.local.cluster.pod_objects import is_ready
from tuneloop_cli.local.session import LocalSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.local_story

SECONDS = 120
ROLLOUT = {"strategy": "Recreate", "rollback": {"keepReplicas": 1}}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    made = Workspace(tmp_path)
    make_artifact(made.claim / "good", tiny_bert(made.claim / "model"))
    shutil.copytree(made.claim / "good", made.claim / "damaged")
    with (made.claim / "damaged" / "model" / "model.safetensors").open("r+b") as weights:
        weights.seek(-8, 2)
        weights.write(b"damaged!")
    return made


class Deployed:
    """The ModelDeployment of a session."""

    def __init__(self, session: LocalSession, workspace: Workspace) -> None:
        self._session, self._workspace = session, workspace

    async def offer(self, artifact: str, **spec: Any) -> None:
        manifest = deployment_manifest(
            model={"uri": f"pvc://{self._workspace.claim.name}/{artifact}"},
            env=[{"name": "OMP_NUM_THREADS", "value": "1"}],
            rollout=ROLLOUT,
            **spec,
        )
        manifest["metadata"] |= {"namespace": "default"}
        await self._session.submit(manifest)

    async def roll_back(self) -> None:
        """Go back as a person does, by the command line."""
        folder = self._workspace.path / ".tuneloop"
        await asyncio.to_thread(steer_rollout, "roll-back", "reviews", folder=folder, wait=True)

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the status once this holds for it."""
        found = await self._session.wait_for(
            "ModelDeployment",
            deployment_manifest()["metadata"]["name"],
            until=lambda manifest: has_address(manifest.get("status", {})) and holds(manifest["status"]),
            seconds=SECONDS,
        )
        return found["status"]

    def servers(self, revision: str) -> set[str]:
        """Return the uids of the ready servers of a revision."""
        return {
            pod["metadata"]["uid"]
            for pod in self._session.node.cluster.all("Pod")
            if pod["metadata"]["labels"].get("tuneloop.dev/revision") == revision and is_ready(pod)
        }

    @asynccontextmanager
    async def clients(self) -> AsyncIterator[list[str]]:
        """A client that asks where the status says, again and again. Yields what went wrong; asserts at the end that something went well."""
        failures, answers, is_over = [], [], False

        async def ask() -> None:
            while not is_over:
                url = self._session.node.cluster.peek(kind="ModelDeployment", namespace="default", name="reviews")["status"]["url"]  # fmt: skip
                try:
                    answers.append(await asyncio.to_thread(_post, url))
                except (OSError, urllib.error.URLError) as error:
                    failures.append(f"{url}: {error!r}")
                await asyncio.sleep(0.02)

        asking = asyncio.create_task(ask())
        try:
            yield failures
        finally:
            is_over = True
            await asking
        assert answers


def _post(url: str) -> list[Any]:
    request = urllib.request.Request(url, json.dumps({"inputs": "a good film"}).encode())
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def has_address(status: dict[str, Any]) -> bool:
    """Whether the address is that of a server of this machine, which comes a moment after the revision."""
    return status.get("url", "").startswith("http://127.0.0.1:")


def is_stable(revision: str | None = None) -> Callable[[dict[str, Any]], bool]:
    def holds(status: dict[str, Any]) -> bool:
        stable = (status.get("stable") or {}).get("revision")
        return status.get("phase") == "Ready" and (stable == revision if revision else stable is not None)

    return holds


async def under_load(deployed: Deployed, first: dict[str, Any]) -> None:
    old = first["stable"]["revision"]
    kept = deployed.servers(old)
    await deployed.offer("good", batching={"maxBatchSize": 1})
    second = await deployed.until(lambda status: status["stable"]["revision"] != old)
    assert second["rollout"]["phase"] == "Baking"
    await deployed.offer("damaged")
    rejected = await deployed.until(lambda status: bool(status["rollout"].get("rejected")))
    (found,) = rejected["rollout"]["rejected"]
    assert (found["reason"], rejected["stable"]["revision"]) == ("Broken", second["stable"]["revision"])
    assert "model.safetensors" in found["message"]
    assert found["failure"] == "DigestMismatch"
    await deployed.roll_back()
    await deployed.until(lambda status: status["stable"]["revision"] == old)
    assert deployed.servers(old) == kept, "the revision before has kept its server"


def test_a_good_revision_takes_over_a_damaged_one_is_rejected_and_a_person_goes_back(workspace: Workspace) -> None:
    async def story(deployed: Deployed) -> None:
        await deployed.offer("good")
        first = await deployed.until(is_stable())
        async with deployed.clients() as failures:
            await under_load(deployed, first)
        assert not failures

    async def whole() -> None:
        async with LocalSession(workspace.path / ".tuneloop") as session:
            try:
                await story(Deployed(session, workspace))
            finally:
                await session.abort()

    asyncio.run(whole())
