"""Forks a process for each request, and tells how each has ended.

Requests come as lines of JSON on one pipe, answers leave on another. A forked process is a child of this one, leads a session of its own,
and is killed by the kernel when this process dies.
"""

from __future__ import annotations

import json
import os
import select
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tuneloop_trainer.supervisor.signal_pipe import SignalPipe
from tuneloop_trainer.supervisor.start import die_with

IDLE_SECONDS = 300.0
"""A warm process that has forked nothing for so long ends: it holds 800 MB."""
_READ = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Request:
    """A command of the trainer that a new process is to run."""

    arguments: tuple[str, ...]
    """Of `python -m tuneloop_trainer`."""
    environment: dict[str, str]
    directory: str
    """Its working directory."""
    log: str
    """The file to which its output is appended."""


class ForkServer:
    """Serves the requests of one client."""

    def __init__(self, *, requests: int, answers: int, idle_seconds: float = IDLE_SECONDS) -> None:
        """`requests`, `answers`: file descriptors of pipes."""
        self._requests, self._answers, self._idle_seconds = requests, answers, idle_seconds
        self._partial_line = b""
        self._children: set[int] = set()

    def serve(self) -> Request | None:
        """Return None in the server at its end, and the request in each forked process.

        The server ends when its client closes the pipe, and after `idle_seconds` without a child.
        """
        server = os.getpid()
        with SignalPipe(signal.SIGCHLD) as signals:
            request = self._serve(signals)
        if request is not None:
            self._become_child(request, server=server)
        return request

    def _serve(self, signals: SignalPipe) -> Request | None:
        while (requests := self._wait(signals)) is not None:
            for request in requests:
                pid = os.fork()
                if pid == 0:
                    return request
                self._children.add(pid)
                self._answer(started=pid)
            signals.arrived()
            self._reap()
        return None

    def _wait(self, signals: SignalPipe) -> list[Request] | None:
        """Return the requests that came, which may be none; None if the server is to end."""
        timeout = None if self._children else self._idle_seconds
        ready, _, _ = select.select([self._requests, signals.read_end.fileno()], [], [], timeout)
        if not ready:
            return None
        if self._requests not in ready:
            return []
        read = os.read(self._requests, _READ)
        *lines, self._partial_line = (self._partial_line + read).split(b"\n")
        return [_request(line) for line in lines] if read else None

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._children.discard(pid)
                self._answer(ended=pid, code=os.waitstatus_to_exitcode(status))

    def _answer(self, **answer: int) -> None:
        with suppress(BrokenPipeError):  # the client is gone; the next read says so
            os.write(self._answers, f"{json.dumps(answer)}\n".encode())

    def _become_child(self, request: Request, *, server: int) -> None:
        """Give a forked process what a started one has: a session, a working directory, its output, an end with the server."""
        os.close(self._requests)
        os.close(self._answers)
        os.setsid()
        die_with(server)
        os.chdir(request.directory)
        output = os.open(request.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os.close(output)


def _request(line: bytes) -> Request:
    fields: dict[str, Any] = json.loads(line)
    return Request(**fields | {"arguments": tuple(fields["arguments"])})
