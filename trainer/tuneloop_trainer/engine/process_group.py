"""Forms the process group of the gang's ranks."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # torch's stubs leave it out

from tuneloop_trainer.engine.collectives import COLLECTIVE_TIMEOUT, torch_reason
from tuneloop_trainer.engine.deepspeed_import import deepspeed
from tuneloop_trainer.errors import CollectiveError, ConfigError

RENDEZVOUS_TIMEOUT = timedelta(minutes=5)
"""How long a rank waits for rank 0 to listen, and rank 0 for all other ranks."""

_LOOPBACK = ("127.", "localhost", "::1")


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
            f"within {timeout.total_seconds():.0f} s: {torch_reason(error)}",
            hint="see whether every pod of the attempt runs and whether a network policy lets them reach rank 0",
        ) from error
    deepspeed.init_distributed(dist_backend=backend, verbose=False)
    return rank, world_size


def stop_process_group() -> None:
    """Leave the process group. Only for a normal end: peers that are still inside a collective fail."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _number(name: str) -> int:
    found = os.environ.get(name)
    if found is None or not found.isdigit():
        raise ConfigError(
            f"environment variable {name}: found {found!r}, a whole number is needed, for example {name}=0",
            hint="ranks are started by the supervisor, which sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT",
        )
    return int(found)
