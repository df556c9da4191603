"""Canary after canary under a steady load, for minutes or hours: is a request lost, and does memory grow?

    python bench/soak.py [--minutes 30] [--per-second 50] [--bound 30] [--json FILE]

A whole session of local mode: the operator's own roll-outs, real model servers with a tiny BERT, Envoy and its PID 1, the comparator. Two artifacts of
equal quality take turns; each roll-out is a new revision and goes through three steps with gates. Beside it stands a second deployment that nobody
changes: its server lives as long as the bench. Clients send to both at a fixed rate, whatever comes back, and keep to a revision by their user.

Ends with 1 if a request was lost, if no roll-out came to its end, or if the memory of a role grows: its 95 % interval is above --bound (MiB per hour).
Canaries are shown and not judged: they are replaced before their memory has settled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from bad_revisions import change_nothing_that_counts, write_changed, write_good
from routed_sessions import is_routed
from soak_load import STICKY_HEADER
from soak_memory import ROLES, SERVER_SETTLE_SECONDS, SETTLE_SECONDS, SHORT_LIVED, STRETCH_SECONDS, Growth, Ledger
from soak_processes import memory_by_role
from tiny_models import sentences, tiny_bert

from tuneloop_cli.local.processes.processes import recorded
from tuneloop_cli.local.session import LocalSession
from tuneloop_operator.names import DEPLOYMENT_LABEL

ROOT = Path(__file__).resolve().parent.parent
CLAIM = "work"
ARTIFACTS = ("first", "second")
NAME = "reviews"
"""Its revisions are replaced."""
STAYING = "staying"
"""Its server stays."""
USERS = 500
SAMPLE_SECONDS = 2.0
PROGRESS_SECONDS = 15.0
STARTING_SECONDS = 600.0
ENDED = {"Done", "RolledBack", "Aborted", "Held"}
STEPS = [
    {"weight": 20, "minRequests": 300},
    {"weight": 50, "minRequests": 500},
    {"weight": 100, "minRequests": 500},
]
GATES = [
    {"name": "errors", "metric": "Errors", "margin": 0.03},
    {"name": "agreement", "metric": "Agreement", "margin": 0.1},
    {"name": "latency", "metric": "Latency", "margin": 0.5, "dryRun": True},  # other programs decide on it, too
]


@dataclass
class Soak:
    """What was observed so far."""

    minutes: float
    began: float = field(default_factory=time.monotonic)
    ledger: Ledger = field(default_factory=Ledger)
    phases: Counter[str] = field(default_factory=Counter)
    """How many roll-outs ended in which phase."""
    loads: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The newest counts of the clients, by their deployment."""
    now: str = ""
    """Where the roll-out is."""

    @property
    def seconds(self) -> float:
        """Since the begin."""
        return time.monotonic() - self.began

    def total(self, count: str) -> int:
        """Return a count of the clients over both deployments, such as `lost`."""
        return sum(load[count] for load in self.loads.values())

    @property
    def seconds_left(self) -> float:
        """Until the last roll-out is left alone."""
        return max(0.0, 60 * self.minutes - self.seconds)


def main() -> int:
    """Return 1 if a request was lost, no roll-out was done, or memory grows."""
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="tuneloop-soak-") as folder:
        soak = asyncio.run(soaked(Path(folder), given))
    growths = [soak.ledger.growth(role) for role in ROLES]
    report(soak, growths, given)
    if given.json:
        given.json.write_text(json.dumps(document(soak, growths, given), indent=1) + "\n")
    growing = any(growth.exceeds(given.bound) for growth in growths)
    return int(soak.total("lost") > 0 or soak.phases["Done"] == 0 or growing)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--per-second", type=float, default=50.0, help="requests to each of the two deployments")
    parser.add_argument("--bound", type=float, default=30.0, help="MiB per hour that a process may grow")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser.parse_args()


# --- the session -------------------------------------------------------------------------------------------------------------------------


async def soaked(folder: Path, given: argparse.Namespace) -> Soak:
    """Roll out one revision after another until the time is over."""
    write_artifacts_apart(folder / "claims" / CLAIM)
    async with LocalSession(folder) as session:
        try:
            return await _rolled(session, given)
        finally:
            await session.abort()


def write_artifacts_apart(claim: Path) -> None:
    """Write them in a process of its own: torch would be the larger part of the session's memory."""
    process = multiprocessing.get_context("spawn").Process(target=write_artifacts, args=(claim,))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit("the artifacts could not be written")


def write_artifacts(claim: Path) -> None:
    """Write two artifacts that answer alike."""
    good, other = (claim / name for name in ARTIFACTS)
    write_good(good, tiny_bert(claim / "model"), [text for text, _ in sentences(250)])
    write_changed(other, good, change_nothing_that_counts)


def manifest(number: int, *, name: str = NAME) -> dict[str, Any]:
    """Return the deployment whose revision is the one of this number."""
    spec = {
        "model": {"uri": f"pvc://{CLAIM}/{ARTIFACTS[number % len(ARTIFACTS)]}"},
        "env": [{"name": "OMP_NUM_THREADS", "value": "1"}, {"name": "SOAK_REVISION", "value": str(number)}],
        "expose": {"stickyHeader": STICKY_HEADER},
        "rollout": {
            "strategy": "Canary",
            "steps": STEPS,
            "gates": GATES,
            "shadow": {"percent": 50},
            "rollback": {"baking": "5s"},
        },
    }
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "tuneloop.dev/v1alpha1", "kind": "ModelDeployment", "metadata": metadata, "spec": spec}


async def _rolled(session: LocalSession, given: argparse.Namespace) -> Soak:
    urls = {name: await _offered(session, name) for name in (NAME, STAYING)}
    soak = Soak(given.minutes)
    with ExitStack() as stack:
        loads = {name: stack.enter_context(clients(url, given.per_second)) for name, url in urls.items()}
        counting = [asyncio.create_task(_count(process, soak, name)) for name, process in loads.items()]
        watching = [asyncio.create_task(work) for work in (_sample(session, soak), _show(soak))]
        try:
            await _roll_on(session, soak)
        finally:
            for process in loads.values():
                assert process.stdin is not None
                process.stdin.close()
            await asyncio.gather(*counting)  # until all requests have come back
            for task in watching:
                task.cancel()
            for error in await asyncio.gather(*watching, return_exceptions=True):
                if isinstance(error, Exception):  # what is not sampled would not grow
                    raise error
    return soak


async def _offered(session: LocalSession, name: str) -> str:
    """Submit the first revision of a deployment; return its address once routers carry its requests."""
    await session.submit(manifest(0, name=name))
    ready = await session.wait_for("ModelDeployment", name, until=_is_routed(session), seconds=STARTING_SECONDS)
    return str(ready["status"]["url"])


def _is_routed(session: LocalSession) -> Any:
    holds = is_routed(session)
    return lambda stored: holds(stored.get("status", {}))


async def _roll_on(session: LocalSession, soak: Soak) -> None:
    """Offer a new revision whenever the one before has come to its end."""
    number = 0
    while soak.seconds_left > 0:
        number += 1
        await session.submit(manifest(number))
        try:
            phase = await _ended(session, soak, seconds=soak.seconds_left)
        except TimeoutError:
            return
        soak.phases[phase] += 1


async def _ended(session: LocalSession, soak: Soak, *, seconds: float) -> str:
    """Return the phase in which the roll-out of what was submitted last ends. Raises TimeoutError."""
    generation = session.node.cluster.peek(kind="ModelDeployment", namespace="default", name=NAME)["metadata"][
        "generation"
    ]

    def is_over(stored: dict[str, Any]) -> bool:
        status = stored["status"]
        rollout = status.get("rollout") or {}
        soak.now = f"{rollout.get('phase', '')} {rollout.get('share') or ''}".strip()
        return status.get("observedGeneration") == generation and rollout.get("phase") in ENDED

    stored = await session.wait_for("ModelDeployment", NAME, until=is_over, seconds=seconds)
    return str(stored["status"]["rollout"]["phase"])


# --- clients, memory, progress --------------------------------------------------------------------------------------------------------------


def clients(url: str, per_second: float) -> subprocess.Popen[bytes]:
    """Start the load; it ends when its standard input is closed."""
    command = [sys.executable, str(ROOT / "bench" / "soak_load.py"), url, str(per_second), str(USERS)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


async def _count(process: subprocess.Popen[bytes], soak: Soak, name: str) -> None:
    """Take over the counts of a deployment's clients until they end."""
    assert process.stdout is not None
    while line := await asyncio.to_thread(process.stdout.readline):
        soak.loads[name] = json.loads(line)


async def _sample(session: LocalSession, soak: Soak) -> None:
    while True:
        pods = pods_by_pid(session)
        starting = {pid for pid, pod in pods.items() if not _is_ready(pod)}
        staying = {pid for pid, pod in pods.items() if pod["metadata"]["labels"].get(DEPLOYMENT_LABEL) == STAYING}
        for role, process, mib in memory_by_role(starting=starting, staying=staying):
            soak.ledger.add(role, process, seconds=soak.seconds, mib=mib)
        await asyncio.sleep(SAMPLE_SECONDS)


def pods_by_pid(session: LocalSession) -> dict[int, dict[str, Any]]:
    """Return the pods that run, by the process id of their first process. How long a start takes depends on the machine: it is no growth."""
    pid_of = {found.pod_uid: found.pid for found in recorded(session.node.folders.root)}
    pods = session.node.cluster.all("Pod")
    return {pid: pod for pod in pods if (pid := pid_of.get(pod["metadata"]["uid"]))}


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


async def _show(soak: Soak) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        p99 = max((load["p99"] for load in soak.loads.values()), default=0.0)
        print(
            f"{_clock(soak.seconds)}  {soak.phases.total()} roll-outs ended; now {soak.now or 'none'};  {soak.total('requests')} requests, "
            f"{soak.total('lost')} lost, p99 {p99 * 1e3:.0f} ms;  {_clock(soak.seconds_left)} left",
            flush=True,
        )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


# --- the end -----------------------------------------------------------------------------------------------------------------------------


def document(soak: Soak, growths: list[Growth], given: argparse.Namespace) -> dict[str, Any]:
    """Return all figures; times in seconds, memory in MiB, slopes in MiB per hour."""
    return {
        "minutes": soak.seconds / 60,
        "requestsPerSecond": given.per_second,
        "bound": given.bound,
        "machine": {"cores": os.cpu_count(), "load": os.getloadavg()},
        "rollouts": dict(soak.phases),
        "memory": [asdict(growth) for growth in growths],
        "samples": [
            {"role": role, "pid": process.pid, "mib": [[round(seconds), round(mib, 2)] for seconds, mib in samples]}
            for (role, process), samples in soak.ledger.samples.items()
        ],
        "clients": soak.loads,
    }


def report(soak: Soak, growths: list[Growth], given: argparse.Namespace) -> None:
    """Print the table."""
    print(
        f"\n{soak.seconds / 60:.1f} minutes, {os.cpu_count()} cores, load of the machine at the end {os.getloadavg()[1]:.1f}"
    )
    for name, load in soak.loads.items():
        print(
            f"{name}: {load['requests']} requests at {given.per_second:g} a second; lost {load['lost']}  {load['outcomes']}; "
            f"p50 {load['p50'] * 1e3:.1f} ms, p99 {load['p99'] * 1e3:.1f} ms; users went {load['moves']} times to another revision"
        )
    print(f"roll-outs by the phase in which they ended: {dict(soak.phases)}\n")
    print(
        f"memory that is no file's, without the first {SETTLE_SECONDS:g} s of each process ({SERVER_SETTLE_SECONDS:g} s of a server); "
        f"slopes inside stretches of {STRETCH_SECONDS:g} s"
    )
    print(f"{'process':<11} {'how many':>8} {'median MiB':>11} {'most MiB':>9} {'stretches':>9}  MiB per hour (95 %)")
    for growth in growths:
        mark = f"  grows by more than {given.bound:g}" if growth.exceeds(given.bound) else ""
        if growth.role in SHORT_LIVED:
            mark = "  not judged"
        print(
            f"{growth.role:<11} {growth.processes:>8} {growth.median_mib:>11.1f} {growth.most_mib:>9.1f} {growth.stretches:>9}  "
            f"{_interval(growth)}{mark}"
        )


def _interval(growth: Growth) -> str:
    if growth.slope is None:
        return "none lived long enough"
    ends = "one stretch" if growth.low is None or growth.high is None else f"{growth.low:+.1f} to {growth.high:+.1f}"
    return f"{growth.slope:+.1f} ({ends})"


if __name__ == "__main__":
    sys.exit(main())
