"""Adapters on one machine: two on one base model, and a new version of one of them as a canary behind Envoy."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from adapter_artifacts import adapter_artifact, base_folder
from routed_sessions import is_routed, require_envoy, status_once
from workspace import CLAIM, Workspace, deployment_manifest

from tuneloop_cli.local.session import LocalSession

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.local_story

TEXT = "w4 w9 w17"


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    require_envoy()
    made = Workspace(tmp_path)
    base = base_folder(made.claim / "base", "bert")
    for seed, name in enumerate(("films", "books-1", "books-2"), start=1):
        adapter_artifact(made.claim / name, base, seed=seed)
    return made


def manifest(books: str, *, command: str = "") -> dict[str, Any]:
    made = deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/base"},
        adapters=[
            {"name": "films", "uri": f"pvc://{CLAIM}/films"},
            {"name": "books", "uri": f"pvc://{CLAIM}/{books}"},
        ],
        rollout={"steps": [{"weight": 50, "pause": True}, {"weight": 100}], "rollback": {"baking": "0s"}},
    )
    made["metadata"] |= {"namespace": "default"}
    made["metadata"] |= {"annotations": {"tuneloop.dev/rollout": command}} if command else {}
    return made


async def answers(url: str, adapter: str, *, count: int) -> dict[str, set[str]]:
    """Return by revision what was answered to the same text."""
    found: dict[str, set[str]] = {}
    for _ in range(count):
        revision, answer = await asyncio.to_thread(ask, url, adapter)
        found.setdefault(revision, set()).add(answer)
    return found


def ask(url: str, adapter: str) -> tuple[str, str]:
    body = json.dumps({"inputs": TEXT}).encode()
    asked = urllib.request.Request(f"{url}/predict?adapter={adapter}", body, {"content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        scores = {found["label"]: round(found["score"], 4) for found in json.load(answer)}
        return answer.headers["x-tuneloop-revision"], json.dumps(scores, sort_keys=True)


def test_a_new_version_of_one_adapter_is_a_canary_and_the_other_answers_as_before(workspace: Workspace) -> None:
    async def story(session: LocalSession) -> None:
        await session.submit(manifest("books-1"))
        await status_once(session, is_routed(session))
        await session.submit(manifest("books-2"))
        half = await status_once(session, lambda status: status.get("rollout", {}).get("phase") == "Paused")
        revisions = {f"reviews-{half[kind]['revision']}" for kind in ("stable", "canary")}
        films = await answers(half["url"], "films", count=30)
        assert films.keys() == revisions
        assert len(set.union(*films.values())) == 1
        books = await answers(half["url"], "books", count=30)
        assert books.keys() == revisions
        assert [len(found) for found in books.values()] == [1, 1]
        assert len(set.union(*books.values())) == 2
        await session.submit(manifest("books-2", command="approve/1"))
        done = await status_once(session, lambda status: status["stable"]["revision"] == half["canary"]["revision"])
        assert await answers(done["url"], "books", count=5) == {
            f"reviews-{half['canary']['revision']}": books[f"reviews-{half['canary']['revision']}"]
        }

    async def whole() -> None:
        async with LocalSession(workspace.path / ".tuneloop") as session:
            try:
                await story(session)
            finally:
                await session.abort()

    asyncio.run(whole())
