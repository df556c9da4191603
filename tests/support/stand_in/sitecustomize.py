"""Makes `python -m PROGRAM` a stand-in for a fork of a process that has imported the program: it ends with the fork, and the fork with it (`stand_ins`)."""

import os
import sys


def _stand_in(path: str) -> None:
    import json
    import signal
    import socket

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    connection.connect(path)
    asked = {
        "words": sys.orig_argv,
        "environment": dict(os.environ),
        "directory": os.path.realpath("."),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "is_stand_in": True,
    }
    socket.send_fds(connection, [json.dumps(asked).encode()], [0, 1, 2])
    _, descriptors, *_ = socket.recv_fds(connection, 16, 1)
    if not descriptors:
        return

    def pass_on(number: int, _frame: object) -> None:
        try:
            signal.pidfd_send_signal(descriptors[0], number)
        except ProcessLookupError:
            return

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, pass_on)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # whoever started the program reads the end of its pipes as the end of the program
        os.dup2(null, descriptor)
    code = int(connection.recv(16) or -signal.SIGKILL)
    if code < 0:
        if -code not in {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


_FORKS = dict(entry.split("=", 1) for entry in os.environ.get("FORKS_OF_TESTS", "").split(os.pathsep) if entry)
if sys.orig_argv[1:2] == ["-m"] and sys.orig_argv[2:3] and sys.orig_argv[2] in _FORKS:
    _stand_in(_FORKS[sys.orig_argv[2]])
