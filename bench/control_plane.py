"""The operator on a real API server, against plain batch Jobs of the same size on the same control plane, in the same run.

    python bench/control_plane.py [--quick]

Prints these figures beside their goals: prepare done to gang stored, bursts of FineTuneJobs, API calls in a job's life and at rest, memory and CPU
at rest, the cold start with many objects, and one tenant's job beside the flood of objects of another tenant. Ours and the plain Jobs alternate, since machines drift; the plain ones have the pods of
our gangs. No pod runs: the bench acts as kubelet and scheduler, so that a prepare pod ends as soon as it is stored, as with cached data
(the Job controller still takes a second to count the pod). Control plane, operator and observer share the machine's cores: compare ratios.
Everything listens on loopback; etcd keeps its data in memory. Needs the programs of `dev/cluster`.

The many objects of the second half are FineTuneJobs: those of the large burst, each with 5 pods, 2 Jobs, 2 ConfigMaps, a Service and a
NetworkPolicy; finished ones without children, whose status is a copy of that of a job that really ran; and suspended ones that no operator
has reconciled.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import control_plane_trials as trials
from cluster.control_plane import ControlPlane
from control_plane_bench import ControlPlaneBench
from control_plane_fairness import Fair, Fairness
from control_plane_gauges import quantile, table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass(frozen=True, kw_only=True)
class Size:
    """The number of objects and samples."""

    samples: int
    lives: int
    small_burst: int
    rounds: int
    large_burst: int
    finished: int
    suspended: int
    rest_seconds: float
    """How long an idle operator is measured."""
    flood: int
    """Objects of the tenant that floods."""
    flood_rounds: int
    jobs_alone: int
    """Jobs of the other tenant in each round before the flood."""


FULL = Size(
    samples=50,
    lives=8,
    small_burst=200,
    rounds=2,
    large_burst=1000,
    finished=8500,
    suspended=500,
    rest_seconds=40,
    flood=5000,
    flood_rounds=2,
    jobs_alone=20,
)
QUICK = Size(
    samples=15,
    lives=4,
    small_burst=20,
    rounds=2,
    large_burst=100,
    finished=850,
    suspended=50,
    rest_seconds=20,
    flood=500,
    flood_rounds=3,
    jobs_alone=8,
)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="a tenth of the objects, a few minutes")
    options.add_argument("--only", choices=("speed", "scale", "fairness"), help="one of the three parts")
    given = options.parse_args()
    size = QUICK if given.quick else FULL
    for name, part in (("speed", speed), ("scale", scale), ("fairness", fairness)):
        if given.only in {None, name}:
            on_a_control_plane(part, size)
    return 0


def on_a_control_plane(part: Callable[[ControlPlaneBench, Size], Awaitable[None]], size: Size) -> None:
    with tempfile.TemporaryDirectory(prefix="tuneloop-bench-") as folder:
        plane = ControlPlane(Path(folder) / "plane", audit=True, say=lambda _: None)

        async def run() -> None:
            async with ControlPlaneBench.create(plane, Path(folder)) as bench:
                await part(bench, size)

        with plane:
            version = plane.request("GET", "/version").body["gitVersion"]
            print(
                f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, Kubernetes {version}, "
                "etcd without fsync on tmpfs where allowed"
            )
            asyncio.run(run())


def line(what: str, measured: str, *, goal: str = "", good: bool | None = None) -> None:
    outcome = {None: "", True: "met", False: "MISSED"}[good]
    print(f"{what:<46} {measured:<60} {goal:<24} {outcome}".rstrip(), flush=True)


async def speed(bench: ControlPlaneBench, size: Size) -> None:
    """Latency, calls, small bursts."""
    line("API server takes", f"{await trials.ceiling(bench, count=1000):.0f} ConfigMaps/s")
    operator = await trials.ready(bench)
    show_latency(await trials.latency(bench, samples=size.samples))
    show_lives(await trials.whole_lives(bench, jobs=size.lives), jobs=size.lives)
    for number in range(size.rounds):
        await bursts(bench, operator, f"small{number}", jobs=size.small_burst, ours_first=bool(number % 2))
    await asyncio.to_thread(operator.terminate)


def show_latency(found: trials.Latency) -> None:
    ours, plain = ((statistics.median(sample), quantile(sample, 0.99)) for sample in (found.ours, found.plain))
    count = len(found.ours)
    line(f"prepare done to 8 pods stored, n={count}, p50", f"{ours[0]:.3f} s", goal="<= 0.25 s", good=ours[0] <= 0.25)
    line("  p99", f"{ours[1]:.3f} s", goal="<= 1 s", good=ours[1] <= 1)
    ratio = ours[0] / plain[0]
    found_text = f"{ratio:.2f} x p50 (plain: p50 {plain[0]:.3f}, p99 {plain[1]:.3f} s)"
    line("  against a plain Job", found_text, goal="<= 2 x", good=ratio <= 2)


def show_lives(found: trials.Life, *, jobs: int) -> None:
    writes = [call for call in found.calls if call.writes]
    besides = (len(writes) - found.progress_writes) / jobs
    text = f"{besides:.1f} and {found.progress_writes / jobs:.1f} of progress"
    line("writes in a job's life, 8 pods", text, goal="<= 20 and progress", good=besides <= 20)
    print(f"    {table(writes, share=jobs)}")
    reads = [call for call in found.calls if not call.writes]
    line("reads in a job's life, 8 pods", f"{len(reads) / jobs:.1f}")
    print(f"    {table(reads, share=jobs)}")


async def bursts(
    bench: ControlPlaneBench, operator: trials.RunningOperator, name: str, *, jobs: int, ours_first: bool = False
) -> None:
    """Run a burst of FineTuneJobs and a burst of plain Jobs, and compare them."""
    trial = {"plain": trials.burst_of_plain, "ours": trials.burst}
    found: dict[str, trials.Burst] = {}
    for kind in sorted(trial, reverse=not ours_first):
        found[kind] = await trial[kind](bench, f"{name}-{kind}", jobs=jobs, operator=operator)
    ours, plain = found["ours"], found["plain"]
    line(
        f"{jobs} FineTuneJobs of 4 pods, {'before' if ours_first else 'after'} plain Jobs",
        f"all stored in {ours.total:.1f} s, {ours.total / plain.total:.2f} x plain ({plain.total:.1f} s)",
        goal="<= 120 s",
        good=ours.total <= 120,
    )
    middle = statistics.median(ours.seconds)
    worst = max(ours.seconds) / middle
    text = f"p50 {middle:.1f}, p99 {quantile(ours.seconds, 0.99):.1f} s, worst {worst:.2f} x p50"
    line("  each", text, goal="worst <= 2 x p50", good=worst <= 2)
    writes = sum(call.writes for call in ours.calls)
    text = f"{writes / jobs:.1f} writes, {(len(ours.calls) - writes) / jobs:.1f} reads, {ours.cpu * 1000 / jobs:.0f} ms of CPU"
    line("  operator, for each job until its gang waits", text)


async def scale(bench: ControlPlaneBench, size: Size) -> None:
    """Rest and start with many objects."""
    operator = await trials.ready(bench)
    empty = trials.Empty.of(operator)
    await show_rest(bench, operator, size, what="no objects", goal=120, empty=None)
    await trials.whole_lives(bench, jobs=1)
    await bench.learn_template(trials.LIVES, "life-0")
    await bursts(bench, operator, "large", jobs=size.large_burst)
    await show_rest(bench, operator, size, what=f"{size.large_burst} FineTuneJobs with children", goal=300, empty=empty)
    await asyncio.to_thread(operator.terminate)
    await trials.fill(bench, finished=size.finished, suspended=size.suspended)
    total = size.large_burst + size.finished + size.suspended + 1
    for new in (size.suspended, 0):
        found, operator = await trials.start(bench)
        show_start(found, total, empty=empty, new=new)
        if new:
            await asyncio.to_thread(operator.terminate)
    await show_rest(bench, operator, size, what=f"{total} FineTuneJobs", goal=300, empty=empty)
    await asyncio.to_thread(operator.terminate)


async def show_rest(
    bench: ControlPlaneBench,
    operator: trials.RunningOperator,
    size: Size,
    *,
    what: str,
    goal: float,
    empty: trials.Empty | None,
) -> None:
    found = await trials.rest(bench, operator, seconds=size.rest_seconds)
    others = [call for call in found.calls if call.resource != "leases" and call.verb != "watch"]
    print(f"at rest, {what}:")
    more = f", {found.resident - empty.resident:.0f} more than with none" if empty else ""
    line("  memory", f"{found.resident:.0f} MiB{more}", goal=f"<= {goal} MiB", good=found.resident <= goal)
    per_minute = len(found.calls) / found.minutes
    text = f"{per_minute:.1f}; besides Lease and watches {len(others)} {table(others, share=1)}"
    line("  API calls a minute", text, goal="Lease and watches", good=not others)
    line("  CPU a minute", f"{found.cpu_per_minute:.2f} s", goal="<= 1.2 s", good=found.cpu_per_minute <= 1.2)
    line("  /metrics", f"{found.scrape_seconds:.2f} s")


def show_start(found: trials.Start, total: int, *, empty: trials.Empty, new: int) -> None:
    """`new`: number of the objects that no operator had reconciled before."""
    print(f"start with {total} FineTuneJobs, {new} of them new:")
    line("  to leading", f"{found.leads:.1f} s")
    line("  to ready", f"{found.ready:.1f} s", goal="<= 60 s", good=found.ready <= 60)
    per_object = (found.cpu - empty.cpu) * 1000 / total
    text = f"{found.idle:.1f} s, {found.reconciled} reconciliations, {per_object:.2f} ms of CPU an object"
    line("  to all reconciled", text, goal="all, once at least", good=found.reconciled >= total)
    line("  peak memory", f"{found.peak:.0f} MiB", goal="<= 450 MiB", good=found.peak <= 450)
    writes = [call for call in found.calls if call.writes and call.resource not in {"leases", "endpointslices"}]
    line(
        "  writes", f"{len(writes)} {table(writes, share=1)}", goal=f"one for a new job: {new}", good=len(writes) <= new
    )
    lists = [call.resource for call in found.calls if call.verb == "list" and not call.continues]
    line("  most lists of a kind", f"{max(map(lists.count, lists))}", goal="1", good=len(lists) == len(set(lists)))


async def fairness(bench: ControlPlaneBench, size: Size) -> None:
    """One tenant's job beside the flood of another. The least time between two writes of progress (10 s by default) would hide the operator's own."""
    operator = await trials.ready(bench, progress_interval_seconds=0.1)
    print(f"one tenant's jobs, alone and beside {size.flood} FineTuneJobs that another tenant creates:")
    rounds = Fair(bench, operator).rounds(rounds=size.flood_rounds, jobs=size.jobs_alone, flood=size.flood)
    async for found in rounds:
        show_fairness(found)
    await asyncio.to_thread(operator.terminate)


def show_fairness(found: Fairness) -> None:
    text = f"worked off in {found.flood_seconds:.0f} s, {found.cpu:.2f} cores, load {os.getloadavg()[0]:.1f}"
    line("the flood, and what the operator used meanwhile", text)
    for what, of in (("stored", "created to 8 pods stored"), ("progress", "created to progress in status")):
        ratio = found.ratio(what)
        line(f"  {of}", both(found, what), goal="<= 1.2 x", good=ratio <= 1.2)
    line("    the operator's part of it", both(found, "operator"))
    line("  a plain Job, to 8 pods stored", both(found, "plain"))


def both(found: Fairness, what: str) -> str:
    alone, beside = (getattr(lives, what) for lives in (found.alone, found.beside))
    middle, worst = statistics.median(beside), quantile(beside, 0.9)
    counts = f"n={len(alone)}, {len(beside)}"
    return (
        f"{found.ratio(what):.2f} x p50 ({statistics.median(alone):.2f} to {middle:.2f}, p90 {worst:.2f} s; {counts})"
    )


if __name__ == "__main__":
    sys.exit(main())
