"""The network namespaces of pods that run on this machine: `network_of`, `inside_network`. Needs root."""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def inside_network(namespace: Path) -> Iterator[None]:
    """Let this thread, and what it starts, be in the network of a namespace."""
    with Path("/proc/thread-self/ns/net").open() as outside, namespace.open() as inside:
        _enter(inside.fileno())
        try:
            yield
        finally:
            _enter(outside.fileno())


def network_of(pod: dict[str, Any]) -> Path:
    """Return the network namespace of a pod, by one of its processes."""
    return processes_of(pod)[0] / "ns" / "net"


def processes_of(pod: dict[str, Any]) -> list[Path]:
    """Return the folders in `/proc` of what runs in a pod."""
    uid = pod["metadata"]["uid"]
    return [path.parent for path in Path("/proc").glob("[0-9]*/cgroup") if uid in _content(path)]


def _content(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process ended meanwhile
        return ""


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
