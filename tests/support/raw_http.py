"""HTTP by hand over plain sockets: what no proper client sends."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import ssl
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SECONDS = 20.0


def connect(port: int, *, source: str = "127.0.0.1") -> socket.socket:
    """Return a connection to a port of this machine. source: the address that it comes from, in 127.0.0.0/8."""
    return socket.create_connection(("127.0.0.1", port), timeout=SECONDS, source_address=(source, 0))


def read_all(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def exchange(port: int, *parts: bytes) -> tuple[int, str]:
    """Send the parts of a request; return status and text of the answer. Status 0: the connection was closed without one."""
    return exchange_all(port, parts)


def exchange_all(port: int, parts: Iterable[bytes]) -> tuple[int, str]:
    """As `exchange`; the parts may be made one by one. The other side may stop reading."""
    with connect(port) as connection:
        with contextlib.suppress(ConnectionError):
            for part in parts:
                connection.sendall(part)
        head, _, text = read_all(connection).partition(b"\r\n\r\n")
        return (int(head.split()[1]), text.decode()) if head else (0, "")


def is_open(connection: socket.socket) -> bool:
    """Tell whether the other side has neither closed nor answered."""
    connection.setblocking(False)
    try:
        connection.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    return False


@contextmanager
def many_open(port: int, count: int, *, first: bytes = b"", source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    """Open connections that send `first` and nothing more. Those that the other side refuses at once are left out."""
    opened: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            with contextlib.suppress(OSError):
                connection = stack.enter_context(connect(port, source=source))
                opened.append(connection)
                connection.sendall(first)
        yield opened


@contextmanager
def open_files(most: int) -> Iterator[None]:
    """Let this process, and those that it starts, open at most so many files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def resident_mib(pid: int) -> float:
    """Return the memory of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
