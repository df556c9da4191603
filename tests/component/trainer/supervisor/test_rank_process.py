"""A rank's output on its way through the supervisor."""

import ctypes
import io
import subprocess
import sys

from tuneloop_trainer.supervisor.rank_process import RankProcess, subreaper

_PR_GET_CHILD_SUBREAPER = 37


class Narrow(io.RawIOBase):
    """Takes ten bytes of a write, as a pipe does when a signal comes in between."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.taken += bytes(data[:10])
        return len(data[:10])


def test_output_arrives_whole_where_writes_are_cut_short(tmp_path):
    program = "print('x' * 1000); print('y')"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    rank = RankProcess(rank=0, process=process, heartbeat=tmp_path, message=tmp_path, prefix=b"[0] ")
    target = Narrow()
    while rank.pass_on(process.stdout, target):
        pass
    process.communicate()
    assert target.taken == b"[0] " + b"x" * 1000 + b"\n[0] y\n"


def test_orphans_are_adopted_only_meanwhile():
    def adopts() -> bool:
        value = ctypes.c_int()
        ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(value), 0, 0, 0)
        return bool(value.value)

    with subreaper():
        assert adopts()
    assert not adopts()
