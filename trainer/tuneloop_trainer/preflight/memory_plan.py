"""Plans the memory of a rank at its peak, from the sizes of the model and the layout of the training. Pure.

Sizes are in bytes. On a CPU the plan is for the resident set of the process, on a GPU for the memory of the GPU. `bench/memory_plan.py` compares
the plan with real ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop_api.contract.results import MemoryPlan
from tuneloop_trainer.engine.buckets import BUCKET

if TYPE_CHECKING:
    from tuneloop_api.contract.results import Precision
    from tuneloop_trainer.models.trace import ModelShape

MIB = 2**20
LIBRARIES = 1000 * MIB
"""Memory of a rank on CPU without a model: 930 MiB for the interpreter, the libraries and what their first use loads; about 70 MiB of free
memory that batches of changing lengths scatter over the heap (texts of up to 64 tokens). Measured with the versions that we pin."""
SHARED_LIBRARIES = 380 * MIB
"""The part of `LIBRARIES` that the ranks of a pod share: pages of the libraries' files. Measured."""
CUDA_CONTEXT = 800 * MIB
"""Memory of the CUDA context with the kernels of torch, cuBLAS and NCCL. An estimate, not measured."""
HOLES = 0.5
"""Part of the bytes that the forward pass frees which stays in the heap of a rank on CPU as holes. An aligned allocation of glibc does not fit
into the hole that an aligned block of the same size has left. Measured."""
GATHERED = 1_000_000_000
"""Parameters that ZeRO-3 holds whole at a time, at most (`stage3_max_live_parameters`)."""
FETCHED = 50_000_000
"""Parameters that ZeRO-3 prefetches from other ranks at a time, at most (`stage3_prefetch_bucket_size`)."""
FP32_BYTES = 4
_BYTES = {"fp32": 4, "bf16": 2}
_MOMENTS = 2
_SAVED = 3
"""Numbers that a checkpoint holds for each trained parameter: its value and both moments, in fp32."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The settings of a training that its memory depends on."""

    tokens: int
    """Tokens of the longest row."""
    micro_batch: int
    """Rows of a micro-batch."""
    zero_stage: int
    """ZeRO stage that runs, 0 to 3."""
    world_size: int
    precision: Precision
    gpu: bool
    offload: bool = False
    """The optimizer works in host memory."""
    target_tokens: int = 0
    """Tokens of the longest text that the model is to write; 0: it writes none, or none is known."""

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence; a model that writes is measured with texts that are as long as those that it reads."""
        return max(self.tokens, self.target_tokens)

    def part(self, size: int) -> int:
        """Return this rank's part of a number of bytes that ZeRO divides between the ranks; all of them on stage 0."""
        return size // self.world_size if self.zero_stage else size


def memory_plan(shape: ModelShape, layout: Layout) -> MemoryPlan:
    """Return the memory of the rank that needs most. The parts add up to the total."""
    weights, gradients, optimizer = _weights(shape, layout), _gradients(shape, layout), _optimizer(shape, layout)
    activations = shape.kept.bytes_for(rows=layout.micro_batch, tokens=layout.longest)
    framework = _bucket(shape, layout) + (CUDA_CONTEXT if layout.gpu else LIBRARIES)
    if not layout.gpu:
        saved = saved_bytes(shape, ranks=layout.world_size)
        holes = round(HOLES * shape.freed.bytes_for(rows=layout.micro_batch, tokens=layout.longest))
        # gradients and moments are allocated after the first forward pass, and fill its holes
        framework += max(saved, holes - gradients - optimizer)
    return MemoryPlan(
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        activations=activations,
        framework=framework,
        total=weights + gradients + optimizer + activations + framework,
    )


def saved_bytes(shape: ModelShape, *, ranks: int = 1) -> int:
    """Return the bytes of a checkpoint, or of the shard of one of several ranks. A rank holds a copy of its shard in memory while it is written."""
    return _SAVED * FP32_BYTES * shape.trainable // ranks


def _weights(shape: ModelShape, layout: Layout) -> int:
    """Return the bytes of the parameters that a rank holds.

    Stages 0 to 2: all parameters. Stage 3: this rank's part, and the parameters that are gathered whole; on several ranks on CPU the prefetched
    parameters take their size once more (measured).
    """
    size = _BYTES[layout.precision]
    if layout.zero_stage < 3:
        return size * shape.parameters
    fetched = 0 if layout.gpu or layout.world_size == 1 else min(shape.parameters, FETCHED)
    return size * (layout.part(shape.parameters) + min(shape.parameters, GATHERED) + fetched)


def _gradients(shape: ModelShape, layout: Layout) -> int:
    """Return the bytes of the gradients: one for each trained parameter; with ZeRO also this rank's part in fp32 twice, as a sum and flat for the optimizer."""
    size = _BYTES[layout.precision] * shape.trainable
    return size + 2 * layout.part(FP32_BYTES * shape.trainable) if layout.zero_stage else size


def _optimizer(shape: ModelShape, layout: Layout) -> int:
    """Return the bytes of this rank's moments and, with ZeRO, of its fp32 master weights, which ZeRO keeps also where the weights are fp32."""
    if layout.gpu and layout.offload:
        return 0
    sets = _MOMENTS + (1 if layout.zero_stage else 0)
    return layout.part(sets * FP32_BYTES * shape.trainable)


def _bucket(shape: ModelShape, layout: Layout) -> int:
    """Return the bytes of the buffer in which ZeRO reduces gradients."""
    return FP32_BYTES * min(shape.trainable, BUCKET) if layout.zero_stage else 0
