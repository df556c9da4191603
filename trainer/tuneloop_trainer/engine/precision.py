"""The precision that the gang's devices support. `prepare` runs without a GPU, and can only plan it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import torch

from tuneloop_api.wire.model import changed
from tuneloop_trainer.engine.collectives import exchange

if TYPE_CHECKING:
    from tuneloop_api.contract.results import PrepareResult

LOG = logging.getLogger(__name__)


def with_precision_of_gang(prepared: PrepareResult, *, chosen: Literal["auto", "fp32", "bf16"]) -> PrepareResult:
    """Return the plan of `prepare`, with fp32 in place of an automatic bf16 if the device of any rank does not support bf16. Collective.

    chosen: `training.precision`. Checkpoints fit both, since they hold fp32 master weights; a resume in another precision is `rounding`.
    """
    if chosen != "auto" or prepared.resolved.precision != "bf16" or _all_have_bf16():
        return prepared
    LOG.warning("precision: fp32, since not every device of the gang has bf16")
    return changed(prepared, resolved=changed(prepared.resolved, precision="fp32"))


def _all_have_bf16() -> bool:
    if not torch.cuda.is_available():
        return all(exchange(False, device=torch.device("cpu")))
    device = torch.device("cuda", torch.cuda.current_device())
    return all(exchange(torch.cuda.is_bf16_supported(including_emulation=False), device=device))
