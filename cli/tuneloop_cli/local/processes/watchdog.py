"""Ends what a session leaves behind when it is killed: `python -m tuneloop_cli.local.processes.watchdog`, started by the session.

The kernel kills a pod's first process with the session, but not that process's children. This process outlives the session by a moment:
its input is a pipe that only the session holds, one line for each pod that starts (`uid pid start-time`) or is gone (`uid`).
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
        """End this pod's processes if the session dies."""
        self._say(f"{pod.pod_uid} {pod.pid} {pod.start_time}")

    def release(self, pod_uid: str) -> None:
        """This pod's processes are gone."""
        self._say(pod_uid)

    def close(self) -> None:
        """End the watchdog, and with it every pod that is still guarded."""
        with suppress(BrokenPipeError):
            self._input.close()
        self._process.wait()

    def _say(self, line: str) -> None:
        with suppress(BrokenPipeError):  # somebody ended it: the kernel and the next session still do their part
            self._input.write(f"{line}\n".encode())
            self._input.flush()

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin


def main() -> None:
    """Remember the living pods until the pipe closes; then kill them."""
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
