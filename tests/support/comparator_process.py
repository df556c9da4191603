"""Starts a real comparator, sends it copies as Envoy does, and reads its counts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from fork_server import Fork, Preloaded, fork
from free_ports import free_ports
from waiting import until

from tuneloop_api.contract.comparator_config import ComparatorConfig
from tuneloop_api.contract.comparison import ComparisonCounts, PairCounts
from tuneloop_server.comparator.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0
_COMPARATOR = Preloaded(("tuneloop_server.comparator.__main__",), python_path=f"{ROOT}/api:{ROOT}/server")


@dataclass(frozen=True)
class Comparator:
    """A comparator process."""

    process: subprocess.Popen[bytes] | Fork
    config: ComparatorConfig
    log: Path

    @property
    def process_folder(self) -> Path:
        return Path(f"/proc/{self.process.pid}")

    def control(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = f"http://127.0.0.1:{self.config.control_port}{path}"
        return httpx.request(method, url, timeout=DEADLINE, **options)

    def counts(self) -> ComparisonCounts:
        return ComparisonCounts.from_wire(self.control("GET", "/v1/counts").json())

    def replay(self, times: int = 1) -> httpx.Response:
        return self.control("POST", "/v1/golden", json={"times": times})

    def wait_for_pairs(self, count: int) -> ComparisonCounts:
        """Return the counts once so many copies have been compared."""
        until(lambda: pairs_of(self.counts().live) >= count, seconds=DEADLINE, what=f"{count} pairs")
        return self.counts()

    def wait_for_replays(self, count: int = 1) -> ComparisonCounts:
        def is_done() -> bool:
            golden = self.counts().golden
            assert golden is not None
            assert (golden.failure, golden.problem) == (None, None)
            return golden.completed >= count

        until(is_done, seconds=DEADLINE, what=f"{count} replays")
        return self.counts()

    def send(self, bodies: Iterable[object], **options: Any) -> list[int]:
        """Send copies of predictions one after the other; return the statuses. A body is JSON data, or bytes as they are."""
        contents = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
        return asyncio.run(send_all(self.config.port, contents, **options))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=DEADLINE)


def pairs_of(counts: PairCounts) -> int:
    """Return how many requests both were asked."""
    return sum(getattr(counts, verdict) for verdict in Verdict)


def comparator_config(stable: int, canary: int, **changes: object) -> ComparatorConfig:
    """Return the configuration for revisions on these ports."""
    port, control_port = free_ports(2)
    return ComparatorConfig.from_wire(
        {
            "namespace": "team",
            "name": "reviews",
            "task": "text-classification",
            "labels": ["negative", "neutral", "positive"],
            "stable": {"name": "5f0a1b2c", "host": "127.0.0.1", "port": stable},
            "canary": {"name": "9d8e7f6a", "host": "127.0.0.1", "port": canary},
            "host": "127.0.0.1",
            "port": port,
            "controlPort": control_port,
            "warmUpPairs": 0,
            "limits": {"requestsPerSecond": 10_000, "goldenRequestsPerSecond": 10_000, "queueRequests": 10_000},
        }
        | changes
    )


def start_comparator(config: ComparatorConfig, folder: Path) -> Comparator:
    """Start a comparator as a pod does, without waiting for it."""
    path, log = _write(config, folder), folder / "comparator.log"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/api:{ROOT}/server"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tuneloop_server.comparator", "--config", str(path)],
            stderr=output,
            stdout=output,
            env=environment,
        )
    return Comparator(process, config, log)


def fork_comparator(config: ComparatorConfig, folder: Path) -> Comparator:
    """Start a comparator that has imported what it needs, without waiting for it."""
    path, log = _write(config, folder), folder / "comparator.log"
    log.write_bytes(b"")
    return Comparator(fork(_COMPARATOR, "tuneloop_server.comparator", "--config", str(path), log=log), config, log)


def _write(config: ComparatorConfig, folder: Path) -> Path:
    path = folder / "comparator.json"
    path.write_text(json.dumps(config.to_wire()), encoding="utf-8")
    return path


@contextmanager
def comparing(
    config: ComparatorConfig, folder: Path, *, start: Callable[[ComparatorConfig, Path], Comparator] = fork_comparator
) -> Iterator[Comparator]:
    """A comparator that is ready; killed at the end if it still runs."""
    comparator = start(config, folder)
    try:
        until(lambda: is_ready(comparator), seconds=DEADLINE, what="the comparator is ready")
        yield comparator
    finally:
        comparator.process.kill()
        comparator.process.wait()


def is_ready(comparator: Comparator) -> bool:
    assert comparator.process.poll() is None, comparator.log.read_text()
    try:
        return comparator.control("GET", "/readyz").status_code == 200
    except httpx.TransportError:
        return False


def head_of_copy(port: int, length: int, *, target: str = "/predict") -> bytes:
    """Return the lines before the body of a copy, as the router of local mode sends it."""
    own = f"host: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    return f"POST {target} HTTP/1.1\r\n{own}content-length: {length}\r\n\r\n".encode()


async def send_all(port: int, contents: Iterable[bytes], *, at_once: int = 16, target: str = "/predict") -> list[int]:
    """POST bodies over kept connections, as many at once as Envoy has connections to a comparator; return the statuses in order."""
    statuses: list[int] = []
    waiting = iter(contents)

    async def sender() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in waiting:
            writer.write(head_of_copy(port, len(body), target=target) + body)
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            assert b"content-length: 0" in answer.lower()
            statuses.append(int(answer.split()[1]))
        writer.close()

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(sender() for _ in range(at_once)))
    return statuses
