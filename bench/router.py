"""The router of a roll-out next to HAProxy and to Envoy alone: added latency, and requests per second of one core.

    PYTHONPATH=api:server python bench/router.py [--seconds 5] [--rounds 3]

direct        the model, without a proxy
HAProxy       the router's work for a request where HAProxy can do it: a revision by the hash of the user in the shares 25 % and 75 %, health checks,
              requests without an answer are tried again, the whole body is read before a request goes on, limits of body and path, a request id,
              the revision in a header, a line of JSON with the router's fields
Envoy, bare   one of two clusters by weight, and nothing else: what the router pays for Envoy itself
router        the router; beyond HAProxy's work it counts by revision, repeats what a server asks to repeat, and falls back from one revision to the other

Proxies run on core 0 (bench/router_ways.py). The model is another HAProxy that answers at once; the model and the clients (wrk) run on core 1. Rounds are
interleaved, and each figure is the median of its rounds. Processor time for each request changes little with other load on the machine; requests a second do.

Needs the programs `haproxy` and `wrk` (Debian: packages of the same names) and Envoy (the extra `router`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from router_ways import CLIENT_CORE, Way, ways

CONNECTIONS = (1, 64)
BODY_CHARACTERS = 180
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_TICKS = os.sysconf("SC_CLK_TCK")

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
    kernel_microseconds: float
    """The part of it that the kernel took."""


def main() -> int:
    arguments = _arguments()
    if missing := [name for name in ("haproxy", "wrk", "taskset") if shutil.which(name) is None]:
        print(f"not on PATH: {', '.join(missing)}. On Debian: apt-get install haproxy wrk util-linux", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="tuneloop-bench-") as path, contextlib.ExitStack() as stack:
        folder = Path(path)
        started = {name: stack.enter_context(way) for name, way in ways(folder)}
        script = folder / "request.lua"
        script.write_text(REQUEST.replace("CHARACTERS", str(BODY_CHARACTERS)))
        runs: dict[tuple[str, int], list[Figures]] = {}
        for _ in range(arguments.rounds):
            for connections in CONNECTIONS:
                for name, way in started.items():
                    figures = measure(way, connections=connections, seconds=arguments.seconds, script=script)
                    runs.setdefault((name, connections), []).append(figures)
    report({key: median_of(found) for key, found in runs.items()}, arguments)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def measure(way: Way, *, connections: int, seconds: int, script: Path) -> Figures:
    """Send requests as fast as they are answered; every answer must be 2xx."""
    before = processor_seconds(way.pid)
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    output = subprocess.run(
        ["taskset", "-c", CLIENT_CORE, "wrk", *options, f"http://127.0.0.1:{way.port}/predict"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if found := re.search(r"Non-2xx.*|Socket errors.*", output):
        raise RuntimeError(f"requests were not answered 2xx: {found[0]}")
    used, of_kernel = (after - begin for after, begin in zip(processor_seconds(way.pid), before, strict=True))
    requests = int(_found(r"(\d+) requests in", output)[1])
    return Figures(
        rate=float(_found(r"Requests/sec:\s+([\d.]+)", output)[1]),
        p50=_percentile(50, output),
        p99=_percentile(99, output),
        processor_microseconds=used / requests * 1e6,
        kernel_microseconds=of_kernel / requests * 1e6,
    )


def _found(pattern: str, output: str) -> re.Match[str]:
    found = re.search(pattern, output)
    if found is None:
        raise RuntimeError(f"wrk printed no {pattern}: {output}")
    return found


def _percentile(percent: int, output: str) -> float:
    value, unit = _found(rf"{percent}%\s+([\d.]+)(us|ms|s)", output).groups()
    return float(value) * _MILLISECONDS[unit]


def processor_seconds(pid: int | None) -> tuple[float, float]:
    """Return the processor time of a process, and the kernel's part of it; 0 without a process."""
    if pid is None:
        return 0.0, 0.0
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    user, kernel = int(fields[11]) / _TICKS, int(fields[12]) / _TICKS
    return user + kernel, kernel


def median_of(runs: list[Figures]) -> Figures:
    return Figures(
        **{name: statistics.median(getattr(run, name) for run in runs) for name in Figures.__dataclass_fields__}
    )


def report(results: dict[tuple[str, int], Figures], arguments: argparse.Namespace) -> None:
    print(
        f"median of {arguments.rounds} rounds of {arguments.seconds} s; bodies of {BODY_CHARACTERS} characters; added: to the direct way"
    )
    print(
        f"{'connections':>11}  {'way':<11} {'req/s':>7} {'added p50 ms':>13} {'added p99 ms':>13} {'CPU us/req':>11} {'of it kernel':>13} {'req/core-s':>11}"
        "  CPU to HAProxy, to Envoy, bare"
    )
    for (name, connections), figures in results.items():
        direct = results["direct", connections]
        line = f"{connections:>11}  {name:<11} {figures.rate:>7.0f} {figures.p50 - direct.p50:>13.2f} {figures.p99 - direct.p99:>13.2f}"
        if used := figures.processor_microseconds:
            ratios = (used / results[peer, connections].processor_microseconds for peer in ("HAProxy", "Envoy, bare"))
            line += f" {used:>11.1f} {figures.kernel_microseconds:>13.1f} {1e6 / used:>11.0f}  " + ", ".join(
                f"{ratio:.2f} x" for ratio in ratios
            )
        print(line)


if __name__ == "__main__":
    sys.exit(main())
