"""How a server starts and ends: it drains; a port in use, slow loading and a bad configuration have exit codes of their own."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from itertools import cycle

import httpx
import pytest
from server_process import (
    DEADLINE,
    ROOT,
    Server,
    configuration,
    run_to_its_end,
    running_fork,
    start_process,
    wait_for_status,
    word_salads,
)

from tuneloop_api.contract.exit_codes import ExitCode


def test_drain_under_load_loses_nothing(artifact, tmp_path):
    config = configuration(artifact.folder, batching={"max_queue": 4096}, drain_seconds=30)
    with running_fork(config, tmp_path) as server:
        statuses, long = asyncio.run(load_until_stopped(server))
        assert server.process.wait(timeout=DEADLINE) == 0
        assert set(statuses) == {200}
        assert (long.status_code, len(long.json())) == (200, 1000)


async def load_until_stopped(server) -> tuple[list[int], httpx.Response]:
    """Sixteen clients ask until a response closes their connection; one sends a large request; meanwhile the server gets SIGTERM."""
    statuses: list[int] = []
    warm = asyncio.Event()

    async def client(seed: int) -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=DEADLINE) as http:
            for sentence in cycle(word_salads(200, longest=12, seed=seed)):
                response = await http.post("/", json={"inputs": sentence})
                statuses.append(response.status_code)
                if len(statuses) >= 100:
                    warm.set()
                if response.headers.get("connection") == "close":
                    return

    tasks = [asyncio.create_task(client(seed)) for seed in range(16)]
    await asyncio.wait_for(warm.wait(), timeout=DEADLINE)
    async with httpx.AsyncClient(base_url=server.url, timeout=DEADLINE) as probe:
        long = asyncio.create_task(probe.post("/", json={"inputs": word_salads(1000, longest=12)}))
        async with asyncio.timeout(DEADLINE):
            while (await asyncio.to_thread(server.metrics))["tuneloop_queue_requests",] < 500:  # noqa: ASYNC110  (as below)
                await asyncio.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            while (ready := await probe.get("/readyz")).status_code == 200:  # noqa: ASYNC110  (the event is in another process)
                await asyncio.sleep(0.01)
        assert ready.json() == {"error": "the server is being stopped"}
        answered = await asyncio.wait_for(long, timeout=DEADLINE)
    await asyncio.wait_for(asyncio.gather(*tasks), timeout=DEADLINE)
    return statuses, answered


def test_sigterm_while_loading_ends_with_code_0(artifact, tmp_path):
    config = configuration(artifact.folder)
    process, log = start_process(config, tmp_path)
    try:
        wait_for_status(Server(process, f"http://127.0.0.1:{config.port}", log), "/healthz", 200)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=DEADLINE) == 0
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()


def test_a_port_in_use_ends_the_server_with_one_line(artifact, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, log = run_to_its_end(configuration(artifact.folder, port=port), tmp_path)
    assert code == ExitCode.CONFIG
    assert log.splitlines() == [
        f"tuneloop-server: cannot listen on 127.0.0.1 port {port} (Address already in use); stop what uses the port, or choose another"
    ]


def test_loading_longer_than_allowed_ends_the_server_with_one_line(artifact, tmp_path):
    code, log = run_to_its_end(configuration(artifact.folder, startup_seconds=0), tmp_path)
    assert code == ExitCode.HANG
    assert "the model was not loaded within 0 s (lifecycle.startup)" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("{", "is not JSON", id="half a document"),
        pytest.param("{}", "namespace: Field required", id="fields missing"),
        pytest.param('{"host": 8}', "server.json: ", id="wrong type"),
    ],
)
def test_a_bad_configuration_ends_the_server_with_one_line(tmp_path, content, message, monkeypatch, capsys):
    from tuneloop_server.__main__ import main

    path = tmp_path / "server.json"
    path.write_text(content)
    monkeypatch.setattr("sys.argv", ["tuneloop_server", str(path)])
    assert main() == ExitCode.CONFIG
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_importing_the_server_does_not_import_torch():
    code = "import sys, tuneloop_server.__main__; sys.exit('torch' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], check=False, env={"PYTHONPATH": "api:server"}, cwd=ROOT, timeout=DEADLINE
    )
    assert ended.returncode == 0
