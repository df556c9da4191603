"""What is published: `spec.output`."""

from __future__ import annotations

from typing import Literal

from tuneloop_api.wire.model import SpecModel


class Output(SpecModel):
    """What is published."""

    checkpoint: Literal["best", "last"] | None = None
    """Which checkpoint is published: the `best` on the validation split by `training.bestMetric`, or the `last`. Default: `best`."""
    merge_adapter: bool | None = None
    """Whether LoRA weights are merged into the model, so that it loads without PEFT; the adapter is published besides. With false the adapter is all that is
    published: PEFT loads it beside its base model, and no ModelDeployment serves it. Applies only to `method.type: lora`. Default: true."""
