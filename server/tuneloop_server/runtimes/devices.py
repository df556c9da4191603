"""Where torch computes a model: on the GPU of the pod, or on the CPU."""

from __future__ import annotations

import torch

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_server.errors import CannotServe
from tuneloop_server.runtimes.packed_linear import pack_linears

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


def place(model: torch.nn.Module, device: torch.device) -> None:
    """Bring the weights of a model to where they are computed with; on the CPU in the layout that the CPU likes."""
    if device == CPU:
        pack_linears(model)
    else:
        model.to(device)
