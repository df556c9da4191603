"""Forms the process group of the gang's ranks, and exchanges small JSON values between all ranks, never pickles."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # torch's stubs leave it out

from tuneloop_trainer.engine.deepspeed_import import deepspeed
from tuneloop_trainer.errors import CollectiveError, ConfigError
from tuneloop_trainer.failures import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

RENDEZVOUS_TIMEOUT = timedelta(minutes=5)
"""How long a rank waits for rank 0 to listen, and rank 0 for all other ranks."""
COLLECTIVE_TIMEOUT = timedelta(minutes=30)
"""Longest wait inside one collective. The supervisor finds a hang much earlier; this limit ends ranks without a supervisor."""

_LOOPBACK = ("127.", "localhost", "::1")
_LOST_PEER = (
    "gloo",
    "NCCL",
    "ProcessGroup",
    "Connection closed by peer",
    "Connection reset by peer",
    "Socket",
    "TCPStore",
)


def start_process_group(*, timeout: timedelta = RENDEZVOUS_TIMEOUT) -> tuple[int, int]:
    """Join the gang that RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT describe; return (rank, world size).

    gloo on CPU, NCCL on GPUs (one per rank: LOCAL_RANK). Raises CollectiveError when the gang is not complete within `timeout`,
    ConfigError when one of the variables is missing or not a number.
    """
    rank, world_size, local_rank, port = (_number(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"))
    address = os.environ.get("MASTER_ADDR") or "127.0.0.1"
    if address.startswith(_LOOPBACK):
        # by default gloo binds to the address of the host name, which peers on the same machine may not be able to reach
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "nccl"
        torch.cuda.set_device(local_rank)
    try:
        store = TCPStore(address, port, world_size, is_master=rank == 0, timeout=timeout)
        store.set_timeout(timeout)
        dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=COLLECTIVE_TIMEOUT)
    except (RuntimeError, ValueError, OSError) as error:
        raise CollectiveError(
            f"rank {rank} of {world_size} could not join its gang at {address}:{port} "
            f"within {timeout.total_seconds():.0f} s: {_reason(error)}",
            hint="see whether every pod of the attempt runs and whether a network policy lets them reach rank 0",
        ) from error
    deepspeed.init_distributed(dist_backend=backend, verbose=False)
    return rank, world_size


def stop_process_group() -> None:
    """Leave the process group. Only for a normal end: peers that are still inside a collective fail."""
    if dist.is_initialized():
        dist.destroy_process_group()


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
                f"another rank was lost while this one was {doing}: {_reason(error)}",
                hint="the rank that failed first has the cause",
            ) from error
        raise


def _number(name: str) -> int:
    found = os.environ.get(name)
    if found is None or not found.isdigit():
        raise ConfigError(
            f"environment variable {name}: found {found!r}, a whole number is needed, for example {name}=0",
            hint="ranks are started by the supervisor, which sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT",
        )
    return int(found)


def _reason(error: Exception) -> str:
    """Return the first line of torch's message, without the source file before it and the general advice after it."""
    return (
        re.sub(r"^\[[^\]]*\.cc?:\d+\] ", "", first_line(error))
        .partition(". This is typically caused by")[0]
        .rstrip(".")
    )
