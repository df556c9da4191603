"""PID 1 of a training pod: starts the ranks, passes signals and output on, finds hangs, and reports how the pod ended.

The supervisor imports nothing heavy and has no threads. No rank outlives it, whatever ends it.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.contract.cgroup import oom_kills, usable_cores
from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_api.contract.results import TerminationMessage
from tuneloop_api.wire.names import RESERVE_SECONDS
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.stage_result import RANK_MESSAGE_VARIABLE, write_termination_message
from tuneloop_trainer.supervisor.hang import FLOOR_SECONDS, HangWatch
from tuneloop_trainer.supervisor.heartbeat import HEARTBEAT_VARIABLE, read_beat
from tuneloop_trainer.supervisor.locked_memory import locked_memory_limit, locked_memory_note
from tuneloop_trainer.supervisor.orphans import end_orphans
from tuneloop_trainer.supervisor.rank_process import RankProcess, start_rank, subreaper
from tuneloop_trainer.supervisor.signal_pipe import SignalPipe
from tuneloop_trainer.supervisor.verdict import PodState, RankEnd, Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_api.contract.settings import GangSettings
    from tuneloop_trainer.supervisor.start import StartProcess

SETTLE_SECONDS = 2.0
"""Time for the other ranks to leave their own messages after the first rank has failed."""
STACKS_SECONDS = 2.0
"""Time for the ranks to print their stacks."""
KEEP_MEMORY = "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=1099511627776:glibc.malloc.hugetlb=1"
"""Settings of malloc for ranks on CPU: freed blocks below 32 MiB stay with the process, and memory comes in huge pages.

By default the memory that a step frees goes back to the kernel, which zeroes it page by page at the next allocation: a fifth of the time of a
step of MiniLM on two cores. Larger blocks do go back: kept in the heap, they would be split by smaller blocks, and the heap would grow."""
MEMORY_FOLDER = "/dev/shm"  # noqa: S108  (the folder in it is made by tempfile)
"""Folder of the heartbeat files, if it exists: a beat, and the step with it, must not wait for a disk that flushes a checkpoint."""
_POLL_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Time limits of the supervisor, in seconds."""

    hang_floor: float = FLOOR_SECONDS
    settle: float = SETTLE_SECONDS
    stacks: float = STACKS_SECONDS


def supervise(config: RunConfig, start: StartProcess, *, limits: Limits | None = None) -> int:
    """Run the ranks of this pod to their end; writes the termination message of the pod, and returns the exit code.

    start: starts the process of one rank. Raises ConfigError if the configuration has no rendezvous.
    """
    memory = MEMORY_FOLDER if os.access(MEMORY_FOLDER, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="tuneloop-", dir=memory) as scratch:
        supervisor = _Supervisor(config, limits=limits or Limits(), scratch=Path(scratch))
        end = supervisor.run(start)
    with suppress(OSError):
        write_termination_message(end.message, Path(config.paths.termination_message))
    _log(f"ends with exit code {end.exit_code}" + (f": {end.message.message}" if end.message.message else ""))
    return end.exit_code


def rank_environment(
    config: RunConfig, local_rank: int, environment: Mapping[str, str], *, cores: int
) -> dict[str, str]:
    """Return the environment of a rank: its number, its share of the cores, and settings of malloc. Variables that are set already stay.

    Raises ConfigError if the configuration has no rendezvous.
    """
    if config.rendezvous is None:
        raise ConfigError("rendezvous: missing; a training pod needs the address and port of rank 0")
    gang = config.settings.gang
    processes = gang.processes_per_node
    own = {
        "RANK": int(environment.get("NODE_RANK", "0")) * processes + local_rank,
        "WORLD_SIZE": gang.nodes * processes,
        "LOCAL_RANK": local_rank,
        "LOCAL_WORLD_SIZE": processes,
        "MASTER_ADDR": config.rendezvous.address,
        "MASTER_PORT": config.rendezvous.port,
    }
    return _defaults(gang, cores=cores) | dict(environment) | {name: str(value) for name, value in own.items()}


def _defaults(gang: GangSettings, *, cores: int) -> dict[str, str]:
    """Return the variables of a rank that the environment may override.

    A rank on CPU has one thread: the number of threads decides the last digits of a sum, and the losses must not depend on the number of
    nodes. More ranks, not more threads, use more cores.
    """
    if gang.gpus_per_node:
        return {"OMP_NUM_THREADS": str(max(1, cores // gang.processes_per_node))}
    return {"OMP_NUM_THREADS": "1", "GLIBC_TUNABLES": KEEP_MEMORY}


@dataclass
class _Supervisor:
    """The ranks of one pod, and the ends of those that have ended."""

    config: RunConfig
    limits: Limits
    scratch: Path
    alive: dict[int, RankProcess] = field(default_factory=dict)
    """By process id."""
    ranks: list[RankProcess] = field(default_factory=list)
    ends: list[RankEnd] = field(default_factory=list)
    asked_to_stop: bool = False
    hang: str | None = None
    kill_at: float | None = None
    """When the ranks that still run are killed; `time.monotonic`."""
    killed: bool = False

    @subreaper()
    def run(self, start: StartProcess) -> Verdict:
        """Start the ranks, and wait until the last has ended."""
        oom_kills_before = oom_kills()
        locked_memory = locked_memory_note(self.config.extended_resources or (), limit=locked_memory_limit())
        if locked_memory:
            _log(locked_memory)
        pipe = SignalPipe(signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
        with selectors.DefaultSelector() as selector, pipe as signals:
            selector.register(signals.read_end, selectors.EVENT_READ)
            self._start(start, selector)
            watch = HangWatch(
                now=time.monotonic(),
                floor_seconds=self.limits.hang_floor,
                limit_seconds=self.config.settings.gang.hang_seconds,
            )
            while self.alive:
                self._pass_output_on(selector)
                if signals.arrived() & {signal.SIGTERM, signal.SIGINT}:
                    self._stop_ranks()
                self._reap()
                self._check_for_hang(watch)
                self._kill_if_due()
        end_orphans()
        pod = PodState(
            step=watch.step,
            out_of_memory_kills=oom_kills() - oom_kills_before,
            asked_to_stop=self.asked_to_stop,
            hang=self.hang,
            locked_memory=locked_memory,
        )
        return verdict(self.ends, pod)

    def _start(self, start: StartProcess, selector: selectors.BaseSelector) -> None:
        processes = self.config.settings.gang.processes_per_node
        cores = usable_cores()
        for local_rank in range(processes):
            environment = rank_environment(self.config, local_rank, os.environ, cores=cores)
            heartbeat, message = (self.scratch / f"{name}.{local_rank}" for name in ("heartbeat", "message"))
            rank = start_rank(
                start,
                rank=int(environment["RANK"]),
                environment=environment
                | {HEARTBEAT_VARIABLE: str(heartbeat), RANK_MESSAGE_VARIABLE: str(message), "PYTHONUNBUFFERED": "1"},
                heartbeat=heartbeat,
                message=message,
                prefix=f"[rank {environment['RANK']}] " if processes > 1 else "",
            )
            self.alive[rank.process.pid] = rank
            self.ranks.append(rank)
            for source, target in rank.outputs:
                selector.register(source, selectors.EVENT_READ, (rank, source, target))

    def _stop_ranks(self) -> None:
        """Ask the ranks to save and leave within the grace period, after SIGTERM or SIGINT."""
        if not self.asked_to_stop:
            self.asked_to_stop = True
            grace = self.config.settings.checkpoint.grace_seconds
            allowed = max(grace - RESERVE_SECONDS, grace / 2)
            self._kill_no_later_than(time.monotonic() + allowed)
            _log(f"asked to stop; the ranks have {allowed:.0f} s to save")
        for rank in self.alive.values():
            rank.send(signal.SIGTERM)

    def _pass_output_on(self, selector: selectors.BaseSelector) -> None:
        for key, _ in selector.select(_POLL_SECONDS):
            if key.data is not None:
                rank, source, target = key.data
                if not rank.pass_on(source, target):
                    selector.unregister(source)

    def _reap(self) -> None:
        """Reap every child that has ended: ranks, and orphaned descendants of ranks."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            rank = self.alive.pop(pid, None)
            if rank is not None:
                self._rank_ended(rank, os.waitstatus_to_exitcode(status))

    def _rank_ended(self, rank: RankProcess, code: int) -> None:
        rank.process.returncode = code
        rank.end_group()
        rank.pass_rest_on()
        end = RankEnd(
            rank=rank.rank,
            exit_code=code if code >= 0 else 128 - code,
            by_supervisor=self.killed and code == -signal.SIGKILL,
            message=_read_message(rank.message),
            last_lines=tuple(rank.last_lines),
        )
        self.ends.append(end)
        if end.exit_code != 0 and not self.killed:
            _log(f"rank {end.rank} ended with exit code {end.exit_code}")
            if end.exit_code != ExitCode.PREEMPTED:  # a preempted rank leaves after saving, and so do all others
                self._kill_no_later_than(time.monotonic() + self.limits.settle)

    def _check_for_hang(self, watch: HangWatch) -> None:
        now = time.monotonic()
        watch.update([read_beat(rank.heartbeat) for rank in self.ranks], now=now)
        if self.hang is None and self.kill_at is None and watch.hangs(now=now):
            stopped = [str(rank.rank) for rank in self.alive.values() if rank.stopped()]
            state = f"; in state T (stopped): rank {', '.join(stopped)}" if stopped else ""
            self.hang = (
                f"no step and no other sign of life for {watch.limit_seconds:.0f} s after step {watch.step}{state}"
            )
            _log(f"{self.hang}; the stacks of all ranks follow")
            for rank in self.alive.values():
                rank.send(signal.SIGUSR1)
            self._kill_no_later_than(now + self.limits.stacks)

    def _kill_no_later_than(self, when: float) -> None:
        self.kill_at = when if self.kill_at is None else min(self.kill_at, when)

    def _kill_if_due(self) -> None:
        if self.kill_at is not None and time.monotonic() >= self.kill_at and not self.killed:
            self.killed = True
            for rank in self.alive.values():
                rank.send(signal.SIGKILL)


def _read_message(path: Path) -> TerminationMessage | None:
    try:
        return TerminationMessage.model_validate_json(path.read_bytes())
    except (OSError, ValueError, ValidationError):
        return None


def _log(text: str) -> None:
    print(f"supervisor: {text}", file=sys.stderr, flush=True)
