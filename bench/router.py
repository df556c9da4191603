"""The router of a roll-out next to HAProxy: added latency, and requests per second of one core.

    PYTHONPATH=api:server python bench/router.py [--seconds 5] [--rounds 3]

Both give 25 % of the requests to one revision and 75 % to another, check the health of both, try again what was not answered, write the revision and a
request id into headers, and write a line of log for each request. The router also keeps users with their revision, limits bodies and counts by revision.
Proxies run on core 0. The model is another HAProxy that answers at once; the model and the clients (wrk) run on core 1. Rounds are interleaved, and each
figure is the median of its rounds. Processor time for each request changes little with other load on the machine; requests a second do.

Needs the programs `haproxy` and `wrk` (Debian: packages of the same names) and Envoy (the extra `router`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PROXY_CORE, CLIENT_CORE = "0", "1"
CONNECTIONS = (1, 64)
BODY_CHARACTERS = 180
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}

MODEL = """
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 1s
frontend model
  bind 127.0.0.1:{port}
  http-request return status 200 content-type application/json string '[[{{"label":"positive","score":0.98}},{{"label":"negative","score":0.02}}]]'
"""
PEER = """
global
  nbthread 1
  maxconn 4096
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  http-reuse always
  option redispatch
  retries 2
  retry-on conn-failure empty-response 503
frontend clients
  bind 127.0.0.1:{port}
  http-request set-header x-request-id %[uuid()]
  http-response set-header x-tuneloop-revision %s
  default_backend revisions
backend revisions
  balance random
  option httpchk GET /readyz
  server canary 127.0.0.1:{model} weight 25 check inter 1s
  server stable 127.0.0.1:{model} weight 75 check inter 1s
"""
REQUEST = """
wrk.method = "POST"
wrk.body = '{"inputs": "' .. string.rep("a", CHARACTERS) .. '"}'
wrk.headers["content-type"] = "application/json"
wrk.headers["x-user"] = "user-17"
"""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The figures of a run."""

    rate: float
    """Requests a second."""
    p50: float
    """Milliseconds."""
    p99: float
    processor_microseconds: float
    """Processor time of the proxy, for each request; 0 without a proxy."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """A port that leads to the model, and the process on the way."""

    port: int
    pid: int | None


def main() -> int:
    arguments = _arguments()
    if missing := [name for name in ("haproxy", "wrk", "taskset") if shutil.which(name) is None]:
        print(f"not on PATH: {', '.join(missing)}. On Debian: apt-get install haproxy wrk util-linux", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="tuneloop-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        ways = {way: stack.enter_context(started) for way, started in _started(folder)}
        script = folder / "request.lua"
        script.write_text(REQUEST.replace("CHARACTERS", str(BODY_CHARACTERS)))
        runs: dict[tuple[str, int], list[Figures]] = {}
        for _ in range(arguments.rounds):
            for connections in CONNECTIONS:
                for way, found in ways.items():
                    figures = measure(found, connections=connections, seconds=arguments.seconds, script=script)
                    runs.setdefault((way, connections), []).append(figures)
    report({key: median_of(found) for key, found in runs.items()}, arguments)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


# --- the ways to the model ---------------------------------------------------------------------------------------------------------------


def _started(folder: Path) -> Iterator[tuple[str, contextlib.AbstractContextManager[Way]]]:
    """Yield each way by its name; the model must be entered before the others."""
    model = free_port()
    yield (
        "direct",
        haproxy(CLIENT_CORE, MODEL.format(port=model), port=model, file=folder / "model.cfg", is_proxy=False),
    )
    peer = free_port()
    yield "HAProxy", haproxy(PROXY_CORE, PEER.format(port=peer, model=model), port=peer, file=folder / "peer.cfg")
    yield "router", router(folder / "router", model)


@contextlib.contextmanager
def haproxy(core: str, configuration: str, *, port: int, file: Path, is_proxy: bool = True) -> Iterator[Way]:
    file.write_text(configuration)
    with running(core, "haproxy", "-db", "-f", str(file)) as process:
        wait_for(port)
        yield Way(port=port, pid=process.pid if is_proxy else None)


@contextlib.contextmanager
def router(folder: Path, model: int) -> Iterator[Way]:
    """A router of ours; its Envoy is the process that counts."""
    folder.mkdir()
    revisions = [
        {"name": name, "host": "127.0.0.1", "port": model, "weight": weight}
        for name, weight in (("canary", 25), ("stable", 75))
    ]
    sticky = {"header": "x-user", "salt": "rollout-1"}
    split = {"generation": 1, "deployment": "bench", "revisions": revisions, "sticky": sticky}
    (folder / "split.json").write_text(json.dumps(split))
    port, metrics_port = free_port(), free_port()
    settings = {
        "deployment": "bench",
        "folder": str(folder / "run"),
        "splitPath": str(folder / "split.json"),
        "host": "127.0.0.1",
        "port": port,
        "metricsPort": metrics_port,
        "quietSeconds": 0,
        "drainSeconds": 1,
    }
    (folder / "router.json").write_text(json.dumps(settings))
    with running(PROXY_CORE, sys.executable, "-m", "tuneloop_router", str(folder / "router.json")) as started:
        wait_for(metrics_port, path="/readyz")
        (envoy,) = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        yield Way(port=port, pid=int(envoy))


@contextlib.contextmanager
def running(core: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program on one core."""
    process = subprocess.Popen(["taskset", "-c", core, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, *, path: str = "/", seconds: float = 30.0) -> None:
    """Wait until a server answers 200."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


# --- measuring ---------------------------------------------------------------------------------------------------------------------------


def measure(way: Way, *, connections: int, seconds: int, script: Path) -> Figures:
    """Send requests as fast as they are answered; every answer must be 2xx."""
    before = 0.0 if way.pid is None else cpu_seconds(way.pid)
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    output = subprocess.run(
        ["taskset", "-c", CLIENT_CORE, "wrk", *options, f"http://127.0.0.1:{way.port}/predict"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if found := re.search(r"Non-2xx.*|Socket errors.*", output):
        raise RuntimeError(f"requests were not answered 2xx: {found[0]}")
    used = 0.0 if way.pid is None else cpu_seconds(way.pid) - before
    return Figures(
        rate=float(_found(r"Requests/sec:\s+([\d.]+)", output)[1]),
        p50=_percentile(50, output),
        p99=_percentile(99, output),
        processor_microseconds=used / int(_found(r"(\d+) requests in", output)[1]) * 1e6,
    )


def _found(pattern: str, output: str) -> re.Match[str]:
    found = re.search(pattern, output)
    if found is None:
        raise RuntimeError(f"wrk printed no {pattern}: {output}")
    return found


def _percentile(percent: int, output: str) -> float:
    value, unit = _found(rf"{percent}%\s+([\d.]+)(us|ms|s)", output).groups()
    return float(value) * _MILLISECONDS[unit]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def median_of(runs: list[Figures]) -> Figures:
    return Figures(
        **{name: statistics.median(getattr(run, name) for run in runs) for name in Figures.__dataclass_fields__}
    )


def report(results: dict[tuple[str, int], Figures], arguments: argparse.Namespace) -> None:
    print(
        f"median of {arguments.rounds} rounds of {arguments.seconds} s; bodies of {BODY_CHARACTERS} characters; added: to the direct way"
    )
    print(
        f"{'connections':>11}  {'way':<8} {'req/s':>7} {'added p50 ms':>13} {'added p99 ms':>13} {'CPU us/req':>11} {'req/core-s':>11}  to HAProxy"
    )
    for connections in CONNECTIONS:
        direct, peer = results["direct", connections], results["HAProxy", connections]
        for (way, count), figures in results.items():
            if count != connections:
                continue
            used = figures.processor_microseconds
            cost = f"{used:>11.1f} {1e6 / used:>11.0f}" if used else f"{'':>11} {'':>11}"
            ratio = f"{used / peer.processor_microseconds:.2f} x CPU" if way == "router" else ""
            print(
                f"{connections:>11}  {way:<8} {figures.rate:>7.0f} {figures.p50 - direct.p50:>13.2f} {figures.p99 - direct.p99:>13.2f} {cost}  {ratio}"
            )


if __name__ == "__main__":
    sys.exit(main())
