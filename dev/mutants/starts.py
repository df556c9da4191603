"""Which audit events of Python are the start of another process."""

from __future__ import annotations

from pathlib import PurePath

_EVENTS = frozenset({"os.fork", "os.posix_spawn", "subprocess.Popen"})
_FORK_SERVER = "listener-"
"""What the name of the socket of multiprocessing's fork server begins with."""


def starts_a_process(event: str, arguments: tuple[object, ...]) -> bool:
    """Whether an audit event is the start of a process. The fork server of multiprocessing starts one for each connection."""
    if event == "socket.connect":
        address = arguments[1]
        return isinstance(address, str) and PurePath(address.strip("\0")).name.startswith(_FORK_SERVER)
    return event in _EVENTS
