"""A place of the story of drift whose operator is played: the first tweet makes it start a run, and each step of the run follows at once."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path
    from types import TracebackType

    from tuneloop_cli.lineage.documents import Documents
    from tuneloop_operator.cluster import Kind, Manifest

RUN = "reviews-again-1"
_STEPS: tuple[dict[str, Any], ...] = (
    {},
    {"challenger": "new"},
    {"challenger": "new", "outcome": "Promoted", "reason": "its model has been baked"},
)
"""What a run says of itself, in this order."""


class PlayedPlace:
    """Answers like a model that takes each text for positive."""

    def __init__(self, folder: Path, *, first_job: Mapping[str, Any], runs_at_once: bool = False) -> None:
        """first_job: status of the job of the first model; runs_at_once: a run starts before any tweet comes."""
        self.folder, self.claim, self.logs = folder, folder / "claim", folder / "logs"
        self.submitted: dict[tuple[str, str], Manifest] = {}
        """By kind and name."""
        self._first_job, self._runs_at_once = first_job, runs_at_once
        self._stored: dict[tuple[str, str], Manifest] = {}
        self._watchers: dict[tuple[str, str], list[asyncio.Queue[Manifest]]] = defaultdict(list)
        self._has_run = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.add_routes([web.post("/predict", self._predict), web.post("/v1/feedback", self._feedback)])
        runner = web.AppRunner(application)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def submit(self, *manifests: Manifest) -> None:
        for manifest in manifests:
            name = manifest["metadata"]["name"]
            self.submitted[manifest["kind"], name] = manifest
            if manifest["kind"] == "ModelDeployment":
                self._put("ModelDeployment", name, {"monitoring": {"baseline": {"samples": 300}}})
                if self._runs_at_once:
                    self._start_run()
            elif not manifest["spec"].get("suspend"):
                self._put("FineTuneJob", name, dict(self._first_job))

    async def watch(self, kind: Kind, name: str) -> AsyncGenerator[Manifest | None, None]:
        queue: asyncio.Queue[Manifest] = asyncio.Queue()
        self._watchers[kind, name].append(queue)
        yield None  # as of an object that is made at this moment
        yield self._stored.get((kind, name))
        while True:
            yield await queue.get()

    async def address(self, deployment: str) -> str:
        assert ("ModelDeployment", deployment) in self.submitted
        return self._url

    async def documents(self) -> Documents:
        raise NotImplementedError

    async def series(self, queries: Mapping[str, str], *, begin: float, end: float) -> dict[str, Any]:
        raise NotImplementedError

    def _put(self, kind: str, name: str, status: Mapping[str, Any]) -> None:
        self._stored[kind, name] = manifest = {"kind": kind, "metadata": {"name": name}, "status": status}
        for queue in self._watchers[kind, name]:
            queue.put_nowait(manifest)

    def _start_run(self) -> None:
        self._has_run = True
        for step in _STEPS:
            run = {"job": RUN, "trigger": "accuracy", **step}
            stable = "new" if "outcome" in step else "old"
            self._put(
                "ModelDeployment",
                "reviews",
                {
                    "monitoring": {"baseline": {"samples": 300}},
                    "rollout": {"stable": stable},
                    "retraining": {"history": [run]},
                },
            )
        comparison = {"verdict": "Better", "message": "5 points more"}
        self._put("FineTuneJob", RUN, {"phase": "Succeeded", "evaluation": {"comparison": comparison}})

    async def _predict(self, request: web.Request) -> web.Response:
        text = (await request.json())["inputs"]
        if "tweet" in text and not self._has_run:
            self._start_run()
        headers = {"x-tuneloop-revision": "reviews-old", "x-tuneloop-feedback": "token"}
        return web.json_response([{"label": "positive", "score": 0.9}], headers=headers)

    async def _feedback(self, request: web.Request) -> web.Response:
        assert (await request.json())["token"] == "token"
        return web.json_response({})
