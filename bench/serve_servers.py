"""The servers that `serve.py` measures: ours, web servers around a pipeline, Infinity. All run on core 0."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from serve_load import wait_until_ready

ROOT = Path(__file__).resolve().parent.parent
SERVER_CORE = "0"
BATCH = 16
PIPELINE_PEERS = ("thread pool", "inline", "one worker", "queue")


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """A server process and its port."""

    process: subprocess.Popen
    port: int
    ready_path: str = "/readyz"

    def wait_until_ready(self) -> None:
        """Wait for five minutes at most."""
        url = f"http://127.0.0.1:{self.port}{self.ready_path}"
        wait_until_ready(url, ended=lambda: self.process.poll() is not None)


def start(
    command: list[str],
    *,
    pipe: bool = False,
    program: str = sys.executable,
    environment: dict[str, str] | None = None,
    checkout: Path = ROOT,
) -> subprocess.Popen:
    """Start a program on the servers' core, in a checkout. pipe: its standard input and output are pipes."""
    fixed = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": "api:server"}
    stream = subprocess.PIPE if pipe else subprocess.DEVNULL
    return subprocess.Popen(
        ["taskset", "-c", SERVER_CORE, program, *command],
        cwd=checkout,
        env=os.environ | fixed | (environment or {}),
        stdin=stream,
        stdout=stream,
        stderr=subprocess.DEVNULL,
    )


def start_tuneloop(artifact: Path, folder: Path, *, checkout: Path = ROOT) -> RunningServer:
    """Start the server of a checkout. folder: takes its configuration."""
    port = free_port()
    config = {
        "version": 1,
        "namespace": "bench",
        "name": "bench",
        "revision": "bench",
        "host": "127.0.0.1",
        "port": port,
    }
    config |= {"artifactPath": str(artifact), "artifactUri": f"file://{artifact}", "batching": {"maxBatchSize": BATCH}}
    path = folder / f"server-{port}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return RunningServer(process=start(["-m", "tuneloop_server", str(path)], checkout=checkout), port=port)


def start_pipeline(shape: str, artifact: Path) -> RunningServer:
    port = free_port()
    command = ["bench/serve_peer.py", shape, str(port), str(artifact), str(BATCH)]
    return RunningServer(process=start(command), port=port)


def start_infinity(venv: Path, artifact: Path, folder: Path) -> RunningServer:
    """Start Infinity on the encoder of the artifact, with torch in float32. It sends no statistics of its use, and asks no hub."""
    port = free_port()
    model = encoder(artifact / "model", folder / "encoder")
    command = ["v2", "--model-id", str(model), "--host", "127.0.0.1", "--port", str(port), "--url-prefix", "/v1"]
    command += ["--engine", "torch", "--device", "cpu", "--dtype", "float32", "--no-bettertransformer"]
    command += ["--batch-size", str(BATCH), "--no-model-warmup"]
    offline = {"DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    process = start(command, program=str(venv / "bin" / "infinity_emb"), environment=offline)
    return RunningServer(process=process, port=port, ready_path="/health")


def encoder(model: Path, folder: Path) -> Path:
    """Fill a folder with links to a classifier's files; its configuration names no classifier, so that Infinity makes embeddings with it."""
    folder.mkdir()
    for file in model.iterdir():
        if file.name != "config.json":
            (folder / file.name).symlink_to(file.resolve())
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = [name.replace("ForSequenceClassification", "Model") for name in config["architectures"]]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
