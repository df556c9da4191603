"""Revisions that answer as a test wants: well, wrongly, never, endlessly. Each is a server in a thread of the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Answer: TypeAlias = "Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]"


class OddRevision:
    """A revision; `answer` may be changed while it runs."""

    def __init__(self, answer: Answer, port: int) -> None:
        self.answer = answer
        self.port = port
        self.bodies: list[bytes] = []
        """Of all requests that came in whole."""
        self.heads: list[bytes] = []
        self.connections = 0
        self.most_at_once = 0
        self._under_way = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of a connection until either side closes."""
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing():
                    await self._serve_one(reader, writer)
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(int(length.split(b":")[1]))
        self.heads.append(head)
        self.bodies.append(body)
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            await self.answer(body, writer)
        finally:
            self._under_way -= 1
        await writer.drain()


@contextmanager
def revisions(*answers: Answer, port: int = 0) -> Iterator[list[OddRevision]]:
    """Serve a revision for each of these ways to answer; at the end all connections are closed. port: of a single one; 0: any."""
    found = [OddRevision(answer, port) for answer in answers]
    loop, started = asyncio.new_event_loop(), threading.Event()
    thread = threading.Thread(target=_run, args=(loop, found, started))
    thread.start()
    assert started.wait(20)
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _run(loop: asyncio.AbstractEventLoop, found: list[OddRevision], started: threading.Event) -> None:
    async def open_all() -> list[asyncio.Server]:
        servers = []
        for revision in found:
            server = await asyncio.start_server(
                revision.serve, "127.0.0.1", revision.port, backlog=512, limit=4 * 1024 * 1024
            )
            revision.port = server.sockets[0].getsockname()[1]
            servers.append(server)
        return servers

    async def end(servers: list[asyncio.Server]) -> None:
        for server in servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the next round of the loop

    servers = loop.run_until_complete(open_all())
    started.set()
    loop.run_forever()
    loop.run_until_complete(end(servers))
    loop.close()


def respond(writer: asyncio.StreamWriter, body: bytes, *, status: int = 200, more: str = "") -> None:
    head = f"HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n{more}content-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)


def saying(label: str, *, score: float = 0.9, status: int = 200, seconds: float = 0.0) -> Answer:
    """Answer each text with this class."""
    return raw(json.dumps([{"label": label, "score": score}]).encode(), status=status, seconds=seconds)


def raw(body: bytes, *, status: int = 200, seconds: float = 0.0, more: str = "") -> Answer:
    """Answer with these bytes."""

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        respond(writer, body, status=status, more=more)

    return answer


async def once(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Answer, and close the connection without having said so."""
    respond(writer, b'[{"label": "positive", "score": 0.9}]')
    await writer.drain()
    writer.close()


async def never(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Take the request and say nothing."""
    await asyncio.Event().wait()


async def huge(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Begin an answer of 100 MB."""
    writer.write(b"HTTP/1.1 200 -\r\ncontent-type: application/json\r\ncontent-length: 100000000\r\n\r\n")
    for _ in range(100):
        writer.write(b"[" * 1_000_000)
        await writer.drain()


async def huge_headers(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Send headers without an end."""
    writer.write(b"HTTP/1.1 200 -\r\n")
    while True:
        writer.write(b"x-more: " + b"x" * 10_000 + b"\r\n")
        await writer.drain()


async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then."""
    writer.write(b"HTTP/1.1 200 -\r\ncontent-length: 1000000\r\n\r\n")
    while True:
        writer.write(b"[")
        await writer.drain()
        await asyncio.sleep(0.05)


async def cut(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Close in the middle of an answer."""
    writer.write(b'HTTP/1.1 200 -\r\ncontent-length: 100\r\n\r\n[{"label"')
    await writer.drain()
    writer.close()


async def not_http(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Answer in another protocol."""
    writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
