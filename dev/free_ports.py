"""Ports of this machine that nothing listens on, for programs that must be told one before they start."""

from __future__ import annotations

import itertools
import random
import socket
from pathlib import Path

_TRIES = 200


def free_ports(count: int) -> list[int]:
    """Return as many ports, no two the same.

    They lie below the range from which the kernel takes ports for outgoing connections: one of those may be in use before it is listened on.
    """
    below = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = random.SystemRandom().sample(range(below // 2, below), _TRIES)
    return list(itertools.islice(filter(_is_free, candidates), count))


def free_port() -> int:
    """Return one port."""
    (port,) = free_ports(1)
    return port


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("", port)).close()
    except OSError:
        return False
    return True
