"""Where torch computes a model: on the GPU of the pod, or on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_server.errors import CannotServe
from tuneloop_server.runtimes.packed_linear import pack_linears
from tuneloop_server.runtimes.unpadded_encoder import leave_out_padding

if TYPE_CHECKING:
    import transformers

CPU = torch.device("cpu")


def device_of(gpus: int | None) -> torch.device:
    """Return the device for the model of a pod that holds these GPUs.

    Raises CannotServe if torch sees none of them: the model would be computed on the CPU, and keep the GPU from others.
    """
    if not gpus:
        return CPU
    if torch.cuda.device_count() == 0:
        raise CannotServe(
            f"resources.gpus: {gpus} belongs to this pod, and torch sees none",
            exit_code=ExitCode.CONFIG,
            hint="see whether the device plugin of the node and its driver work, whether scheduling.runtimeClassName names the runtime for GPUs (often nvidia), "
            "and whether the image has a torch for these GPUs",
        )
    return torch.device("cuda", 0)


def place(model: transformers.PreTrainedModel, device: torch.device) -> None:
    """Bring a model to where it computes: on the CPU with weights in the layout that the CPU likes, and without padding where that works."""
    if device == CPU:
        pack_linears(model)
        leave_out_padding(model)
    else:
        model.to(device)
