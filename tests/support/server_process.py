"""Starts real server processes for tests, and talks to them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from fork_server import Fork, Preloaded, fork
from free_ports import free_port
from stand_ins import SERVER_MODULES
from tiny_models import WORDS

from tuneloop_api.contract.server_config import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.contract.artifact import Manifest

ROOT = Path(__file__).parents[2]
DEADLINE = 120.0
SERVER = Preloaded(
    SERVER_MODULES,
    python_path=f"{ROOT}/api:{ROOT}/server",
    variables=(("OMP_NUM_THREADS", "1"), ("HF_HUB_OFFLINE", "1"), ("TOKENIZERS_PARALLELISM", "false")),
)


@dataclass(frozen=True)
class Artifact:
    folder: Path
    manifest: Manifest


@dataclass
class Server:
    """A server process; `log` grows while it runs."""

    process: subprocess.Popen | Fork
    url: str
    log: Path
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=DEADLINE, headers={"content-type": "application/json"})

    def ask(self, document: object) -> httpx.Response:
        return self.client.post("/predict", json=document)

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Samples by name and the labels that differ between series."""
        from prometheus_client.parser import text_string_to_metric_families

        text = self.client.get("/metrics").text
        return {
            (
                sample.name,
                *(v for k, v in sorted(sample.labels.items()) if k not in {"deployment", "revision", "task"}),
            ): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def feature_counts(self) -> dict[str, list[int]]:
        """Return the counts of the bins of each feature."""
        series = {key[1:]: value for key, value in self.metrics().items() if key[0] == "tuneloop_feature_bin_total"}
        sizes = {feature: sum(name == feature for _, name in series) for _, feature in series}
        return {feature: [int(series[str(place), feature]) for place in range(size)] for feature, size in sizes.items()}

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=DEADLINE)


def configuration(artifact: Path, **changes: object) -> ServerConfig:
    return ServerConfig.model_validate(
        {
            "namespace": "team",
            "name": "reviews",
            "revision": "abc123",
            "artifact_path": str(artifact),
            "artifact_uri": "pvc://models/reviews",
            "host": "127.0.0.1",
            "port": free_port(),
        }
        | changes
    )


def start_process(config: ServerConfig, folder: Path) -> tuple[subprocess.Popen, Path]:
    """Start a server as a pod does, with all its imports."""
    path, log = _write(config, folder), folder / "log"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/api:{ROOT}/server", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tuneloop_server", str(path)], stderr=output, stdout=output, env=environment
        )
    return process, log


def fork_process(config: ServerConfig, folder: Path, *, files: int | None = None) -> tuple[Fork, Path]:
    """Start a server that has imported what it needs. files: that it may open, without a right to more."""
    path, log = _write(config, folder), folder / "log"
    log.write_bytes(b"")
    return fork(SERVER, "tuneloop_server", str(path), log=log, files=files), log


def _write(config: ServerConfig, folder: Path) -> Path:
    path = folder / "server.json"
    path.write_text(json.dumps(config.to_wire()), encoding="utf-8")
    return path


@contextmanager
def running(config: ServerConfig, folder: Path) -> Iterator[Server]:
    """A server that was started as in a pod, and is ready; killed at the end if it still runs."""
    with _ready(config, *start_process(config, folder)) as server:
        yield server


@contextmanager
def running_fork(config: ServerConfig, folder: Path, *, files: int | None = None) -> Iterator[Server]:
    """The same, four seconds of work cheaper: see `fork_process`."""
    with _ready(config, *fork_process(config, folder, files=files)) as server:
        yield server


@contextmanager
def _ready(config: ServerConfig, process: subprocess.Popen | Fork, log: Path) -> Iterator[Server]:
    server = Server(process, f"http://127.0.0.1:{config.port}", log)
    try:
        wait_for_status(server, "/readyz", 200)
        yield server
    finally:
        server.client.close()
        process.kill()
        process.wait()


def wait_for_status(server: Server, path: str, status: int) -> httpx.Response:
    deadline = time.monotonic() + DEADLINE
    while True:
        assert server.process.poll() is None, server.log.read_text()
        try:
            response = server.client.get(path)
        except httpx.ConnectError:
            response = None
        if response is not None and response.status_code == status:
            return response
        assert time.monotonic() < deadline, f"{path} did not become {status}"
        time.sleep(0.05)


def run_to_its_end(config: ServerConfig, folder: Path) -> tuple[int, str]:
    """Start a server that must end by itself; returns its exit code and what it printed."""
    process, log = start_process(config, folder)
    try:
        return process.wait(timeout=DEADLINE), log.read_text()
    finally:
        process.kill()


def word_salads(count: int, *, longest: int = 30, seed: int = 0) -> list[str]:
    """Texts of words that the tiny model knows, of 0 to `longest` words."""
    source = random.Random(seed)
    return [" ".join(source.choices(WORDS, k=source.randint(0, longest))) for _ in range(count)]
