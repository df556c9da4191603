"""The settings of the engine, and the DeepSpeed configuration that follows from them."""

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
    """Hyper-parameters and ZeRO stage of the engine."""

    zero_stage: int
    """Requested ZeRO stage, 0 to 3; `effective_zero_stage` is the stage that runs."""
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
    """Keep Adam's moments and the fp32 master weights in host memory, and make the step there; ZeRO stages 1 to 3."""

    @property
    def effective_zero_stage(self) -> int:
        """The ZeRO stage that runs. bf16 needs stage 1: on stage 0 DeepSpeed keeps gradients and master weights in bf16, or refuses."""
        return max(self.zero_stage, 1) if self.precision == "bf16" else self.zero_stage


def deepspeed_config(settings: EngineSettings) -> dict[str, Any]:
    """Return the DeepSpeed configuration under which training is exact on any ZeRO stage and any number of ranks.

    `managed_gradient_accumulation` is off, since our loop decides where a step ends: with it, stages 1 and 2 keep only the last
    gradient of several backward calls of one step, without an error. On stage 0 the engine itself clips, in fp64.
    """
    zero_stage = settings.effective_zero_stage
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": settings.micro_batch_size,
        "managed_gradient_accumulation": False,
        "gradient_clipping": settings.max_grad_norm if zero_stage else 0.0,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {"stage": zero_stage, "overlap_comm": False, "reduce_bucket_size": BUCKET}
        | _offload(settings),
        # DeepSpeed's own Adam for the host is compiled at its first use; torch's is there
        "zero_force_ds_cpu_optimizer": False,
        # DeepSpeed's throughput timer waits for the device twice per step
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
    """Let `from_pretrained` inside the block build a ZeRO-3 model in shards; no effect on the other stages.

    The process group must have been started.
    """
    if settings.effective_zero_stage != 3:
        yield
        return
    kept = HfDeepSpeedConfig(
        deepspeed_config(settings)
    )  # transformers holds a weak reference to it, and shards models while it lives
    yield
    del kept
