"""Ports of this machine that nothing listens on, for programs that must be told one before they start."""

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

_TRIES = 200
_HELD: deque[IO[str]] = deque()
"""Locks of the ports that this process chose last: a program may take seconds until it listens, and others choose meanwhile."""
_MOST_HELD = 100


def free_ports(count: int) -> list[int]:
    """Return as many ports, no two the same, and none that another process has just chosen.

    They lie below the range from which the kernel takes ports for outgoing connections: one of those may be in use before it is listened on.
    """
    below = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = random.SystemRandom().sample(range(below // 2, below), _TRIES)
    return list(itertools.islice((port for port in candidates if _reserve(port) and _is_free(port)), count))


def free_port() -> int:
    """Return one port."""
    (port,) = free_ports(1)
    return port


def _reserve(port: int) -> bool:
    """Take the port's lock; return whether nobody else had it."""
    folder = Path(tempfile.gettempdir()) / f"tuneloop-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    file = (folder / str(port)).open("w")
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
