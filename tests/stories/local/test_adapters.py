"""Adapters on one machine: two on one base model, and a new version of one of them as a canary behind Envoy; of a model that classifies, and of one that generates."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from adapter_artifacts import adapter_artifact, base_folder
from generating_artifacts import WINDOW, tiny_decoder
from routed_sessions import is_routed, require_envoy, status_once
from workspace import CLAIM, Workspace, deployment_manifest

from tuneloop_cli.local.session import LocalSession

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.local_story

TEXT = "w4 w9 w17"
NAMES = ("films", "books-1", "books-2")


@dataclass(frozen=True)
class Kind:
    """A base model with three adapters, and how an adapter is asked."""

    write: Callable[[Path], None]
    """Into a claim."""
    ask: Callable[[str, str], tuple[str, str]]
    """(address, adapter) → revision and answer."""


def write_classifiers(claim: Path) -> None:
    base = base_folder(claim / "base", "bert")
    for seed, name in enumerate(NAMES, start=1):
        adapter_artifact(claim / name, base, seed=seed)


def write_decoders(claim: Path) -> None:
    tiny_decoder(claim / "base", "llama")
    shape: dict[str, Any] = {"labels": (), "task": "text-generation", "max_tokens": WINDOW["llama"]}
    for seed, name in enumerate(NAMES, start=1):
        adapter_artifact(claim / name, claim / "base/model", seed=seed, **shape)


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


async def answers(
    ask: Callable[[str, str], tuple[str, str]], url: str, adapter: str, *, count: int
) -> dict[str, set[str]]:
    """Return by revision what was answered to the same text."""
    found: dict[str, set[str]] = {}
    for _ in range(count):
        revision, answer = await asyncio.to_thread(ask, url, adapter)
        found.setdefault(revision, set()).add(answer)
    return found


def exchange(address: str, body: dict[str, Any]) -> tuple[str, Any]:
    """Return the revision that answered, and its answer."""
    asked = urllib.request.Request(address, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return answer.headers["x-tuneloop-revision"], json.load(answer)


def classified(url: str, adapter: str) -> tuple[str, str]:
    revision, found = exchange(f"{url}/predict?adapter={adapter}", {"inputs": TEXT})
    scores = {label["label"]: round(label["score"], 4) for label in found}
    return revision, json.dumps(scores, sort_keys=True)


def generated(url: str, adapter: str) -> tuple[str, str]:
    asked = {"model": adapter, "prompt": "Ada", "max_tokens": 12}
    revision, found = exchange(f"{url}/v1/completions", asked)
    return revision, found["choices"][0]["text"]


KINDS = {"a classifier": Kind(write_classifiers, classified), "a decoder": Kind(write_decoders, generated)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_version_of_one_adapter_is_a_canary_and_the_other_answers_as_before(kind: str, tmp_path: Path) -> None:
    require_envoy()
    workspace = Workspace(tmp_path)
    KINDS[kind].write(workspace.claim)
    ask = KINDS[kind].ask

    async def story(session: LocalSession) -> None:
        await session.submit(manifest("books-1"))
        await status_once(session, is_routed(session))
        await session.submit(manifest("books-2"))
        half = await status_once(session, lambda status: status.get("rollout", {}).get("phase") == "Paused")
        revisions = {f"reviews-{half[kind]['revision']}" for kind in ("stable", "canary")}
        films = await answers(ask, half["url"], "films", count=30)
        assert films.keys() == revisions
        assert len(set.union(*films.values())) == 1
        books = await answers(ask, half["url"], "books", count=30)
        assert books.keys() == revisions
        assert [len(found) for found in books.values()] == [1, 1]
        assert len(set.union(*books.values())) == 2
        await session.submit(manifest("books-2", command="approve/1"))
        done = await status_once(session, lambda status: status["stable"]["revision"] == half["canary"]["revision"])
        assert await answers(ask, done["url"], "books", count=5) == {
            f"reviews-{half['canary']['revision']}": books[f"reviews-{half['canary']['revision']}"]
        }

    async def whole() -> None:
        async with LocalSession(workspace.path / ".tuneloop") as session:
            try:
                await story(session)
            finally:
                await session.abort()

    asyncio.run(whole())
