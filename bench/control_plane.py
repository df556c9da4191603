"""The operator on a real API server, against plain batch Jobs of the same size on the same control plane, in the same run.

    python bench/control_plane.py [--quick]

Prints, each beside its goal: prepare done to gang stored, bursts of FineTuneJobs, API calls in a job's life and at rest, memory and CPU
at rest, and the cold start with many objects. Ours and the plain Jobs alternate, since machines drift. No pod runs: kubelet and
scheduler are played. Everything listens on loopback; etcd keeps its data in memory. Needs the programs of `dev/cluster`.
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
from control_plane_bed import Bed
from control_plane_gauges import cpu_seconds, quantile, resident_mib, table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done."""

    samples: int
    lives: int
    small_burst: int
    rounds: int
    large_burst: int
    finished: int
    suspended: int
    rest_seconds: float


FULL = Size(
    samples=50, lives=8, small_burst=200, rounds=2, large_burst=1000, finished=8500, suspended=500, rest_seconds=40
)
QUICK = Size(
    samples=15, lives=4, small_burst=50, rounds=2, large_burst=100, finished=850, suspended=50, rest_seconds=20
)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="a tenth of the objects, a few minutes")
    options.add_argument("--only", choices=("speed", "scale"), help="one of the two halves")
    given = options.parse_args()
    size = QUICK if given.quick else FULL
    for name, half in (("speed", speed), ("scale", scale)):
        if given.only in {None, name}:
            on_a_control_plane(half, size)
    return 0


def on_a_control_plane(half: Callable[[Bed, Size], Awaitable[None]], size: Size) -> None:
    with tempfile.TemporaryDirectory(prefix="tuneloop-bench-") as folder:
        plane = ControlPlane(Path(folder) / "plane", audit=True, say=lambda _: None)

        async def run() -> None:
            async with Bed.made(plane, Path(folder)) as bed:
                await half(bed, size)

        with plane:
            version = plane.request("GET", "/version").body["gitVersion"]
            print(
                f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, Kubernetes {version}, "
                "etcd without fsync on tmpfs where allowed"
            )
            asyncio.run(run())


def line(what: str, found: str, *, goal: str = "", good: bool | None = None) -> None:
    verdict = {None: "", True: "ok", False: "MISSED"}[good]
    print(f"{what:<46} {found:<44} {goal:<26} {verdict}".rstrip(), flush=True)


async def speed(bed: Bed, size: Size) -> None:
    """Latency, bursts, calls."""
    line("API server takes", f"{await trials.ceiling(bed, count=1000):.0f} ConfigMaps/s")
    operator = await bed.operator()
    await bed.lead(operator)
    await trials.settle(operator)
    idle = resident_mib(operator.process.pid)
    line("memory, no objects", f"{idle:.0f} MiB", goal="<= 120 MiB", good=idle <= 120)
    show_latency(await trials.latency(bed, samples=size.samples))
    asked = await trials.whole_lives(bed, jobs=size.lives)
    writes = [one for one in asked if one.writes]
    line(
        "writes in a job's life, 8 pods",
        f"{len(writes) / size.lives:.1f}",
        goal="<= 20",
        good=len(writes) <= 20 * size.lives,
    )
    print(f"    {table(writes, share=size.lives)}")
    reads = [one for one in asked if not one.writes]
    line("reads in a job's life, 8 pods", f"{len(reads) / size.lives:.1f}", goal="(2)")
    print(f"    {table(reads, share=size.lives)}")
    for number in range(size.rounds):
        await bursts(bed, f"small{number}", jobs=size.small_burst, ours_first=bool(number % 2))
    operator.terminate()


def show_latency(found: trials.Latency) -> None:
    ours, plain = ((statistics.median(one), quantile(one, 0.99)) for one in (found.ours, found.plain))
    count = len(found.ours)
    line(f"prepare done to 8 pods stored, n={count}, p50", f"{ours[0]:.3f} s", goal="<= 0.25 s", good=ours[0] <= 0.25)
    line("  p99", f"{ours[1]:.3f} s", goal="<= 1 s", good=ours[1] <= 1)
    ratio = ours[0] / plain[0]
    found_text = f"{ratio:.2f} x (plain: p50 {plain[0]:.3f}, p99 {plain[1]:.3f} s)"
    line("  against a plain Job", found_text, goal="<= 2 x", good=ratio <= 2)


async def bursts(bed: Bed, name: str, *, jobs: int, ours_first: bool = False) -> None:
    """One burst of each kind."""
    found: dict[str, list[float]] = {}
    trial = {"plain Jobs": trials.burst_of_plain, "FineTuneJobs": trials.burst}
    for kind in sorted(trial, reverse=not ours_first):
        found[kind] = await trial[kind](bed, f"{name}-{kind.lower().replace(' ', '-')}", jobs=jobs)
        middle, last = statistics.median(found[kind]), max(found[kind])
        text = f"all {last:.1f} s, p50 {middle:.1f}, p99 {quantile(found[kind], 0.99):.1f} s, worst {last / middle:.2f} x p50"
        is_ours = kind == "FineTuneJobs"
        good = (last <= 120 and last <= 2 * middle) if is_ours else None
        line(f"{jobs} {kind} of 4 pods", text, goal="<= 120 s, <= 2 x p50" if is_ours else "", good=good)
    line("  against plain Jobs", f"{max(found['FineTuneJobs']) / max(found['plain Jobs']):.2f} x")


async def scale(bed: Bed, size: Size) -> None:
    """Rest and start with many objects."""
    operator = await bed.operator()
    await bed.lead(operator)
    await trials.settle(operator)
    empty = cpu_seconds(operator.process.pid)
    await show_rest(bed, operator, size, what="no objects", goal=120)
    await trials.whole_lives(bed, jobs=1)
    await bed.learn_template(trials.LIVES, "life-0")
    await bursts(bed, "large", jobs=size.large_burst)
    await show_rest(bed, operator, size, what=f"{size.large_burst} objects with 5 pods each", goal=300)
    await asyncio.to_thread(operator.terminate)
    await trials.fill(bed, finished=size.finished, suspended=size.suspended)
    total = size.large_burst + size.finished + size.suspended + 1
    first, operator = await trials.start(bed)
    show_start(first, total, empty=empty, new=size.suspended)
    await asyncio.to_thread(operator.terminate)
    again, operator = await trials.start(bed)
    show_start(again, total, empty=empty, new=0)
    await show_rest(bed, operator, size, what=f"{total} objects", goal=300)
    await asyncio.to_thread(operator.terminate)


async def show_rest(bed: Bed, operator: trials.RunningOperator, size: Size, *, what: str, goal: float) -> None:
    found = await trials.rest(bed, operator, seconds=size.rest_seconds)
    others = [one for one in found.asked if one.resource != "leases" and one.verb != "watch"]
    print(f"at rest, {what}:")
    line("  memory", f"{found.resident:.0f} MiB", goal=f"<= {goal} MiB", good=found.resident <= goal)
    per_minute = len(found.asked) / found.minutes
    text = f"{per_minute:.1f}, {len(others)} besides Lease and watches"
    line("  calls a minute", text, goal="Lease alone", good=not others)
    line("  CPU a minute", f"{found.cpu_per_minute:.2f} s", goal="<= 1.2 s", good=found.cpu_per_minute <= 1.2)
    line("  /metrics", f"{found.scrape_seconds:.2f} s")


def show_start(found: trials.Start, total: int, *, empty: float, new: int) -> None:
    """`empty`: CPU seconds of a start without objects; `new`: how many of the objects no operator had seen before."""
    print(f"start with {total} objects, {new} of them new:")
    line("  to ready", f"{found.ready_seconds:.1f} s", goal="<= 60 s", good=found.ready_seconds <= 60)
    line("  to settled", f"{found.settled_seconds:.1f} s, {(found.cpu - empty) * 1000 / total:.2f} ms of CPU an object")
    line("  peak memory", f"{found.peak:.0f} MiB", goal="<= 450 MiB", good=found.peak <= 450)
    writes = [one for one in found.asked if one.writes and one.resource not in {"leases", "endpointslices"}]
    line("  writes", f"{len(writes)} {table(writes, share=1)}", goal=f"{new}", good=len(writes) <= new)
    lists = [one.resource for one in found.asked if one.verb == "list" and not one.continues]
    line("  most lists of a kind", f"{max(map(lists.count, lists))}", goal="1", good=len(lists) == len(set(lists)))


if __name__ == "__main__":
    sys.exit(main())
