"""Revisions of a model that generates: one that writes the same text takes over by chats that are drawn and streamed, and bad ones are taken back by the golden set."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from artifact import write_manifest
from generating_artifacts import WINDOW, PlainTransformers, tiny_decoder
from routed_sessions import is_routed, rejected_after, require_envoy, status_once, whole
from workspace import CLAIM, Workspace, deployment_manifest, processes_of

from tuneloop_api.contract.comparison import ComparisonCounts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tuneloop_cli.local.session import LocalSession

pytestmark = [pytest.mark.local_story, pytest.mark.timeout(900)]

KIND, MOST_TOKENS, ROWS = "qwen2", 24, 60
MIN_REQUESTS = 20
PROMPTS = [f"{person} wrote {number} letters" for number in range(ROWS // 6) for person in ("Ada", "Alan", "Grace")]
GATES = [
    {"name": "quality", "metric": "GenerationQuality", "margin": 0.1},
    {"name": "agreement", "metric": "Agreement", "margin": 0.45, "similarity": 0.6},
]
"""With margins that `ROWS` and `MIN_REQUESTS` can decide: `tuneloop validate` says which."""
BAD = ("other-weights", "empty", "endless")
"""Artifacts whose answers are other words, no words, or never end."""


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    require_envoy()
    made = Workspace(tmp_path)
    some, every = [*range(0, 320, 6)], [*range(330)]
    for name, seed, ends in (("good", 0, some), ("other-weights", 1, some)):
        tiny_decoder(made.claim / name, KIND, seed=seed)
        end_at(made.claim / name, ends)
    for name, ends in (("same-text", some), ("empty", every), ("endless", [0])):
        shutil.copytree(made.claim / "good", made.claim / name)
        end_at(made.claim / name, ends)
    write_golden_set(made.claim / "golden.jsonl", made.claim / "good", ends=set(some))
    return made


def end_at(folder: Path, tokens: list[int]) -> None:
    """Let each of these tokens end an answer."""
    path = folder / "model" / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": tokens}))
    write_manifest(folder, [], name=folder.name, max_tokens=WINDOW[KIND], temperature=1.0, task="text-generation")


def write_golden_set(path: Path, good: Path, *, ends: set[int]) -> None:
    """Write prompts and chats with the answers of the good model, by transformers alone."""
    plain = PlainTransformers(good)

    def reference(prompt: str | list[dict[str, str]]) -> str:
        tokens = plain.tokens(prompt, most=MOST_TOKENS)
        return plain.tokenizer.decode(tokens[:-1] if tokens[-1] in ends else tokens, skip_special_tokens=True)

    rows: list[dict[str, Any]] = []
    for prompt in PROMPTS:
        messages = [{"role": "user", "content": prompt}]
        rows += [
            {"inputs": prompt, "parameters": {"max_new_tokens": MOST_TOKENS}, "label": reference(prompt)},
            {"messages": messages, "max_tokens": MOST_TOKENS, "label": reference(messages)},
        ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def manifest(artifact: str) -> dict[str, Any]:
    made = deployment_manifest(
        model={"uri": f"pvc://{CLAIM}/{artifact}"},
        env=[{"name": "OMP_NUM_THREADS", "value": "1"}],
        rollout={
            "steps": [{"weight": weight, "minRequests": MIN_REQUESTS} for weight in (50, 100)],
            "shadow": {"percent": 100},
            "gates": GATES,
            "rollback": {"baking": "0s"},
        },
        evaluation={"goldenSet": {"uri": f"pvc://{CLAIM}/golden.jsonl"}},
    )
    made["metadata"] |= {"namespace": "default"}
    return made


def test_the_golden_set_takes_back_bad_writers_and_drawn_chats_let_an_equal_one_take_over(workspace: Workspace) -> None:
    async def story(session: LocalSession) -> None:
        await session.submit(manifest("good"))
        url = (await status_once(session, is_routed(session)))["url"]
        for artifact in BAD:
            rejected = await rejected_after(session, manifest(artifact))
            assert rejected["message"].startswith("gate quality Fail (canary's answers are "), (artifact, rejected)
            assert "like the references, stable's 100 % on the same 60 rows" in rejected["message"]
        await session.submit(manifest("same-text"))
        canary = (await status_once(session, lambda status: status.get("canary")))["canary"]["revision"]
        async with chats(url) as seen:
            found = await compared(session)
            status = await status_once(session, lambda status: status["stable"]["revision"] == canary)
        assert status["rollout"]["phase"] in {"Baking", "Done"}
        assert set(seen) == {200}
        assert (found.live.disagree, found.live.canary_failed, found.golden.last_pairs.disagree) == (0, 0, 0)
        assert found.golden.last_labelled.similarity.canary == pytest.approx(ROWS, abs=0.5)
        assert sum(found.live.latency_ratios) > 0

    asyncio.run(whole(workspace, story))
    assert processes_of(workspace.path) == []


async def compared(session: LocalSession) -> ComparisonCounts:
    """Return what the comparator has counted once it has passed its warm-up."""

    def counts(stored: dict[str, Any]) -> ComparisonCounts | None:
        reply = session._operator.store.comparison(stored["metadata"]["uid"])
        found = ComparisonCounts.from_wire(reply.document) if reply is not None and reply.document else None
        return found if found is not None and sum(found.live.latency_ratios) and found.golden.last_pairs else None

    stored = await session.wait_for(
        "ModelDeployment", "reviews", until=lambda stored: bool(counts(stored)), seconds=300
    )
    found = counts(stored)
    assert found is not None
    return found


@asynccontextmanager
async def chats(url: str) -> AsyncIterator[list[int]]:
    """Keep asking: chats whose tokens are drawn without a seed, streamed; the statuses of the answers so far."""
    seen: list[int] = []

    async def ask() -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            while True:
                message = {"role": "user", "content": PROMPTS[len(seen) % len(PROMPTS)]}
                body = {"messages": [message], "max_tokens": MOST_TOKENS, "temperature": 0.9, "stream": True}
                seen.append((await client.post(f"{url}/v1/chat/completions", json=body)).status_code)

    asking = asyncio.create_task(ask())
    try:
        yield seen
    finally:
        asking.cancel()
