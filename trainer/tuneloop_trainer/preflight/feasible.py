"""Checks whether the ranks of a pod fit into its memory, and finds the nearest settings that fit. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.preflight.memory_plan import MIB, SHARED_LIBRARIES, memory_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuneloop_api.contract.results import MemoryPlan
    from tuneloop_trainer.models.trace import ModelShape
    from tuneloop_trainer.preflight.memory_plan import Layout

GIB = 1024 * MIB
_SHORTEST = 16
"""Tokens. A shorter cut is never advised."""


@dataclass(frozen=True, kw_only=True)
class Pod:
    """The ranks and the memory limit of a training pod."""

    ranks: int
    limit: int | None
    """Bytes of `resources.memory`. None: there is no limit, or the ranks compute on GPUs, whose memory is not known before they are held."""

    def needs(self, plan: MemoryPlan) -> int:
        """Return the bytes of all ranks of the pod, which share the pages of their libraries. plan: of one rank."""
        return self.ranks * plan.total - (self.ranks - 1) * SHARED_LIBRARIES

    def holds(self, plan: MemoryPlan) -> bool:
        """Tell whether the ranks fit into the limit."""
        return self.limit is None or self.needs(plan) <= self.limit


def refuse_too_large(shape: ModelShape, layout: Layout, *, pod: Pod, global_batch: int) -> None:
    """Raise ConfigError if the pod's ranks do not fit into its memory. The hint names the nearest settings that fit."""
    plan = memory_plan(shape, layout)
    if pod.limit is None or pod.holds(plan):
        return
    who = f"{pod.ranks} ranks need" if pod.ranks > 1 else "a rank needs"
    parts = ", ".join(f"{name} {gib(size)}" for name, size in plan.to_wire().items() if name != "total")
    raise ConfigError(
        f"resources.memory: {gib(pod.limit)} is too little: {who} {gib(pod.needs(plan))} at the peak (each: {parts})",
        hint="set " + ", or ".join(nearest(shape, layout, pod=pod, global_batch=global_batch)),
    )


def nearest(shape: ModelShape, layout: Layout, *, pod: Pod, global_batch: int) -> list[str]:
    """Return texts for a hint: the smallest change of the settings that fits, if any does, and the `resources.memory` that the present settings need."""
    fits = next((change for change in _changes(layout, global_batch) if pod.holds(memory_plan(shape, change))), None)
    found = [] if fits is None else [_described(layout, fits)]
    return [*found, f"resources.memory: at least {_whole_gib(pod.needs(memory_plan(shape, layout)))}"]


def gib(size: int) -> str:
    """Return a number of bytes as text, in GiB or MiB."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"


def _changes(layout: Layout, global_batch: int) -> Iterator[Layout]:
    """Yield other layouts, the nearest first: smaller micro-batches, other ZeRO stages, both, shorter texts, all three."""
    sizes = [size for size in range(layout.micro_batch - 1, 0, -1) if global_batch % size == 0]
    zero_stages = _other_zero_stages(layout)
    lengths = range((layout.tokens - 1) // 8 * 8, _SHORTEST - 1, -8)
    yield from (replace(layout, micro_batch=size) for size in sizes)
    yield from (replace(layout, zero_stage=zero_stage) for zero_stage in zero_stages)
    yield from (
        replace(layout, micro_batch=size, zero_stage=zero_stage) for zero_stage in zero_stages for size in sizes
    )
    yield from (replace(layout, tokens=tokens) for tokens in lengths)
    yield from (
        replace(layout, micro_batch=1, zero_stage=zero_stage, tokens=tokens)
        for zero_stage in (layout.zero_stage, *zero_stages)
        for tokens in lengths
    )


def _other_zero_stages(layout: Layout) -> list[int]:
    """Return the ZeRO stages to try: higher stages divide more between the ranks, lower stages keep fewer copies.

    In bf16 stage 0 is left out: it has no fp32 master weights.
    """
    higher = range(layout.zero_stage + 1, 4) if layout.world_size > 1 else range(0)
    lower = range(layout.zero_stage - 1, 0 if layout.precision == "bf16" else -1, -1)
    return [*higher, *lower]


def _described(layout: Layout, change: Layout) -> str:
    """Return the settings that change, as `FIELD: VALUE`."""
    fields = (
        ("training.microBatchSize", layout.micro_batch, change.micro_batch),
        ("deepspeed.stage", layout.zero_stage, change.zero_stage),
        ("data.maxTokens", layout.tokens, change.tokens),
    )
    return " and ".join(f"{field}: {new}" for field, old, new in fields if new != old)


def _whole_gib(size: int) -> str:
    return f"{math.ceil(size / GIB)}Gi"
