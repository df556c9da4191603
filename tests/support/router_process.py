"""Runs a real router, with a real Envoy, and asks it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import aiohttp
from free_ports import free_ports
from waiting import until

from tuneloop_router.admin import Admin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

ROOT = Path(__file__).parents[2]
SECONDS = 30.0


@dataclass(frozen=True)
class Router:
    """A router process."""

    process: subprocess.Popen[bytes]
    folder: Path
    port: int
    metrics_port: int
    log: Path
    """What router and Envoy print."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.metrics_port}"

    @property
    def generation_kept(self) -> int:
        """Return the generation with which a restart would begin; 0 if none was ever in force."""
        try:
            return json.loads((self.folder / "state.json").read_text())["generation"]
        except FileNotFoundError:
            return 0

    @property
    def envoy(self) -> int:
        """Return the process id of Envoy."""
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def stat(self, name: str) -> int:
        return int(Admin(str(self.folder / "admin.sock")).stats([name]).get(name, 0))

    def get(self, path: str = "/", **headers: str) -> tuple[int, dict[str, str], str]:
        """Return status, headers (names in lower case) and text of an answer."""
        return self.send("GET", path, headers=headers)

    def send(
        self, method: str, path: str = "/", *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        return exchange(self.port, method, path, body=body, headers=headers or {})

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


def exchange(
    port: int, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str]
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request(method, path, body=body, headers={name.replace("_", "-"): v for name, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


def settings_file(folder: Path, split: dict[str, Any], /, **settings: Any) -> Path:
    """Write split.json and router.json; return the path of router.json."""
    (folder / "split.json").write_text(json.dumps(split))
    port, metrics_port = free_ports(2)
    document = {
        "deployment": "reviews",
        "folder": str(folder / "run"),
        "splitPath": str(folder / "split.json"),
        "host": "127.0.0.1",
        "port": port,
        "metricsPort": metrics_port,
        "quietSeconds": 0,
        "drainSeconds": 20,
    }
    path = folder / "router.json"
    path.write_text(json.dumps(document | settings))
    return path


def start(settings: Path) -> Router:
    """Start a router without waiting for it."""
    document = json.loads(settings.read_text())
    log = settings.with_name("log")
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/server"}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tuneloop_router", str(settings)], stdout=output, stderr=output, env=environment
        )
    return Router(process, Path(document["folder"]), document["port"], document["metricsPort"], log)


@contextlib.contextmanager
def running(settings: Path) -> Iterator[Router]:
    """A router that is ready; killed at the end if it still runs."""
    router = start(settings)
    try:
        until(lambda: is_ready(router), seconds=SECONDS, what="the router is ready", pause=0.02)
        until(lambda: router.generation_kept, seconds=SECONDS, what="the first split is in force", pause=0.02)
        yield router
    finally:
        router.process.kill()
        router.process.wait()


def is_ready(router: Router) -> bool:
    assert router.process.poll() is None, router.log.read_text()[-2000:]
    try:
        return exchange(router.metrics_port, "GET", "/readyz", headers={})[0] == 200
    except OSError:
        return False


@dataclass
class Answers:
    """What clients got."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """By status, or by the name of the client's error."""
    revisions: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        return self.outcomes.total() - self.outcomes["200"]


@contextlib.asynccontextmanager
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        yield session


async def ask(session: aiohttp.ClientSession, url: str, answers: Answers, **options: Any) -> str:
    """Make one request; return the revision that answered."""
    revision = ""
    try:
        async with session.post(url, **{"data": b"{}", **options}) as answer:
            await answer.read()
            outcome, revision = str(answer.status), answer.headers.get("x-tuneloop-revision", "")
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        outcome = type(error).__name__
    answers.outcomes[outcome] += 1
    answers.revisions[revision] += 1
    return revision


def answers_of(url: str, count: int, *, headers: Mapping[str, str] | None = None) -> Answers:
    """Make so many requests."""
    answers = Answers()
    for outcome, revision in _exchange_all(url, [headers or {}] * count):
        answers.outcomes[outcome] += 1
        answers.revisions[revision] += 1
    return answers


def revisions_of(url: str, users: list[str], header: str) -> dict[str, str]:
    """Return by which revision each user is answered."""
    answers = _exchange_all(url, [{header: user} for user in users])
    return {user: revision for user, (_, revision) in zip(users, answers, strict=True)}


_AT_ONCE = 8


def _exchange_all(url: str, requests: list[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Make requests with these headers on a few kept connections; return outcome and revision of each.

    By hand, since thousands of requests by a client library take longer than all other tests of a router together.
    """
    host, port = url.removeprefix("http://").split(":")
    found = []
    with contextlib.ExitStack() as stack:
        links = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=SECONDS)) for _ in range(_AT_ONCE)
        ]
        answers = [stack.enter_context(link.makefile("rb")) for link in links]
        for start in range(0, len(requests), _AT_ONCE):
            group = requests[start : start + _AT_ONCE]
            for link, headers in zip(links, group, strict=False):
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                link.sendall(f"POST / HTTP/1.1\r\nhost: {host}:{port}\r\n{lines}content-length: 2\r\n\r\n{{}}".encode())
            found += [_read_answer(answer) for answer in answers[: len(group)]]
    return found


def _read_answer(answer: IO[bytes]) -> tuple[str, str]:
    status = answer.readline().split()
    headers = {}
    while line := answer.readline().strip():
        name, _, value = line.decode().partition(": ")
        headers[name] = value
    answer.read(int(headers.get("content-length", 0)))
    return (status[1].decode() if status else "closed"), headers.get("x-tuneloop-revision", "")


async def steady(url: str, answers: Answers, *, per_second: float, stop: asyncio.Event, **options: Any) -> None:
    """Begin a request each 1/per_second seconds until `stop`, whether or not the others have come back; then wait for them."""
    async with client() as session, asyncio.TaskGroup() as group:
        begun, count = time.monotonic(), 0
        while not stop.is_set():
            group.create_task(ask(session, url, answers, **options))
            count += 1
            await asyncio.sleep(max(0.0, begun + count / per_second - time.monotonic()))


@dataclass(frozen=True)
class Stream:
    """How a stream of server-sent events arrived."""

    late_seconds: list[float]
    """Of each event: from its sending to its arrival."""
    whole: bool
    error: str


async def stream(url: str, *, events: int, gap_ms: int) -> Stream:
    late, whole, error = [], False, ""
    try:
        async with client() as session, session.get(f"{url}/sse?n={events}&gap_ms={gap_ms}") as answer:
            async for line in answer.content:
                text = line.decode().strip().removeprefix("data: ")
                if text == "[DONE]":
                    whole = True
                elif text:
                    late.append(time.time() - float(text))
    except (aiohttp.ClientError, OSError) as problem:
        error = f"{type(problem).__name__}: {problem}"
    return Stream(late, whole, error)
