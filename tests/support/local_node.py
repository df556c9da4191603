"""A LocalNode with small real pods: `play` runs a story inside a node; the other functions wait for its pods and read them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import waiting

from tuneloop_cli.local.node import LocalNode
from tuneloop_cli.local.processes import processes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

Manifest = dict[str, Any]
T = TypeVar("T")
SECONDS = 20.0
"""The longest wait of a test."""
POLITE = (
    "python", "-S", "-c",
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(79)); print('up', flush=True); time.sleep(600)",
)  # fmt: skip
"""A program that prints `up` when it runs, and ends with status 79 on SIGTERM."""


def play(folder: Path, story: Callable[[LocalNode], Awaitable[T]], **options: Any) -> T:
    """Run a story inside a node. Pods that are left are killed without their grace period."""

    async def whole() -> T:
        async with LocalNode(folder, **options) as node:
            node.start()
            try:
                return await story(node)
            finally:
                await node.close(grace=False)

    return asyncio.run(whole())


async def eventually(condition: Callable[[], T], what: str) -> T:
    """Return what `condition` returns once that is true; raise AssertionError after `SECONDS`."""

    async def condition_now() -> T:
        return condition()

    return await waiting.eventually(condition_now, seconds=SECONDS, what=what)


async def only_pod(node: LocalNode) -> Manifest:
    """Return the only pod once it exists."""
    (pod,) = await eventually(lambda: node.cluster.all("Pod"), "a pod")
    return pod


async def printing_pod(node: LocalNode, folder: Path) -> Manifest:
    """Return the only pod once its program has printed something."""
    pod = await only_pod(node)
    log = log_of(folder, pod)
    await eventually(lambda: log.exists() and log.read_text(), "the program's start")
    return pod


def log_of(folder: Path, pod: Manifest) -> Path:
    """Return the file with a pod's output."""
    return folder / "logs" / "default" / f"{pod['metadata']['name']}.log"


def terminated(pod: Manifest) -> Manifest:
    """Return how a pod's container ended."""
    return pod["status"]["containerStatuses"][0]["state"]["terminated"]


def alive(uids: Iterable[str]) -> set[int]:
    """Return the processes that belong to pods."""
    return processes.living_processes([processes.PodProcess(pod_uid=uid, pid=0, start_time=-1) for uid in uids])
