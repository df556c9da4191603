"""The memory of one rank at its peak, from the shape of the model and how it is trained. Pure; `bench/memory_plan.py` measures it.

On CPU it is that of the process (resident set), on a GPU that of the GPU. Sizes are in bytes.
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
"""Of a rank on CPU: interpreter, libraries and what their first use loads (930 MiB), and what batches of changing lengths leave scattered in
the heap (about 70 MiB with texts of up to 64 tokens). Measured with the versions that we pin."""
SHARED_LIBRARIES = 380 * MIB
"""The part of it that the ranks of a pod have in common: pages of the libraries' files."""
CUDA_CONTEXT = 800 * MIB
"""Context of CUDA with the kernels of torch, cuBLAS and NCCL. An estimate: not measured yet."""
HOLES = 0.5
"""Part of what passes through the forward pass that stays behind as holes in the heap of a rank on CPU: glibc's aligned allocations do not
fit into a hole that one of the same size has left. Measured."""
GATHERED = 1_000_000_000
"""Parameters that ZeRO-3 holds whole at a time, at most (`stage3_max_live_parameters`)."""
FETCHED = 50_000_000
"""Parameters that it has on their way between ranks, at most (`stage3_prefetch_bucket_size`)."""
FP32_BYTES = 4
_BYTES = {"fp32": 4, "bf16": 2}
_MOMENTS = 2
_SAVED = 3
"""A checkpoint has the parameter and both moments, in fp32."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the model is trained."""

    tokens: int
    """Of the longest row."""
    micro_batch: int
    stage: int
    """ZeRO stage that runs, 0 to 3."""
    world_size: int
    precision: Precision
    gpu: bool
    offload: bool = False
    """The optimizer works in host memory."""

    def part(self, size: int) -> int:
        """Return this rank's part of what ZeRO shares out."""
        return size // self.world_size if self.stage else size


def memory_plan(shape: ModelShape, layout: Layout) -> MemoryPlan:
    """Return the memory of the rank that needs most."""
    weights, gradients, optimizer = _weights(shape, layout), _gradients(shape, layout), _optimizer(shape, layout)
    activations = shape.kept.of(rows=layout.micro_batch, tokens=layout.tokens)
    framework = _bucket(shape, layout) + (CUDA_CONTEXT if layout.gpu else LIBRARIES)
    if not layout.gpu:
        saved = saved_bytes(shape, ranks=layout.world_size)
        holes = round(HOLES * shape.passing.of(rows=layout.micro_batch, tokens=layout.tokens))
        # what is made after the first forward pass comes to lie in its holes
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
    """Return the bytes of a checkpoint, or of one rank's part of it, which the rank holds in its own memory as well."""
    return _SAVED * FP32_BYTES * shape.trainable // ranks


def _weights(shape: ModelShape, layout: Layout) -> int:
    """Return the bytes of the parameters: whole, or on stage 3 this rank's part and those that are gathered.

    What is on its way between ranks on CPU is there a second time. Measured.
    """
    size = _BYTES[layout.precision]
    if layout.stage < 3:
        return size * shape.parameters
    fetched = 0 if layout.gpu or layout.world_size == 1 else min(shape.parameters, FETCHED)
    return size * (layout.part(shape.parameters) + min(shape.parameters, GATHERED) + fetched)


def _gradients(shape: ModelShape, layout: Layout) -> int:
    """Return the bytes of the gradients: one set; with ZeRO also this rank's part in fp32, summed up, and flat for the optimizer."""
    size = _BYTES[layout.precision] * shape.trainable
    return size + 2 * layout.part(FP32_BYTES * shape.trainable) if layout.stage else size


def _optimizer(shape: ModelShape, layout: Layout) -> int:
    """Return the bytes of this rank's moments, and of the fp32 masters, which ZeRO keeps beside fp32 weights, too."""
    if layout.gpu and layout.offload:
        return 0
    sets = _MOMENTS + (1 if layout.stage else 0)
    return layout.part(sets * FP32_BYTES * shape.trainable)


def _bucket(shape: ModelShape, layout: Layout) -> int:
    """Return the bytes of what ZeRO reduces at a time."""
    return FP32_BYTES * min(shape.trainable, BUCKET) if layout.stage else 0
