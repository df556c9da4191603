"""Exchanges small JSON values between all ranks, never pickles, and names a lost peer."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from tuneloop_trainer.errors import CollectiveError
from tuneloop_trainer.failures import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

COLLECTIVE_TIMEOUT = timedelta(minutes=30)
"""Longest wait inside one collective. The supervisor finds a hang much earlier; this limit ends ranks without a supervisor."""

_LOST_PEER = (
    "gloo",
    "NCCL",
    "ProcessGroup",
    "Connection closed by peer",
    "Connection reset by peer",
    "Socket",
    "TCPStore",
)


class Channel:
    """A process group of its own for a thread that runs on every rank beside training. The constructor and `exchange` are collectives.

    Its collectives are independent of those of training: neither waits for the other. It always uses gloo.
    """

    def __init__(self, *, doing: str) -> None:
        """doing: what the threads do, for the error when a rank is lost."""
        self.rank = dist.get_rank()
        self._doing = doing
        self._group: Any = dist.new_group(backend="gloo", timeout=COLLECTIVE_TIMEOUT)

    def exchange(self, value: Any) -> list[Any]:
        """Give every rank the JSON values of all ranks, in the order of ranks. Raises CollectiveError when a rank was lost."""
        with lost_peers_named(self._doing):
            return exchange(value, device=torch.device("cpu"), group=self._group)

    def close(self) -> None:
        """Free the threads and sockets of the group."""
        dist.destroy_process_group(self._group)


def exchange(value: Any, *, device: torch.device, group: dist.ProcessGroup | None = None) -> list[Any]:
    """Give every rank the JSON values of all ranks, in the order of ranks. Collective.

    Uses two all-reduces of disjoint rows: torch's collectives of objects would pickle.
    """
    rank, world_size = dist.get_rank(), dist.get_world_size()
    text = json.dumps(value, allow_nan=False).encode()
    lengths = torch.zeros(world_size, dtype=torch.int64, device=device)
    lengths[rank] = len(text)
    dist.all_reduce(lengths, group=group)
    board = torch.zeros(world_size, int(lengths.max()), dtype=torch.uint8, device=device)
    board[rank, : len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8).to(device)
    dist.all_reduce(board, group=group)
    rows = board.cpu().numpy()
    return [json.loads(row[:length].tobytes()) for row, length in zip(rows, lengths.tolist(), strict=True)]


@contextmanager
def lost_peers_named(doing: str) -> Iterator[None]:
    """Raise CollectiveError in place of the errors of gloo and NCCL for a lost peer."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if isinstance(error, dist.DistError) or any(mark in text for mark in _LOST_PEER):
            raise CollectiveError(
                f"another rank was lost while this one was {doing}: {torch_reason(error)}",
                hint="the rank that failed first has the cause",
            ) from error
        raise


def torch_reason(error: Exception) -> str:
    """Return the first line of torch's message, without the source file before it and the general advice after it."""
    return (
        re.sub(r"^\[[^\]]*\.cc?:\d+\] ", "", first_line(error))
        .partition(". This is typically caused by")[0]
        .rstrip(".")
    )
