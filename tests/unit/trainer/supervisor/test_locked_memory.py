"""A limit of locked memory that is too small for RDMA is said once, in one sentence, and again where the ranks could not talk to each other."""

from __future__ import annotations

import resource

import pytest

from tuneloop_api.contract.results import TerminationMessage
from tuneloop_trainer.supervisor.locked_memory import ENOUGH_BYTES, locked_memory_note
from tuneloop_trainer.supervisor.verdict import PodState, RankEnd, verdict

DEVICES = ("rdma/hca", "vpc.amazonaws.com/efa")


@pytest.mark.parametrize(
    ("limit", "shown"),
    [
        (0, "0 bytes"),
        (64 << 10, "64 KiB"),
        (8 << 20, "8 MiB"),
        (ENOUGH_BYTES - 1, "1023 MiB"),
    ],
)
def test_a_small_limit_is_named_with_the_devices_and_what_to_raise(limit: int, shown: str) -> None:
    assert locked_memory_note(DEVICES, limit=limit) == (
        f"The pod asks for rdma/hca, vpc.amazonaws.com/efa, and a process may lock {shown} of memory (RLIMIT_MEMLOCK), "
        "which is too little for RDMA; raise LimitMEMLOCK of the container runtime on the nodes (docs/install.md, InfiniBand)."
    )


@pytest.mark.parametrize("limit", [ENOUGH_BYTES, 1 << 40, resource.RLIM_INFINITY])
def test_a_large_limit_is_no_trouble(limit: int) -> None:
    assert locked_memory_note(DEVICES, limit=limit) is None


def test_without_devices_nobody_needs_locked_memory() -> None:
    assert locked_memory_note((), limit=0) is None


@pytest.mark.parametrize(
    ("code", "own", "hint"),
    [
        (77, None, "raise it"),
        (
            77,
            TerminationMessage(stage="train", outcome="Failed", failure_class="Collective", hint="look there"),
            "raise it look there",
        ),
        (
            65,
            TerminationMessage(stage="train", outcome="Failed", failure_class="Data", hint="look there"),
            "look there",
        ),
        (1, None, None),
        (0, None, None),
    ],
)
def test_the_hint_names_the_limit_only_where_the_ranks_could_not_talk(code: int, own: TerminationMessage | None, hint: str | None) -> None:  # fmt: skip
    end = RankEnd(rank=0, exit_code=code, by_supervisor=False, message=own, last_lines=())
    pod = PodState(step=1, out_of_memory_kills=0, asked_to_stop=False, hang=None, locked_memory="raise it")
    assert verdict([end], pod).message.hint == hint
