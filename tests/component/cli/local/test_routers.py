"""The router of a deployment as a process of this machine: its Envoy carries requests to small servers, by the split that the session publishes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from local_node import alive, eventually, log_of, play
from node_sessions import all_running, running_session, stored, until
from required import skip_or_fail
from routed_node import ask, revision, routed, router, runtime_folder

from tuneloop_cli.local.node import LocalNode
from tuneloop_router.binary import find_envoy
from tuneloop_router.errors import CannotRun


@pytest.fixture(autouse=True, scope="module")
def envoy() -> str:
    try:
        return find_envoy(None)
    except CannotRun as error:
        skip_or_fail(str(error))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_requests_go_by_the_router_which_follows_the_session_and_lets_no_web_page_in(tmp_path):
    port = free_port()

    async def story(node):
        async with routed(node, "stable", "canary") as found:
            assert found.url == f"http://127.0.0.1:{port}"
            assert port not in found.ports().values()
            await found.publish(2, stable=100)
            assert await ask(found.url) == (200, "stable")
            await found.publish(3, canary=100, stable=0)
            assert await ask(found.url) == (200, "canary")
            assert await ask(found.url, host=f"localhost:{port}") == (200, "canary")
            for host in (f"rebound.example:{port}", f"127.0.0.1:{found.ports()['canary']}"):
                status, text = await ask(found.url, host=host)
                assert (status, "canary" in text) == (403, False)

    play(tmp_path, story, serve_port=port)


def test_a_canary_that_dies_is_replaced_by_stable_without_a_word_of_the_session(tmp_path):
    async def story(node):
        async with routed(node, "stable", "canary") as found:
            await found.publish(2, canary=100, stable=0)
            assert await ask(found.url) == (200, "canary")
            (process,) = alive([found.pod("canary")["metadata"]["uid"]])
            process.kill()
            assert await ask(found.url) == (200, "stable")

    play(tmp_path, story)


def test_when_the_session_ends_the_router_drains_before_the_servers_end_and_nothing_is_left(tmp_path):
    async def whole():
        async with LocalNode(tmp_path) as node:
            node.start()
            async with routed(node, "stable") as found:
                await found.publish(2, stable=100)
                pods = [found.pod("stable"), found.pod("router")]
                folder = Path(runtime_folder(tmp_path, found.pod("router")))
                assert modes([folder]) == {0o700}
                answer = asyncio.create_task(ask(found.url, "/2"))
                log = log_of(tmp_path, pods[0])
                await eventually(lambda: "begun" in log.read_text(), "a request in flight")
            url = found.url
        assert await answer == (200, "stable")
        return url, pods, folder, log.read_text()

    url, pods, folder, log = asyncio.run(whole())
    assert not alive(pod["metadata"]["uid"] for pod in pods)
    assert not folder.exists()
    assert log.splitlines() == ["begun", "answered", "told to end"]
    with socket.socket() as link:
        assert link.connect_ex(("127.0.0.1", urlsplit(url).port)) != 0
    ends = {
        pod["metadata"]["labels"].get("tuneloop.dev/component", "server"): pod["status"]["containerStatuses"][0]
        for pod in stored(tmp_path)
    }
    exits = {name: status["state"]["terminated"] for name, status in ends.items()}
    assert {name: end["exitCode"] for name, end in exits.items()} == {"router": 0, "server": 0}


def test_a_router_of_a_killed_session_is_gone_and_the_next_session_begins_without_it(tmp_path):
    objects = [*revision("stable"), *router("http://127.0.0.1:1")]
    with running_session(tmp_path, *objects):
        uids = all_running(tmp_path, pods=2)
        until(lambda: any("envoy" in process.name() for process in alive(uids)), "Envoy runs")
        (pod,) = [pod for pod in stored(tmp_path) if pod["metadata"]["name"].startswith("reviews-router-")]
        folder = Path(runtime_folder(tmp_path, pod))
        until((folder / "admin.sock").exists, "its socket")
    until(lambda: not alive(uids), "the end of all")
    assert folder.exists()

    async def nothing(node):
        assert not [
            name
            for kind in ("Deployment", "ConfigMap", "Pod")
            for name in names(node.cluster.all(kind))
            if "router" in name
        ]
        assert names(node.cluster.all("Deployment")) == ["reviews-stable"]

    play(tmp_path, nothing)
    assert not folder.exists()
    assert not list((tmp_path / "runtime").iterdir())


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def modes(files) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in files}


def names(manifests) -> list[str]:
    return [manifest["metadata"]["name"] for manifest in manifests]


def test_a_router_that_is_killed_starts_again_in_the_same_place(tmp_path):
    async def story(node):
        async with routed(node, "stable") as found:
            await found.publish(2, stable=100)
            url, uid = found.url, found.pod("router")["metadata"]["uid"]
            first = next(process for process in alive([uid]) if "envoy" in process.name())
            os.kill(first.pid, signal.SIGKILL)
            await eventually(lambda: not psutil.pid_exists(first.pid), "the end of Envoy")

            def restarted():
                (status,) = found.pod("router")["status"]["containerStatuses"]
                return status["restartCount"] == 1 and status["ready"]

            await eventually(restarted, "the restart")
            await eventually(lambda: found.url == url, "the same address")
            assert await ask(url) == (200, "stable")

    play(tmp_path, story)


def test_the_token_and_the_configuration_of_a_router_are_for_its_user_alone(tmp_path):
    async def story(node):
        async with routed(node, "stable") as found:
            folder = Path(runtime_folder(tmp_path, found.pod("router")))
            assert modes([*files_in(folder), node.folders.secrets / "token"]) == {0o600}
            settings = json.loads((node.folders.pod(found.pod("router")) / "config/router.json").read_text())
            assert settings["folder"] == str(folder)

    play(tmp_path, story)
