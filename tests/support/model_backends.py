"""Model servers without a model, for a router: `python model_backends.py NAME...` serves each on a port, and prints `{NAME: port}`.

They answer /readyz, stream server-sent events, show what they were sent, and can be told to answer otherwise.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Backend:
    """A revision that runs."""

    name: str
    port: int

    def revision(self, weight: int) -> dict[str, Any]:
        return {"name": self.name, "host": "127.0.0.1", "port": self.port, "weight": weight}

    def last(self) -> dict[str, Any]:
        """Return the last request: path, headers (names in lower case), bytes and digest of its body; and the count of all."""
        return json.loads(self._get("/last"))

    def answer_with(self, status: int) -> None:
        """Answer every further request with this status; 503 says that it may be repeated."""
        self._get(f"/set?status={status}")

    def _get(self, path: str) -> bytes:
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


@contextmanager
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
    """One revision."""

    def __init__(self, name: str) -> None:
        self._name, self._status, self._count, self._last = name, 200, 0, {}

    def application(self) -> Any:
        from aiohttp import web

        app = web.Application(client_max_size=1 << 30)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/set", self._set)
        app.router.add_get("/last", self._show)
        app.router.add_get("/sse", self._stream)
        app.router.add_route("*", "/{path:.*}", self._predict)
        return app

    async def _ready(self, _: Any) -> Any:
        from aiohttp import web

        return web.Response()

    async def _set(self, request: Any) -> Any:
        from aiohttp import web

        self._status = int(request.query["status"])
        return web.Response()

    async def _show(self, _: Any) -> Any:
        from aiohttp import web

        return web.json_response({"count": self._count, **self._last})

    async def _predict(self, request: Any) -> Any:
        from aiohttp import web

        body = await request.read()
        self._count += 1
        self._last = {
            "path": request.raw_path,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "bytes": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        await asyncio.sleep(int(request.query.get("delay_ms", 0)) / 1000)
        headers = {"x-tuneloop-retry": "1"} if self._status == 503 else {}
        return web.json_response({"revision": self._name}, status=self._status, headers=headers)

    async def _stream(self, request: Any) -> Any:
        """Send n events, gap_ms apart, each with the time when it was sent."""
        from aiohttp import web

        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        for _ in range(int(request.query["n"])):
            await answer.write(f"data: {time.time()}\n\n".encode())
            await asyncio.sleep(int(request.query["gap_ms"]) / 1000)
        await answer.write(b"data: [DONE]\n\n")
        return answer


async def _serve(names: list[str]) -> None:
    from aiohttp import web

    ports = {}
    for name in names:
        runner = web.AppRunner(_Model(name).application(), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=512)
        await site.start()
        ports[name] = runner.addresses[0][1]
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
