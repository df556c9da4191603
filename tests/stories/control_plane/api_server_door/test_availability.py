"""An API server that is away, silent, or does not serve our kinds."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest
from api_server_stories import config_map, connected, run_story
from cluster.control_plane import ControlPlane

from tuneloop_operator.cluster.api_server import ApiServer
from tuneloop_operator.errors import ClusterUnavailable


def test_an_api_server_that_is_away_is_waited_for(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            Door(control_plane.server_url) as door,
            connected(door.kubeconfig(control_plane, tmp_path)) as server,
        ):
            await server.create(config_map(namespace))
            await door.close()
            with pytest.raises(ClusterUnavailable, match="the API server does not answer"):
                await server.get(kind="ConfigMap", namespace=namespace, name="one")
            waiting = asyncio.create_task(server.wait_until_ready())
            await asyncio.wait([waiting], timeout=1.0)
            assert not waiting.done()
            await door.open()
            await asyncio.wait_for(waiting, 20)
            assert await server.get(kind="ConfigMap", namespace=namespace, name="one") is not None

    asyncio.run(story())


def test_a_silent_api_server_is_given_so_much_time_and_a_write_half_of_it(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    async def story() -> list[float]:
        async with Door(control_plane.server_url) as door:
            path = door.kubeconfig(control_plane, tmp_path)
            async with connected(path, request_timeout_seconds=1.0) as server:
                await server.create(config_map(namespace))
                door.is_silent = True
                return [await seconds_until_given_up(server, namespace, verb) for verb in ("get", "create")]

    read, write = asyncio.run(story())
    assert 0.9 < read < 5.0
    assert 0.4 < write < read


async def seconds_until_given_up(server: ApiServer, namespace: str, verb: str) -> float:
    began = time.monotonic()
    read = server.get(kind="ConfigMap", namespace=namespace, name="one")
    write = server.create(config_map(namespace, "two"))
    asked, other = (read, write) if verb == "get" else (write, read)
    other.close()
    with pytest.raises(ClusterUnavailable, match="no answer in time"):
        await asked
    return time.monotonic() - began


@pytest.mark.usefixtures("control_plane")  # skipped where that cannot run; ours are installed there
def test_the_kinds_that_are_missing_are_named(tmp_path: Path) -> None:
    async def story(server: ApiServer) -> list[str]:
        await server.wait_until_ready()
        return await server.missing_kinds()

    with ControlPlane(tmp_path) as bare:
        assert run_story(bare, story) == ["FineTuneJob", "ModelDeployment"]


def test_no_kind_is_missing_where_they_are_installed(custom_resources: ControlPlane) -> None:
    async def story(server: ApiServer) -> list[str]:
        return await server.missing_kinds()

    assert run_story(custom_resources, story) == []


@dataclass
class Door:
    """A TCP relay to the API server that can be closed, opened, and fall silent."""

    url: str
    is_silent: bool = False
    port: int = 0
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def kubeconfig(self, plane: ControlPlane, folder: Path) -> Path:
        text = plane.kubeconfig.read_text().replace(plane.server_url, f"https://127.0.0.1:{self.port}")
        (folder / "kubeconfig").write_text(text)
        return folder / "kubeconfig"

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = urlsplit(self.url)
        there, back = await asyncio.open_connection(address.hostname, address.port)
        tasks = {asyncio.create_task(self._copy(reader, back)), asyncio.create_task(self._copy(there, writer))}
        self._tasks |= tasks
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for stream in (writer, back):
            stream.close()
        self._tasks -= tasks

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.is_silent:
                writer.write(data)
