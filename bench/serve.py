"""The model server under load, next to its own offline rate and to other servers.

    PYTHONPATH=api:server python bench/serve.py [--seconds 8] [--rounds 3] [--artifact DIR] [--clients 1,8,64,256] [--texts short|long|mixed]
    PYTHONPATH=api:server python bench/serve.py --api embeddings    # against Infinity
    git worktree add --detach ../before main; PYTHONPATH=api:server python bench/serve.py --before ../before    # against another commit as well

Servers and the offline loop run on core 0, clients on core 1, over loopback, one after the other. The peers of `--api predict` are Starlette on uvicorn
(uvloop, httptools) around `transformers.pipeline` in the four usual shapes (bench/serve_peer.py): what FastAPI runs on, without FastAPI's own work per request.
The peer of `--api embeddings` is Infinity, in a virtual environment of its own, since it needs older libraries. It is left out where there is none:

    python -m venv .tuneloop/infinity && .tuneloop/infinity/bin/pip install 'infinity-emb[torch,server]==0.0.78'    # or --infinity FOLDER

Each client keeps its connection, sends one text per request, and sends the next request once it was answered. `/core-s` is requests per
second of the server's CPU time, and `cpu p99` the CPU time of the server between request and answer: other load on the machine changes them
less than requests per second and p99.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import select
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from serve_load import APIS, TEXTS, Figures, load, texts_of
from serve_servers import (
    BATCH,
    PIPELINE_PEERS,
    ROOT,
    RunningServer,
    start,
    start_infinity,
    start_pipeline,
    start_tuneloop,
)

if TYPE_CHECKING:
    import subprocess

DEMO = ROOT / ".tuneloop" / "claims" / "demo"
CLIENT_CORE = 1
KINDS_OF_TEXTS = ("short", "long", "mixed")
PEERS = {"predict": PIPELINE_PEERS, "embeddings": ("infinity",)}


def main() -> int:
    arguments = _arguments()
    if arguments.offline:
        return run_offline(arguments)
    os.sched_setaffinity(0, {CLIENT_CORE})
    with tempfile.TemporaryDirectory(prefix="tuneloop-bench-") as folder:
        artifact = arguments.artifact or demo_artifact(Path(folder) / "artifact")
        measure(arguments, artifact=artifact, folder=Path(folder))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--artifact", type=Path, help="default: the demo's MiniLM with a random head, at most 128 tokens"
    )
    parser.add_argument(
        "--sentences", type=Path, default=DEMO / "movie-reviews.csv", help="CSV with a column `sentence`"
    )
    parser.add_argument("--texts", choices=KINDS_OF_TEXTS, default="short", help="see serve_load.py")
    parser.add_argument("--api", choices=APIS, default="predict")
    parser.add_argument("--peers", nargs="*", choices=[name for names in PEERS.values() for name in names])
    parser.add_argument("--clients", type=lambda text: [int(part) for part in text.split(",")], default=[1, 8, 64, 256])
    parser.add_argument("--before", type=Path, help="another checkout, whose server is measured in the same rounds")
    parser.add_argument("--infinity", type=Path, default=ROOT / ".tuneloop" / "infinity", help="virtual environment")
    parser.add_argument("--offline", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def demo_artifact(folder: Path) -> Path:
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from artifact import make_artifact

    make_artifact(folder, DEMO / "minilm", max_tokens=128)
    return folder


# --- measuring -----------------------------------------------------------------------------------------------------------------------


def measure(arguments: argparse.Namespace, *, artifact: Path, folder: Path) -> None:
    texts = texts_of(arguments.texts, arguments.sentences, artifact=artifact)
    asked = ["--artifact", str(artifact), "--sentences", str(arguments.sentences)]
    asked += ["--texts", arguments.texts, "--api", arguments.api]
    offline = start(["bench/serve.py", "--offline", *asked], pipe=True)
    servers = {"tuneloop": start_tuneloop(artifact, folder)}
    if arguments.before:
        servers["before"] = start_tuneloop(artifact, folder, checkout=arguments.before)
    servers |= started_peers(arguments, artifact, folder)
    results: dict[tuple[str, int], list[Figures]] = {}
    try:
        for server in servers.values():
            server.wait_until_ready()
        for _ in range(arguments.rounds):
            results.setdefault(("offline", 0), []).append(measure_offline(offline, arguments.seconds))
            for clients in arguments.clients:
                for name, server in servers.items():
                    results.setdefault((name, clients), []).append(under_load(server, texts, arguments, clients))
    finally:
        for process in (offline, *(server.process for server in servers.values())):
            process.send_signal(signal.SIGKILL)
            process.wait()
    report({key: median_of(runs) for key, runs in results.items()}, arguments)


def started_peers(arguments: argparse.Namespace, artifact: Path, folder: Path) -> dict[str, RunningServer]:
    names = PEERS[arguments.api] if arguments.peers is None else arguments.peers
    servers = {name: start_pipeline(name, artifact) for name in names if name in PIPELINE_PEERS}
    if "infinity" in names and (arguments.infinity / "bin" / "infinity_emb").exists():
        servers["infinity"] = start_infinity(arguments.infinity, artifact, folder)
    elif "infinity" in names:
        print(f"Infinity is left out: {arguments.infinity} has no bin/infinity_emb; --help says how to install it\n")
    return servers


def under_load(server: RunningServer, texts: list[str], arguments: argparse.Namespace, clients: int) -> Figures:
    api, seconds = APIS[arguments.api], arguments.seconds
    return asyncio.run(load(server.port, server.process.pid, texts, api=api, clients=clients, seconds=seconds))


def measure_offline(process: subprocess.Popen, seconds: float) -> Figures:
    process.stdin.write(f"{seconds}\n".encode())
    process.stdin.flush()
    if not select.select([process.stdout], [], [], seconds * 4 + 120)[0]:
        raise RuntimeError("the offline loop does not answer")
    rate, per_core_second = process.stdout.readline().split()
    return Figures(rate=float(rate), per_core_second=float(per_core_second))


def median_of(runs: list[Figures]) -> Figures:
    return Figures(
        **{name: statistics.median(getattr(run, name) for run in runs) for name in Figures.__dataclass_fields__}
    )


def report(results: dict[tuple[str, int], Figures], arguments: argparse.Namespace) -> None:
    offline = results["offline", 0]
    print(
        f"{arguments.api}, {arguments.texts} texts: median of {arguments.rounds} rounds of {arguments.seconds:g} s; {TEXTS} texts, "
        f"batches of at most {BATCH}, fp32, 1 core"
    )
    print(f"offline, sorted by length: {offline.rate:.1f} texts/s, {offline.per_core_second:.1f}/core-s\n")
    columns = ("req/s", "/core-s", "p50 ms", "p99 ms", "cpu p99 ms", "of offline", "/core-s of offline")
    print(f"{'clients':>7}  {'server':<12}" + "".join(f" {column:>{max(8, len(column))}}" for column in columns))
    for clients in arguments.clients:
        tuneloop = results["tuneloop", clients]
        for (name, count), figures in results.items():
            if count == clients:
                print(
                    f"{clients:>7}  {name:<12} {figures.rate:>8.1f} {figures.per_core_second:>8.1f} {figures.p50 * 1e3:>8.1f} {figures.p99 * 1e3:>8.1f} {figures.cpu_p99 * 1e3:>10.1f} "
                    f"{figures.rate / offline.rate:>10.0%} {figures.per_core_second / offline.per_core_second:>18.0%}  {compared(name, tuneloop, figures)}"
                )


def compared(name: str, tuneloop: Figures, peer: Figures) -> str:
    if name == "tuneloop":
        return ""
    return f"tuneloop: {tuneloop.rate / peer.rate:.2f} x the requests, {tuneloop.p99 / peer.p99:.2f} x the p99 (cpu {tuneloop.cpu_p99 / peer.cpu_p99:.2f})"


# --- the offline loop, which runs on the server's core --------------------------------------------------------------------------------------


def run_offline(arguments: argparse.Namespace) -> int:
    """For each line with seconds on stdin: tokenize and compute the texts, longest last; print texts per second of wall time and of CPU time."""
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.artifact import read_manifest
    from tuneloop_server.runtimes.torch_model import load as load_model
    from tuneloop_server.tasks import task_of

    config = ServerConfig(
        namespace="b", name="b", revision="b", artifact_path=str(arguments.artifact), artifact_uri="b"
    )
    manifest = read_manifest(config)
    model = load_model(config, manifest, task_of(config, manifest))
    texts = texts_of(arguments.texts, arguments.sentences, artifact=arguments.artifact)
    for line in sys.stdin:
        begin, cpu, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - begin < float(line):
            encoded = sorted((window for (window,) in model.encode(texts)), key=len)
            if arguments.api == "embeddings":
                encoded = [replace(window, output="embedding") for window in encoded]
            for first in range(0, len(encoded), BATCH):
                done += len(model.predict(encoded[first : first + BATCH]))
        print(done / (time.perf_counter() - begin), done / (time.process_time() - cpu), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
