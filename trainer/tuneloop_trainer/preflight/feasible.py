"""Whether the ranks of a pod fit into its memory, and the nearest setting under which they would. Pure."""

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
"""Tokens; to cut texts further is no advice."""


@dataclass(frozen=True, kw_only=True)
class Pod:
    """What a training pod holds."""

    ranks: int
    limit: int | None
    """Bytes of `resources.memory`; None: no limit, or one that does not bind the plan (the memory of a GPU is not known before it is held)."""

    def needs(self, plan: MemoryPlan) -> int:
        """Return the bytes of all its ranks, which share the pages of their libraries."""
        return self.ranks * plan.total - (self.ranks - 1) * SHARED_LIBRARIES

    def holds(self, plan: MemoryPlan) -> bool:
        """Tell whether its ranks fit."""
        return self.limit is None or self.needs(plan) <= self.limit


def refuse_too_large(shape: ModelShape, layout: Layout, *, pod: Pod, global_batch: int) -> None:
    """Raise ConfigError if the pod's ranks do not fit into its memory; it names the nearest setting that does."""
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
    """Return the settings that would fit: the smallest change of what is trained, if there is one, and the memory that it takes as it is."""
    fits = next((change for change in _changes(layout, global_batch) if pod.holds(memory_plan(shape, change))), None)
    found = [] if fits is None else [_described(layout, fits)]
    return [*found, f"resources.memory: at least {_whole_gib(pod.needs(memory_plan(shape, layout)))}"]


def gib(size: int) -> str:
    """Return a size for people."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"


def _changes(layout: Layout, global_batch: int) -> Iterator[Layout]:
    """Yield other layouts, the nearest first: smaller micro-batches, other stages, both, shorter texts, all three."""
    smaller = [
        replace(layout, micro_batch=size) for size in range(layout.micro_batch - 1, 0, -1) if global_batch % size == 0
    ]
    stages = _other_stages(layout)
    lengths = range((layout.tokens - 1) // 8 * 8, _SHORTEST - 1, -8)
    yield from smaller
    yield from (replace(layout, stage=stage) for stage in stages)
    yield from (replace(smaller_batch, stage=stage) for stage in stages for smaller_batch in smaller)
    yield from (replace(layout, tokens=tokens) for tokens in lengths)
    yield from (
        replace(layout, micro_batch=1, stage=stage, tokens=tokens)
        for stage in (layout.stage, *stages)
        for tokens in lengths
    )


def _other_stages(layout: Layout) -> list[int]:
    """Return the stages to try: those that share more, then those that hold less; bf16 needs the masters of stage 1."""
    higher = range(layout.stage + 1, 4) if layout.world_size > 1 else range(0)
    lower = range(layout.stage - 1, 0 if layout.precision == "bf16" else -1, -1)
    return [*higher, *lower]


def _described(layout: Layout, change: Layout) -> str:
    fields = (
        ("training.microBatchSize", layout.micro_batch, change.micro_batch),
        ("deepspeed.stage", layout.stage, change.stage),
        ("data.maxTokens", layout.tokens, change.tokens),
    )
    return " and ".join(f"{field}: {new}" for field, old, new in fields if new != old)


def _whole_gib(size: int) -> str:
    return f"{math.ceil(size / GIB)}Gi"
