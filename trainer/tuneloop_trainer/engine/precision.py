"""The number format that the gang's devices have; `prepare`, which runs without a GPU, can only plan it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import torch

from tuneloop_trainer.engine.process_group import exchange

if TYPE_CHECKING:
    from tuneloop_api.contract.results import PrepareResult

LOG = logging.getLogger(__name__)


def with_precision_of_gang(prepared: PrepareResult, *, chosen: Literal["auto", "fp32", "bf16"]) -> PrepareResult:
    """Return the plan, with fp32 in place of a bf16 that nobody asked for if one rank's device does not have it. Collective.

    chosen: `training.precision`. A checkpoint fits either way, since it holds fp32 masters; going on in the other format is `rounding`.
    """
    if chosen != "auto" or prepared.resolved.precision != "bf16" or _all_have_bf16():
        return prepared
    LOG.warning("precision: fp32, since not every device of the gang has bf16")
    return prepared.model_copy(update={"resolved": prepared.resolved.model_copy(update={"precision": "fp32"})})


def _all_have_bf16() -> bool:
    if not torch.cuda.is_available():
        return all(exchange(False, device=torch.device("cpu")))
    device = torch.device("cuda", torch.cuda.current_device())
    return all(exchange(torch.cuda.is_bf16_supported(including_emulation=False), device=device))
