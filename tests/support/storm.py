"""A storm over one job of local mode: by a seeded schedule its processes get signals, its disk fills up, its prepared data goes.

The command is run again until the job has succeeded, as a person would. `schedule` is pure; `weather` does it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from gang_faults import fill, ranks, supervisors

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gang_faults import Member
    from workspace import Workspace

Target = Literal["rank", "supervisor", "command", "disk", "data"]
STRIKES: tuple[tuple[Target, tuple[signal.Signals, ...]], ...] = (
    ("rank", (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV, signal.SIGINT)),
    ("supervisor", (signal.SIGTERM, signal.SIGKILL)),
    ("command", (signal.SIGTERM, signal.SIGKILL)),
    ("disk", ()),
    ("data", ()),
)
MOST_RUNS = 12
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Strike:
    """One thing that happens to the job."""

    step: int
    """It happens once so many steps are in the training log."""
    wait: float
    """And so many seconds later: also in the middle of a start or a save."""
    target: Target
    signal: signal.Signals | None
    who: int
    """Which rank or supervisor."""
    lasts: float
    """Seconds that a rank stands still, or that the disk is full."""

    def __str__(self) -> str:
        what = f"{self.signal.name} to {self.target} {self.who}" if self.signal else f"{self.target} gone"
        return f"step {self.step} + {self.wait:.1f} s: {what}"


def schedule(seed: int, *, strikes: int, steps: int, disk: bool) -> list[Strike]:
    """Return the strikes of a seed, in the order of their steps; each kind comes once before one comes again."""
    source = random.Random(seed)
    kinds = [
        (target, number) for target, numbers in STRIKES if target != "disk" or disk for number in numbers or (None,)
    ]
    source.shuffle(kinds)
    at = sorted(source.randrange(steps * 9 // 10) for _ in range(strikes))
    return [
        Strike(
            step=step,
            wait=source.choice([0.0, source.uniform(0, 0.5), source.uniform(0, 6)]),
            target=kinds[index % len(kinds)][0],
            signal=kinds[index % len(kinds)][1],
            who=source.randrange(2),
            lasts=source.uniform(0.2, 3),
        )
        for index, step in enumerate(at)
    ]  # fmt: skip


def weather(workspace: Workspace, strikes: list[Strike], *, seconds: float) -> Storm:
    """Run `job.yaml` through the strikes to its success. Raises AssertionError where it fails for good, or takes longer."""
    storm = Storm(workspace, list(strikes), until=time.monotonic() + seconds)
    try:
        storm.run()
    finally:
        storm.process.kill()
        storm.process.wait()
    return storm


@dataclass
class Storm:
    """A job in the middle of it."""

    workspace: Workspace
    left: list[Strike]
    """What did not come yet; in the end what came too late, when the job had succeeded."""
    until: float
    runs: int = 0
    log: list[str] = field(default_factory=list)
    """What happened, for a failed test."""
    _later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    """What ends by itself: when, and how."""
    _due: float | None = None

    def run(self) -> None:
        """Strike and start again until the command succeeds."""
        self._start()
        while (code := self.process.poll()) != 0:
            assert time.monotonic() < self.until, "\n".join([*self.log, "it is not done in time"])
            if code is not None:
                self.log.append(f"the command ended with {code}")
                self._start()
            self._strike_if_due()
            self._end_what_lasted()
            time.sleep(_POLL_SECONDS)

    def _start(self) -> None:
        self.runs += 1
        assert self.runs <= MOST_RUNS, "\n".join([*self.log, self._last_output()])
        self.process: subprocess.Popen[str] = self.workspace.start("run", "-f", "job.yaml", log=f"run-{self.runs}.log")

    def _strike_if_due(self) -> None:
        if not self.left or _newest_step(self.workspace) < self.left[0].step:
            return
        if self._due is None:
            self._due = time.monotonic() + self.left[0].wait
        if time.monotonic() >= self._due and self._strike(self.left[0]):
            self.log.append(str(self.left.pop(0)))
            self._due = None

    def _strike(self, strike: Strike) -> bool:
        """Do it; False if nobody is there to be struck yet."""
        if strike.target == "disk":
            filler = fill(self.workspace.claim)
            self._later.append((time.monotonic() + strike.lasts, lambda: filler.unlink(missing_ok=True)))
        elif strike.target == "data":
            struck = ranks(self.workspace.path).get(strike.who)
            if struck is None:
                return False
            shutil.rmtree(self.workspace.claim / "datasets", ignore_errors=True)
            struck.send(signal.SIGKILL)  # who comes next finds nothing
        elif strike.target == "command":
            assert strike.signal is not None
            self.process.send_signal(strike.signal)
            self.process.wait(timeout=60)
        else:
            return self._signal(strike, ranks if strike.target == "rank" else supervisors)
        return True

    def _signal(self, strike: Strike, find: Callable[[Path], Mapping[int, Member]]) -> bool:
        there = find(self.workspace.path)
        if strike.who not in there or strike.signal is None:
            return False
        struck = there[strike.who]
        struck.send(strike.signal)
        if strike.signal is signal.SIGSTOP:
            self._later.append((time.monotonic() + strike.lasts, lambda: struck.send(signal.SIGCONT)))
        return True

    def _end_what_lasted(self) -> None:
        now = time.monotonic()
        for entry in [entry for entry in self._later if entry[0] <= now]:
            self._later.remove(entry)
            entry[1]()

    def _last_output(self) -> str:
        return (self.workspace.path / f"run-{self.runs - 1}.log").read_text()[-3000:]


def can_fill_disks() -> bool:
    """Whether this process may make a small disk."""
    return os.geteuid() == 0


def _newest_step(workspace: Workspace) -> int:
    path = next(workspace.claim.glob("jobs/*/logs/train.jsonl"), None)
    if path is None:
        return 0
    try:
        lines = path.read_bytes().splitlines()
    except OSError:  # it is being replaced
        return 0
    return next((int(json.loads(line)["step"]) for line in reversed(lines) if line.endswith(b"}")), 0)
