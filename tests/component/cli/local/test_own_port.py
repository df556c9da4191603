"""The progress port of local mode takes requests of our own processes, and none that a page in a browser can send."""

from __future__ import annotations

import asyncio
import socket

import aiohttp
import pytest
from aiohttp import web

from tuneloop_cli.local.own_port import for_own_processes, served_to_own_processes


def status_of(*, host: str = "127.0.0.1:{port}", content_type: str = "application/json") -> int:
    """Post to a page behind the rule; return the status. `{port}` stands for its port."""

    async def post() -> int:
        async def taken(_: web.Request) -> web.Response:
            return web.Response(status=202)

        app = web.Application()
        app.router.add_post("/", taken)
        runner = web.AppRunner(app)
        site_port = await free(runner, app)
        headers = {"Host": host.format(port=site_port), "Content-Type": content_type}
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"http://127.0.0.1:{site_port}/", data=b"{}", headers=headers) as answer,
            ):
                return answer.status
        finally:
            await runner.cleanup()

    return asyncio.run(post())


async def free(runner: web.AppRunner, app: web.Application) -> int:
    """Serve the application on a free port, with the rule for that port."""
    listening = socket.create_server(("127.0.0.1", 0))
    port: int = listening.getsockname()[1]
    app.middlewares.append(for_own_processes(port=port))
    await runner.setup()
    await web.SockSite(runner, listening).start()
    return port


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}"])
def test_a_process_of_ours_is_let_in(host):
    assert status_of(host=host) == 202


@pytest.mark.parametrize("host", ["rebound.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.:{port}"])
def test_another_host_is_refused(host):
    assert status_of(host=host) == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_a_form_can_send_is_refused(kind):
    assert status_of(content_type=kind) == 415


def test_the_end_of_a_port_does_not_wait_for_a_long_poll():
    async def story() -> None:
        begun = asyncio.Event()

        async def held(_: web.Request) -> web.Response:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError("nothing sets this event")

        app = web.Application()
        app.router.add_get("/", held)
        listening = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):  # aiohttp itself would wait for a minute
            async with served_to_own_processes(app, listening):
                poll = asyncio.create_task(session.get(url))
                await begun.wait()
            with pytest.raises(aiohttp.ClientError):
                await poll

    asyncio.run(story())
