"""Kills the processes of a session that was killed. The session starts `python -m tuneloop_cli.local.processes.watchdog`.

The kernel kills the first process of a pod together with the session, but not the children of that process. The watchdog kills those:
only the session holds the other end of its input pipe. A line announces a pod that starts (`uid pid start-time`) or has ended (`uid`).
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from typing import IO

from tuneloop_cli.local.processes.processes import PodProcess, kill_all


class Watchdog:
    """The session's end of the pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tuneloop_cli.local.processes.watchdog"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the session
        )

    def guard(self, pod: PodProcess) -> None:
        """Announce a pod, whose processes are killed if the session dies."""
        self._send(f"{pod.pod_uid} {pod.pid} {pod.start_time}")

    def release(self, pod_uid: str) -> None:
        """Announce that the processes of a pod are gone."""
        self._send(pod_uid)

    def close(self) -> None:
        """End the watchdog, which kills every pod that is still guarded."""
        with suppress(BrokenPipeError):
            self._input.close()
        self._process.wait()

    def _send(self, line: str) -> None:
        with suppress(BrokenPipeError):  # the watchdog was killed: the kernel and the next session kill the rest
            self._input.write(f"{line}\n".encode())
            self._input.flush()

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin


def main() -> None:
    """Keep the list of living pods until the pipe closes; then kill them."""
    guarded: dict[str, PodProcess] = {}
    for line in sys.stdin:
        uid, *numbers = line.split()
        guarded.pop(uid, None)
        if numbers:
            pid, started = map(int, numbers)
            guarded[uid] = PodProcess(pod_uid=uid, pid=pid, start_time=started)
    kill_all(list(guarded.values()))


if __name__ == "__main__":
    main()
