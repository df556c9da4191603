"""What failures and checkpoints cost, with two CPU ranks and a small model: MiniLM on the demo's sentences, else a tiny BERT.

    python bench/resilience.py [--trials 3] [--minutes 4] [--kill-every 300] [--only kill,goodput,saves,hang,hashing] [--out FILE]

`kill`: a rank gets SIGKILL in a `tuneloop run`, some steps after a checkpoint; seconds to the first new step, by phases, and with the lost work.
`goodput`: kills in a longer run, the part of its time that went into steps that were kept. For the figure of the design: --minutes 30.
`saves`: how long a save holds training up, against a copy of the same bytes; how much slower training is with a save each 20 steps.
`hang`: a rank gets SIGSTOP; seconds until the hang is found, by the default rule. Uneven steps of an hour must raise no alarm (clock simulated).
`hashing`: checking a checkpoint's file against its manifest. About 17 minutes.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resilience_runs import Fault, GangRun, model_name
from resilience_saves import EVERY, hashing, save_costs

from tuneloop_trainer.supervisor.hang import FLOOR_SECONDS, HangWatch
from tuneloop_trainer.supervisor.heartbeat import Beat
from tuneloop_trainer.training.speed import Speed

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY_STEPS = 100_000
PARTS = ("kill", "hashing", "saves", "hang", "goodput")


@dataclass(frozen=True)
class Row:
    """One figure next to its goal."""

    what: str
    goal: str
    measured: str
    met: bool | None
    """None: no goal, for information."""
    values: Any = None
    """All that was measured, for --out."""


def main() -> int:
    """Return 0."""
    given = _options()
    parts = given.only
    print(f"model: {model_name()}; two ranks, one thread each", flush=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="resilience-") as scratch:
        measures = {
            "kill": lambda folder: kills(folder, trials=given.trials),
            "hashing": hash_speed,
            "saves": lambda folder: saving(folder, pairs=given.pairs),
            "hang": hangs,
            "goodput": lambda folder: goodput(folder, minutes=given.minutes, kill_every=given.kill_every),
        }
        for name in (part for part in PARTS if part in parts):
            folder = Path(scratch) / name
            folder.mkdir()
            print(f"\n-- {name}", flush=True)
            found = list(measures[name](folder))
            _report(found)
            rows += found
    if given.out:
        given.out.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return 0


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--trials", type=int, default=3, help="kills whose phases are told")
    options.add_argument("--pairs", type=int, default=4, help="pairs of blocks with and without saves")
    options.add_argument("--minutes", type=float, default=4, help="length of the run for goodput")
    options.add_argument("--kill-every", type=float, default=300, help="seconds between two kills in it")
    options.add_argument("--only", default=",".join(PARTS), type=_parts, metavar="PART,PART")
    options.add_argument("--out", type=Path, help="JSON file for all values")
    return options.parse_args()


def _parts(text: str) -> list[str]:
    unknown = sorted(set(text.split(",")) - set(PARTS))
    if unknown:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown)}: there is no such part; allowed: {', '.join(PARTS)}; for example kill,saves"
        )
    return text.split(",")


def kills(folder: Path, *, trials: int) -> Iterator[Row]:
    """Kill ranks in turn, each time after a newer checkpoint; the cost of each is told as it comes."""
    faults = []
    with GangRun(folder, steps=MANY_STEPS) as run:
        for trial in range(trials):
            run.until_saved_again()
            faults.append(run.fault(signal.SIGKILL, rank=(trial + 1) % 2))
            print(f"kill {trial + 1}: {_summary(faults[-1])}", flush=True)
    first = [fault.first_step for fault in faults]
    yield Row("worker killed -> first new step, worst", "<= 30 s", f"{max(first):.1f} s", max(first) <= 30, first)
    for name in faults[0].phases():
        each = [fault.phases()[name] for fault in faults]
        yield Row(f"    {name}, median", "", f"{statistics.median(each):.1f} s", None, each)
    whole = [fault.caught_up for fault in faults]
    yield Row("restart + lost work for a kill, worst", "<= 30 s", f"{max(whole):.1f} s", max(whole) <= 30, whole)
    lost = [fault.lost_steps for fault in faults]
    yield Row("    steps made again", "", ", ".join(map(str, lost)), None, lost)


def goodput(folder: Path, *, minutes: float, kill_every: float) -> Iterator[Row]:
    """Train for so long, with a kill in the middle of each period; count the steps that were kept."""
    with GangRun(folder, steps=MANY_STEPS) as run:
        began = run.until(lambda: run.step() >= 1, "first step") - run.steps()[0]["seconds"]
        kill_at, faults = began + min(kill_every, 60 * minutes) / 2, []
        while kill_at < began + 60 * minutes:
            run.until_time(kill_at)
            faults.append(run.fault(signal.SIGKILL, rank=len(faults) % 2))
            print(f"kill {len(faults)}: {_summary(faults[-1])}", flush=True)
            kill_at += kill_every
        run.until_time(began + 60 * minutes)
        ended = time.monotonic()
        steps = run.steps()
        usage = run.status.get("usage")
    useful, wall = sum(step["seconds"] for step in steps), ended - began
    told = f"{useful / wall:.1%} over {wall / 60:.0f} min with {len(faults)} kill{'s' if len(faults) != 1 else ''}"
    yield Row(
        f"goodput, a kill each {kill_every / 60:.0f} min",
        ">= 90 %",
        told,
        useful / wall >= 0.9,
        {"useful": useful, "wall": wall, "usage": usage, "faults": [asdict(fault) for fault in faults]},
    )


def saving(folder: Path, *, pairs: int) -> Iterator[Row]:
    """Compare saving with copying, and training with and without saves."""
    costs = save_costs(folder, pairs=pairs, saves=2)
    copy, block = statistics.median(costs.copies), statistics.median(costs.blocking)
    print(f"each rank saves {costs.bytes / 1e6:.0f} MB; copying that takes {copy * 1e3:.0f} ms", flush=True)
    yield Row(
        "a save blocks, in copies of its bytes, median",
        "<= 2 x",
        f"{costs.ratio:.1f} x ({block * 1e3:.0f} ms of {copy * 1e3:.0f} ms)",
        costs.ratio <= 2,
        {"blocking": costs.blocking, "copies": costs.copies},
    )
    slower = statistics.mean(costs.slowdowns)
    spread = f"{min(costs.slowdowns):+.1%} to {max(costs.slowdowns):+.1%}"
    yield Row(
        f"slower with a save each {EVERY} steps, mean",
        "<= 5 %",
        f"{slower:.1%} ({spread} in {pairs} pairs)",
        slower <= 0.05,
        costs.slowdowns,
    )


def hangs(folder: Path) -> Iterator[Row]:
    """Stop a rank and wait for the supervisor's watchdog; then feed the watchdog an hour of uneven steps."""
    with GangRun(folder, steps=MANY_STEPS) as run:
        run.until_saved_again()
        slow = sorted(step["seconds"] for step in run.steps())[-max(1, len(run.steps()) // 20)]
        fault = run.fault(signal.SIGSTOP, rank=1)
    print(f"stop: {_summary(fault)}", flush=True)
    limit = max(10 * slow, FLOOR_SECONDS)
    yield Row(
        "a stopped rank is found and replaced by a new attempt",
        f"<= {limit:.0f} s (the rule) + 10 s",
        f"{fault.ended:.1f} s, class {fault.failure}",
        fault.ended <= limit + 10 and fault.failure == "Hang",
        asdict(fault),
    )
    alarms = sum(_alarms(seed) for seed in range(20))
    yield Row("false alarms, 20 simulated hours of uneven steps", "0", str(alarms), alarms == 0)


def _alarms(seed: int) -> int:
    """Feed the real HangWatch an hour of steps that differ a hundredfold, with long evaluations and saves; return its false alarms."""
    source = random.Random(seed)
    typical = source.choice([0.2, 2.0, 20.0])
    watch, now, alarms, speed = HangWatch(now=0.0, floor_seconds=FLOOR_SECONDS), 0.0, 0, Speed()
    while now < 3600:
        length = typical * min(source.lognormvariate(0, 0.7), 9)
        if source.random() < 0.02:
            length = 5.0  # a batch of an evaluation, or a beat during a save
        looked = now
        while (looked := looked + 0.5) < now + length:  # as often as the supervisor looks
            alarms += watch.hangs(now=looked)
        now += length
        speed.add(seconds=length, tokens=1)
        watch.update([Beat(changed=round(now * 1e9), step=0, slow_step_seconds=speed.slow_step_seconds())] * 2, now=now)
    return alarms


def hash_speed(folder: Path) -> Iterator[Row]:
    """Hash a file as a checkpoint's is, and bytes in memory."""
    checked, in_memory = hashing(folder)
    told = f"{checked:.2f} GB/s (SHA-256 in memory: {in_memory:.2f})"
    yield Row("a checkpoint's file is checked at, per core", ">= 1 GB/s", told, checked >= 1, [checked, in_memory])


def _summary(fault: Fault) -> str:
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in fault.phases().items())
    return (
        f"{fault.failure}; first new step after {fault.first_step:.1f} s ({phases}); "
        f"{fault.lost_steps} steps again, caught up after {fault.caught_up:.1f} s"
    )


def _report(rows: list[Row]) -> None:
    widths = [max(len(row.what) for row in rows), max(len(row.goal) for row in rows)]
    met = {True: "yes", False: "NO", None: ""}
    print(f"\n{'':<{widths[0]}}  {'goal':<{widths[1]}}  {'met':<4} measured")
    for row in rows:
        print(f"{row.what:<{widths[0]}}  {row.goal:<{widths[1]}}  {met[row.met]:<4} {row.measured}")


if __name__ == "__main__":
    sys.exit(main())
