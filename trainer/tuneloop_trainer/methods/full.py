"""Full fine-tuning: every parameter is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_trainer.methods.method import Method

if TYPE_CHECKING:
    from torch import nn

    from tuneloop_api.contract.settings import MethodSettings
    from tuneloop_trainer.tasks.task import Task


def _build(model: Any, settings: MethodSettings, *, task: Task, seed: int) -> nn.Module:
    del settings, task, seed  # there is nothing to choose, and nothing new
    trained: nn.Module = model.requires_grad_(True)
    return trained


FULL = Method(
    name="full",
    build=_build,
    merge=None,
    is_adapter=False,
    learning_rates={"encoder": 2e-5, "decoder": 1e-5, "encoder-decoder": 3e-4},
    describe=lambda _settings, _merged: "all parameters",
)
