"""What the engine is told, and the DeepSpeed configuration that follows from it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from tuneloop_trainer.engine.buckets import BUCKET
from tuneloop_trainer.engine.deepspeed_import import HfDeepSpeedConfig

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """How to train, as far as it does not depend on the data."""

    stage: int
    """ZeRO stage as asked for, 0 to 3; `effective_stage` is the one that runs."""
    precision: Literal["fp32", "bf16"]
    micro_batch_size: int
    max_grad_norm: float
    """Gradients are scaled down to this global L2 norm; 0 leaves them as they are."""
    learning_rate: float
    weight_decay: float
    beta1: float
    beta2: float
    epsilon: float
    offload_optimizer: bool = False
    """Adam's moments and the fp32 masters lie in host memory, and the step is made there; stages 1 to 3."""

    @property
    def effective_stage(self) -> int:
        """bf16 runs as stage 1 at least: without ZeRO, DeepSpeed keeps its gradients and masters in bf16 or refuses."""
        return max(self.stage, 1) if self.precision == "bf16" else self.stage


def deepspeed_config(settings: EngineSettings) -> dict[str, Any]:
    """Return the configuration under which our loop is exact on any stage and any number of ranks.

    The caller owns the boundary of a step (`managed_gradient_accumulation`): in managed mode stages 1 and 2 keep only the last
    gradient of several backward calls of one step, without an error. Stage 0 is clipped by the engine itself, in fp64.
    """
    stage = settings.effective_stage
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": settings.micro_batch_size,
        "managed_gradient_accumulation": False,
        "gradient_clipping": settings.max_grad_norm if stage else 0.0,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {"stage": stage, "overlap_comm": False, "reduce_bucket_size": BUCKET} | _offload(settings),
        # its own Adam for the host is compiled at first use; torch's is there
        "zero_force_ds_cpu_optimizer": False,
        # its throughput timer waits for the device twice per step
        "timers": {"throughput": {"enabled": False}},
    }
    if settings.precision == "bf16":
        config |= {
            "bf16": {"enabled": True},
            "data_types": {"grad_accum_dtype": "fp32"},
            "communication_data_type": "fp32",
        }
    return config


def _offload(settings: EngineSettings) -> dict[str, Any]:
    if not settings.offload_optimizer:
        return {}
    return {"offload_optimizer": {"device": "cpu", "pin_memory": torch.cuda.is_available()}}


@contextmanager
def zero3_context(settings: EngineSettings) -> Iterator[None]:
    """Let `from_pretrained` inside the block build a ZeRO-3 model in shards; does nothing for the other stages.

    The process group must have been started.
    """
    if settings.effective_stage != 3:
        yield
        return
    kept = HfDeepSpeedConfig(
        deepspeed_config(settings)
    )  # transformers holds a weak reference: it acts while this lives
    yield
    del kept
