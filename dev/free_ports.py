"""Free ports of this machine, for programs that need their port before they start."""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import socket
import tempfile
from collections import deque
from pathlib import Path
from typing import IO

from lock_file import open_lock, own_folder

_TRIES = 200
_HELD: deque[IO[bytes]] = deque()
"""Locks of the ports that this process chose last: a program may take seconds until it listens, and other processes choose meanwhile."""
_MOST_HELD = 100


def free_ports(count: int) -> list[int]:
    """Return that many different ports, none of which another process has just chosen.

    The ports lie below the range of the kernel's ports for outgoing connections, which may be taken before the program listens.
    """
    below = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = random.SystemRandom().sample(range(below // 2, below), _TRIES)
    return list(itertools.islice((port for port in candidates if _reserve(port) and _is_free(port)), count))


def free_port() -> int:
    """Return a free port."""
    (port,) = free_ports(1)
    return port


def _reserve(port: int) -> bool:
    """Take the lock of a port; return False if another process holds the lock."""
    folder = own_folder(Path(tempfile.gettempdir()) / f"tuneloop-ports-{os.getuid()}")
    file = open_lock(folder / str(port))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return False
    _HELD.append(file)
    while len(_HELD) > _MOST_HELD:
        _HELD.popleft().close()
    return True


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("", port)).close()
    except OSError:
        return False
    return True
