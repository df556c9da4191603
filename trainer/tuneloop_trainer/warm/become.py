"""Turns a fork into what a fresh interpreter with other arguments and another environment would be, for itself and for /proc."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_ARG_START = 45
"""Index of the field `arg_start` behind the name of the program; arg_end, env_start and env_end follow: proc_pid_stat(5)."""


def become(words: Sequence[str], environment: Mapping[str, str]) -> None:
    """Take over arguments and environment, and the number of threads that OMP_NUM_THREADS asks for.

    words: the command line that /proc/self/cmdline shows from now on; the first is the program.
    """
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = list(words[1:])
    _show(words, environment)
    threads = environment.get("OMP_NUM_THREADS", "")
    if threads.isdigit():
        import torch  # noqa: PLC0415  (imported long ago; libgomp has read the variable then)

        torch.set_num_threads(int(threads))


def _show(words: Iterable[str], environment: Mapping[str, str]) -> None:
    """Overwrite the memory that /proc/self/cmdline and /proc/self/environ show. Nothing else reads it: every variable lies on the heap by now.

    Who looks for the processes of a pod looks there. A text that does not fit is cut.
    """
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    arg_start, arg_end, env_start, env_end = map(int, fields[_ARG_START : _ARG_START + 4])
    _overwrite(env_start, env_end, (f"{name}={value}" for name, value in environment.items()))
    _overwrite(arg_start, arg_end, words)  # last: a process that shows its command shows its variables, too


def _overwrite(start: int, end: int, texts: Iterable[str]) -> None:
    room = end - start
    block = b"".join(os.fsencode(text) + b"\0" for text in texts)
    ctypes.memmove(start, block[: room - 1].ljust(room, b"\0"), room)
