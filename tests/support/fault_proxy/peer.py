"""Which process is at the other end of a connection over loopback, from /proc (Linux)."""

from __future__ import annotations

from pathlib import Path


def pid_of_peer(*, peer_port: int, own_port: int) -> int | None:
    """Return the process that holds the socket 127.0.0.1:`peer_port` connected to 127.0.0.1:`own_port`; None if it is gone."""
    inode = _inode(peer_port, own_port)
    return _holder(f"socket:[{inode}]") if inode else None


def _inode(local: int, remote: int) -> str | None:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if (columns[1], columns[2]) == (f"0100007F:{local:04X}", f"0100007F:{remote:04X}"):
            return columns[9]
    return None


def _holder(socket: str) -> int | None:
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and _holds(process / "fd", socket):
            return int(process.name)
    return None


def _holds(folder: Path, socket: str) -> bool:
    try:
        return any(_points_to(entry) == socket for entry in folder.iterdir())
    except OSError:  # it has ended meanwhile
        return False


def _points_to(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:  # it was closed meanwhile
        return ""
