"""Model servers without a model, for a router: `python model_backends.py NAME...` serves each on a port, and prints `{NAME: port}`.

They answer /readyz and never /silent, stream server-sent events, show what they were sent, and can be told to answer otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


_PIECE = 1 << 16


@dataclass(frozen=True)
class Backend:
    """A revision that runs."""

    name: str
    port: int

    def revision(self, weight: int) -> dict[str, Any]:
        return {"name": self.name, "host": "127.0.0.1", "port": self.port, "weight": weight}

    def last(self) -> dict[str, Any]:
        """Return the last request: path, headers (names in lower case), bytes and digest of its body; the count of all; Host of the last health check."""
        return json.loads(self._get("/last"))

    def answer_with(self, status: int) -> None:
        """Answer every further request with this status; 503 says that it may be repeated. 0: count it, and reset its connection without an answer."""
        self._get(f"/set?status={status}")

    @contextlib.contextmanager
    def answering(self, status: int) -> Iterator[None]:
        """Answer with this status for a while, and then with 200 again."""
        self.answer_with(status)
        try:
            yield
        finally:
            self.answer_with(200)

    def _get(self, path: str) -> bytes:
        import urllib.request  # the process that serves has no need of it, and starts sooner

        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return answer.read()


@dataclass(frozen=True)
class Backends:
    """The process of some revisions."""

    process: subprocess.Popen[bytes]
    by_name: dict[str, Backend]

    def __getitem__(self, name: str) -> Backend:
        return self.by_name[name]

    def split(self, *, generation: int = 1, **weights: int) -> dict[str, Any]:
        """Return a split of these revisions, newest first and stable last."""
        revisions = [self[name].revision(weight) for name, weight in weights.items()]
        return {"generation": generation, "deployment": "reviews", "revisions": revisions}


@contextlib.contextmanager
def backends(*names: str) -> Iterator[Backends]:
    """Run revisions of these names in one process; it is killed at the end."""
    with subprocess.Popen([sys.executable, __file__, *names], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            ports = json.loads(process.stdout.readline())
            yield Backends(process, {name: Backend(name, port) for name, port in ports.items()})
        finally:
            process.kill()


class _Model:
    """One revision. HTTP/1.1 by hand: a client library would cost more than all that is tested."""

    def __init__(self, name: str) -> None:
        self._name, self._status, self._count = name, 200, 0
        self._last: dict[str, Any] = {}
        self._checked_as: str | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                body = await reader.readexactly(int(headers.get("content-length") or 0))
                await self._answer(writer, head[0].split()[1], headers, body)
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, target: str, headers: dict[str, str], body: bytes) -> None:
        path, _, query = target.partition("?")
        options = {name: value for name, _, value in (part.partition("=") for part in query.split("&"))}
        if path == "/readyz":
            self._checked_as = headers.get("host")
            _send(writer, 200, b"")
        elif path == "/set":
            self._status = int(options["status"])
            _send(writer, 200, b"")
        elif path == "/last":
            _send(
                writer, 200, json.dumps({"count": self._count, "checked_as": self._checked_as, **self._last}).encode()
            )
        elif path == "/silent":
            await asyncio.Event().wait()
        elif path == "/large":
            await _send_large(writer, int(options["bytes"]))
        elif path == "/sse":
            await _stream(writer, int(options["n"]), int(options["gap_ms"]) / 1000)
        else:
            self._count += 1
            digest = hashlib.sha256(body).hexdigest()
            self._last = {"path": target, "headers": headers, "bytes": len(body), "sha256": digest}
            await asyncio.sleep(int(options.get("delay_ms", 0)) / 1000)
            if self._status == 0:
                writer.transport.abort()
                return
            more = "x-tuneloop-retry: 1\r\n" if self._status == 503 else ""
            _send(writer, self._status, json.dumps({"revision": self._name}).encode(), more)


def _send(writer: asyncio.StreamWriter, status: int, body: bytes, more: str = "") -> None:
    head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n{more}content-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


async def _send_large(writer: asyncio.StreamWriter, size: int) -> None:
    """Send so many bytes, as fast as they are read."""
    writer.write(f"HTTP/1.1 200 -\r\ncontent-length: {size}\r\n\r\n".encode())
    for start in range(0, size, _PIECE):
        writer.write(b"x" * min(_PIECE, size - start))
        await writer.drain()


async def _stream(writer: asyncio.StreamWriter, count: int, gap: float) -> None:
    """Send so many events, each with the time when it was sent, and an end."""
    writer.write(b"HTTP/1.1 200 -\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(count):
        writer.write(_chunk(f"data: {time.time()}\n\n"))
        await writer.drain()
        await asyncio.sleep(gap)
    writer.write(_chunk("data: [DONE]\n\n") + _chunk(""))


def _chunk(text: str) -> bytes:
    return f"{len(text):x}\r\n{text}\r\n".encode()


async def _serve(names: list[str]) -> None:
    servers = {name: await asyncio.start_server(_Model(name).serve, "127.0.0.1", 0, backlog=512) for name in names}
    print(json.dumps({name: server.sockets[0].getsockname()[1] for name, server in servers.items()}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
