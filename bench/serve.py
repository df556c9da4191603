"""The model server under load, next to its own offline rate and to a web server around `transformers.pipeline`.

    PYTHONPATH=api:server python bench/serve.py [--seconds 8] [--rounds 3] [--artifact DIR] [--texts CSV]

Servers and the offline loop run on core 0, clients on core 1, over loopback, one after the other. The peers are Starlette on uvicorn
(uvloop, httptools) in the four usual shapes (bench/serve_peer.py): what FastAPI runs on, without FastAPI's own work per request.
Each client keeps its connection, sends one text per request, and sends the next request once it was answered. `/core-s` is requests per
second of the server's CPU time: other load on the machine changes it less than requests per second.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".tuneloop" / "claims" / "demo"
SERVER_CORE, CLIENT_CORE = "0", 1
CLIENTS = (1, 8, 64)
TEXTS = 512
BATCH = 16
PEERS = ("thread pool", "inline", "one worker", "queue")


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The figures of a run."""

    rate: float
    per_core_second: float
    p50: float = 0.0
    p99: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """A server process and its port."""

    process: subprocess.Popen
    port: int


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
    parser.add_argument("--artifact", type=Path, help="default: the demo's MiniLM with a random head")
    parser.add_argument("--texts", type=Path, default=DEMO / "movie-reviews.csv", help="CSV with a column `sentence`")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    parser.add_argument("--clients", nargs="*", type=int, default=list(CLIENTS))
    parser.add_argument("--offline", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def demo_artifact(folder: Path) -> Path:
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from artifact import make_artifact

    make_artifact(folder, DEMO / "minilm", max_tokens=128)
    return folder


def sentences(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as file:
        rows = [row["sentence"] for row in csv.DictReader(file)]
    return random.Random(0).sample(rows, TEXTS)


# --- measuring -----------------------------------------------------------------------------------------------------------------------


def measure(arguments: argparse.Namespace, *, artifact: Path, folder: Path) -> None:
    texts = sentences(arguments.texts)
    offline = start(
        ["bench/serve.py", "--offline", "--artifact", str(artifact), "--texts", str(arguments.texts)], pipe=True
    )
    servers = {"tuneloop": start_tuneloop(artifact, folder)}
    for name in arguments.peers:
        servers[name] = start_peer(name, artifact)
    results: dict[tuple[str, int], list[Figures]] = {}
    try:
        for server in servers.values():
            wait_until_ready(server)
        for _ in range(arguments.rounds):
            results.setdefault(("offline", 0), []).append(measure_offline(offline, arguments.seconds))
            for clients in arguments.clients:
                for name, server in servers.items():
                    figures = asyncio.run(load(server, texts, clients=clients, seconds=arguments.seconds))
                    results.setdefault((name, clients), []).append(figures)
    finally:
        for process in (offline, *(server.process for server in servers.values())):
            process.send_signal(signal.SIGKILL)
            process.wait()
    report({key: median_of(runs) for key, runs in results.items()}, arguments)


def start(command: list[str], *, pipe: bool = False) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": "api:server"}
    stream = subprocess.PIPE if pipe else subprocess.DEVNULL
    return subprocess.Popen(
        ["taskset", "-c", SERVER_CORE, sys.executable, *command],
        cwd=ROOT,
        env=environment,
        stdin=stream,
        stdout=stream,
        stderr=subprocess.DEVNULL,
    )


def start_tuneloop(artifact: Path, folder: Path) -> RunningServer:
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
    path = folder / "server.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return RunningServer(process=start(["-m", "tuneloop_server", str(path)]), port=port)


def start_peer(shape: str, artifact: Path) -> RunningServer:
    port = free_port()
    command = ["bench/serve_peer.py", shape, str(port), str(artifact), str(BATCH)]
    return RunningServer(process=start(command), port=port)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(server: RunningServer, *, seconds: float = 120.0) -> None:
    import urllib.request

    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/readyz", timeout=5).read()
        except OSError:
            if time.monotonic() > deadline or server.process.poll() is not None:
                raise
            time.sleep(0.2)
        else:
            return


async def load(server: RunningServer, texts: list[str], *, clients: int, seconds: float) -> Figures:
    """Send for a while after a warm-up of a quarter of it; every answer must be 200."""
    latencies: list[float] = []
    counting = time.perf_counter() + seconds / 4
    end = counting + seconds
    tasks = [
        asyncio.create_task(client(server.port, texts, seed, latencies, counting=counting, end=end))
        for seed in range(clients)
    ]
    await asyncio.sleep(counting - time.perf_counter())
    cpu = cpu_seconds(server.process.pid)
    await asyncio.sleep(end - time.perf_counter())
    cpu = cpu_seconds(server.process.pid) - cpu
    await asyncio.wait_for(asyncio.gather(*tasks), timeout=60)
    latencies.sort()
    return Figures(
        rate=len(latencies) / seconds,
        per_core_second=len(latencies) / max(cpu, 1e-9),
        p50=latencies[len(latencies) // 2],
        p99=latencies[int(len(latencies) * 0.99)],
    )


async def client(
    port: int, texts: list[str], seed: int, latencies: list[float], *, counting: float, end: float
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    order = random.Random(seed)
    while (begin := time.perf_counter()) < end:
        body = json.dumps({"inputs": order.choice(texts)}).encode()
        writer.write(
            b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (port, len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"a request was not answered 200: {head[:80]!r}")
        if counting <= (now := time.perf_counter()) < end:
            latencies.append(now - begin)
    writer.close()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
        f"median of {arguments.rounds} rounds of {arguments.seconds:g} s; {TEXTS} texts, batches of at most {BATCH}, fp32, 1 core"
    )
    print(f"offline, sorted by length: {offline.rate:.1f} texts/s, {offline.per_core_second:.1f}/core-s\n")
    print(
        f"{'clients':>7}  {'server':<12} {'req/s':>7} {'/core-s':>8} {'p50 ms':>8} {'p99 ms':>8}  {'of offline':>10}  tuneloop is"
    )
    for clients in arguments.clients:
        tuneloop = results["tuneloop", clients]
        for (name, count), figures in results.items():
            if count == clients:
                comparison = (
                    ""
                    if name == "tuneloop"
                    else f"{tuneloop.rate / figures.rate:.2f} x, p99 {tuneloop.p99 / figures.p99:.2f} x"
                )
                print(
                    f"{clients:>7}  {name:<12} {figures.rate:>7.1f} {figures.per_core_second:>8.1f} {figures.p50 * 1e3:>8.1f} "
                    f"{figures.p99 * 1e3:>8.1f}  {figures.rate / offline.rate:>10.0%}  {comparison}"
                )


# --- the offline loop, which runs on the server's core --------------------------------------------------------------------------------------


def run_offline(arguments: argparse.Namespace) -> int:
    """For each line with seconds on stdin: tokenize and classify the texts, longest last; print texts per second of wall time and of CPU time."""
    from tuneloop_api.contract.server_config import ServerConfig
    from tuneloop_server.artifact import read_manifest
    from tuneloop_server.runtimes.torch_model import load as load_model
    from tuneloop_server.tasks import task_of

    config = ServerConfig(
        namespace="b", name="b", revision="b", artifact_path=str(arguments.artifact), artifact_uri="b"
    )
    manifest = read_manifest(config)
    model = load_model(config, manifest, task_of(config, manifest))
    texts = sentences(arguments.texts)
    for line in sys.stdin:
        begin, cpu, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - begin < float(line):
            encoded = sorted((window for (window,) in model.encode(texts)), key=len)
            for first in range(0, len(encoded), BATCH):
                done += len(model.predict(encoded[first : first + BATCH]))
        print(done / (time.perf_counter() - begin), done / (time.process_time() - cpu), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
