"""How memory is shared between the ranks: `spec.deepspeed`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop_api.wire.model import SpecModel
from tuneloop_api.wire.rules import Rule


class DeepSpeed(SpecModel):
    """How memory is shared between ranks."""

    stage: Annotated[int, Field(ge=0, le=3)] | None = None
    """ZeRO stage, what is divided between the ranks: 0 nothing, 1 optimizer states, 2 gradients too, 3 parameters too. A higher stage takes less memory and more
    communication; the model is the same. Default: 2 on GPUs or with `offloadOptimizer: cpu` (1 for a single rank), else 0. For example `3`."""
    offload_optimizer: Literal["none", "cpu"] | None = None
    """Where the optimizer states lie and the step is made: `none` on the GPUs, `cpu` in the nodes' memory, which takes less of a GPU and more time. Not together with
    `stage: 0`. Default: `none`."""

    rules = (
        Rule(
            field="offloadOptimizer",
            reason="FieldValueForbidden",
            message="cannot be cpu with stage: 0, which shares nothing out; for example stage: 2 with offloadOptimizer: cpu",
            cel="self.?offloadOptimizer.orValue('none') == 'none' || self.?stage.orValue(2) != 0",
            holds=lambda deepspeed: deepspeed.offload_optimizer != "cpu" or deepspeed.stage != 0,
        ),
    )
