"""Runs a story with an `ApiServer` at the real API server; the objects in such stories.

async def story(server):
    return await server.create(config_map(namespace))

created = run_story(control_plane, story)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cluster.control_plane import ControlPlane

from tuneloop_operator.cluster.api_server import ApiServer

Manifest = dict[str, Any]
Story = Callable[[ApiServer], Awaitable[Any]]


@asynccontextmanager
async def connected(kubeconfig: Path, **options: Any) -> AsyncIterator[ApiServer]:
    server = await ApiServer.connect(environ={"KUBECONFIG": str(kubeconfig)}, **options)
    try:
        yield server
    finally:
        await server.close()


def run_story(plane: ControlPlane, story: Story, **options: Any) -> Any:
    """Run a story as the administrator; return what it returns."""

    async def run() -> Any:
        async with connected(plane.kubeconfig, **options) as server:
            return await story(server)

    return asyncio.run(run())


def config_map(namespace: str, name: str = "one", **data: str) -> Manifest:
    labels = {"tuneloop.dev/job": "reviews"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "data": data or {"a": "1"},
    }


def service(namespace: str, **spec: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]} | spec,
    }


def fine_tune_job(namespace: str) -> Manifest:
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "reviews", "namespace": namespace},
        "spec": {
            "model": {"uri": "hf://FacebookAI/roberta-base"},
            "task": "text-classification",
            "data": {"train": [{"uri": "pvc://models/raw/reviews.csv"}]},
            "storage": {"claim": "models"},
        },
    }


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  (it is the API server that changes)
            await asyncio.sleep(0.05)
