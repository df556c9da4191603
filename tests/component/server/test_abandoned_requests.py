"""Requests that nobody waits for, and a model that stands still: the application over real sockets, with a model that a test holds."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
import uvicorn
from artifact import write_manifest
from prometheus_client import generate_latest
from server_process import configuration
from waiting import eventually

from tuneloop_api.contract.router import RETRY_HEADER
from tuneloop_server import lifecycle
from tuneloop_server.app import create_app
from tuneloop_server.connections import ConnectionLimits, Connections, uvicorn_config
from tuneloop_server.lifecycle import ModelService
from tuneloop_server.model import EmbeddingSupport, Encoded
from tuneloop_server.monitoring import Monitoring
from tuneloop_server.protocols import protocol
from tuneloop_server.runtimes.runtime import Runtime
from tuneloop_server.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LABELS = ["no", "yes"]
TASK = "text-classification"


async def until_true(condition: Callable[[], object], what: str) -> None:
    async def look() -> object:
        return condition()

    await eventually(look, seconds=30, what=what)


@dataclass
class HeldModel:
    """Gives each text as many tokens as it has characters; answers once it may."""

    passes: list[list[int]] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)
    max_tokens = 64
    vocabulary = None
    embeddings = EmbeddingSupport(refusal="none")
    pads = True

    def encode(self, texts, *, stride=None):
        return [[Encoded(ids=[1] * len(text), truncated=False)] for text in texts]

    def predict(self, batch):
        self.passes.append([len(window) for window in batch])
        assert self.may_answer.wait(timeout=60)
        return [np.array([0.0, 1.0], dtype=np.float32) for _ in batch]


@dataclass
class Served:
    """The running server."""

    model: HeldModel
    service: ModelService
    port: int
    http: httpx.AsyncClient

    async def ask(self, *texts: str) -> httpx.Response:
        return await self.http.post("/", json={"inputs": list(texts)})

    async def send(self, *texts: str) -> asyncio.StreamWriter:
        """Send a request by hand, and return the connection."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        body = json.dumps({"inputs": texts}).encode()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        return writer

    async def hold(self) -> asyncio.Task[httpx.Response]:
        """Occupy the model with a request; return the task that waits for its answer."""
        busy = asyncio.create_task(self.ask("x"))
        await until_true(lambda: self.model.passes, "the pass")
        return busy

    @property
    def waiting(self) -> float | None:
        """Texts in the queue, as the metrics show them."""
        constant = {"deployment": "reviews", "revision": "abc123", "task": TASK}
        return self.service.monitoring.registry.get_sample_value("tuneloop_queue_requests", constant)

    def count(self, line: str) -> bool:
        """Whether the metrics have a line that begins so."""
        return line in generate_latest(self.service.monitoring.registry).decode()


@asynccontextmanager
async def serving(folder) -> AsyncIterator[Served]:
    (folder / "model").mkdir()
    manifest = write_manifest(folder, LABELS, name="n", max_tokens=64, temperature=1.0, task=TASK)
    config = configuration(folder, batching={"max_queue": 12, "max_delay_milliseconds": 0})
    model, connections = HeldModel(), Connections(ConnectionLimits())
    with ThreadPoolExecutor(1) as worker:
        service = ModelService(
            config,
            manifest,
            task=TASKS[TASK],
            runtime=Runtime(name="held", load=lambda *_: model),
            monitoring=Monitoring(config, manifest, label_names=LABELS),
            worker=worker,
        )
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        app = create_app(service, stop=lambda error: pytest.fail(str(error)))
        server = uvicorn.Server(uvicorn_config(app, connections, drain_seconds=5))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
                served = Served(model, service, port, http)
                await until_true(lambda: server.started and service.not_ready_reason is None, "the server")
                yield served
        finally:
            model.may_answer.set()
            server.should_exit = True
            await running


def test_texts_of_a_client_that_leaves_are_not_computed_and_give_back_their_places(tmp_path):
    async def scenario():
        async with serving(tmp_path) as served:
            busy = await served.hold()
            leaving = await served.send(*["text"] * 12)
            await until_true(lambda: served.waiting == 12, "twelve texts in the queue")
            assert (await served.ask("full")).status_code == 429
            leaving.close()
            await until_true(lambda: served.waiting == 0, "an empty queue")
            staying = asyncio.create_task(served.ask("stay", "here"))
            served.model.may_answer.set()
            assert ((await busy).status_code, (await staying).status_code) == (200, 200)
            assert served.model.passes == [[1], [4, 4]]
            assert served.count(
                'tuneloop_requests_total{code="499",deployment="reviews",protocol="hf",reason="client_left"'
            )
            await until_true(lambda: served.service.bodies.taken == 0, "no body in memory")

    asyncio.run(scenario())


def test_a_client_that_leaves_during_the_pass_harms_no_one(tmp_path):
    async def scenario():
        async with serving(tmp_path) as served:
            leaving = await served.send("x")
            await until_true(lambda: served.model.passes, "the pass")
            leaving.close()
            await until_true(lambda: served.count('reason="client_left"'), "the count")
            staying = asyncio.create_task(served.ask("stay"))
            served.model.may_answer.set()
            assert (await staying).status_code == 200

    asyncio.run(scenario())


def test_requests_to_a_model_that_stands_still_end_with_503_and_leave_the_queue(tmp_path, monkeypatch):
    monkeypatch.setattr(protocol, "ANSWER_SECONDS", 0.3)

    async def scenario():
        async with serving(tmp_path) as served:
            busy, waiting = await asyncio.gather(served.ask("x"), served.ask("y", "z"))
            for answer in (busy, waiting):
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert answer.headers[RETRY_HEADER] == "1"
                assert answer.json() == {"error": "the model did not answer within 0.3 s"}
            assert served.count('reason="timeout"')
            assert served.waiting == 0

    asyncio.run(scenario())


def test_a_pass_that_does_not_end_takes_the_server_out_and_then_asks_for_a_restart(tmp_path, monkeypatch):
    monkeypatch.setattr(lifecycle, "_STUCK_SECONDS", 0.3)
    monkeypatch.setattr(lifecycle, "_LOST_SECONDS", 1.0)

    async def scenario():
        async with serving(tmp_path) as served:
            busy = await served.hold()
            await until_true(lambda: served.service.not_ready_reason is not None, "not ready")
            assert (await served.http.get("/healthz")).status_code == 200
            unready = await served.http.get("/readyz")
            assert unready.status_code == 503
            assert unready.json()["error"].startswith("a forward pass has been running for ")
            await until_true(lambda: served.service.lost_reason is not None, "lost")
            assert (await served.http.get("/healthz")).status_code == 503
            served.model.may_answer.set()
            assert (await busy).status_code == 200
            assert (await served.http.get("/readyz")).status_code == 200

    asyncio.run(scenario())
