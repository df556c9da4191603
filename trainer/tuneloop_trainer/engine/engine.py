"""The engine: one model on all ranks through DeepSpeed, exact on every ZeRO stage.

The training loop calls `forward`, `backward`, `step` and a few collectives. Every rank makes the same calls in the same order: with
ZeRO-3 even a forward pass is a collective.
"""

from __future__ import annotations

import io
import math
import os
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
import xxhash
from torch import Tensor, nn

from tuneloop_trainer.engine.collectives import exchange, lost_peers_named
from tuneloop_trainer.engine.deepspeed_import import deepspeed
from tuneloop_trainer.engine.master_weights import MasterWeights, full_shape, trainable
from tuneloop_trainer.engine.process_group import start_process_group, stop_process_group
from tuneloop_trainer.engine.settings import EngineSettings, deepspeed_config, zero3_context
from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Engine", "EngineSettings", "start_process_group", "stop_process_group", "zero3_context"]

_NORM_BLOCK = 1 << 15
"""Elements for each thread."""
_SMALL_GRADIENT = 1 << 16
"""Elements. Smaller gradients are summed over the ranks in one all-reduce."""


class Engine:
    """A model and its AdamW optimizer, spread over the ranks of the process group.

    `model` is in fp32, or was loaded inside `zero3_context`. rate_factors: what the learning rate of a parameter is multiplied by, by its name; 1 for all others.
    Raises ConfigError when no parameter is trainable.
    """

    def __init__(
        self, model: nn.Module, settings: EngineSettings, *, rate_factors: dict[str, float] | None = None
    ) -> None:
        _compute_repeatably()
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        self.zero_stage = settings.effective_zero_stage
        self.settings = settings
        self._norm = 0.0
        adam = torch.optim.AdamW(
            _parameter_groups(model, weight_decay=settings.weight_decay, rate_factors=rate_factors or {}),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.epsilon,
            fused=True,
        )
        if self.zero_stage == 0:
            adam.register_step_pre_hook(lambda optimizer, *_: self._clip(optimizer))
        with lost_peers_named("setting up DeepSpeed"), _quietly():
            self._deepspeed: Any = deepspeed.initialize(model=model, optimizer=adam, config=deepspeed_config(settings))[
                0
            ]
        self.model: nn.Module = self._deepspeed.module
        self.device: torch.device = torch.device(self._deepspeed.device)
        self.master_weights = MasterWeights(self._deepspeed, rank=self.rank, world_size=self.world_size)
        self._deepspeed.enable_backward_allreduce = self.zero_stage > 0  # on stage 0 the gradients are averaged here
        self._first_buffers = {name: buffer.detach().clone() for name, buffer in self._buffers()}
        self._frozen_digest: str | None = None
        self._always_add_gradients()

    def forward(self, **inputs: Tensor) -> Any:
        """Run the model, also for evaluation under `torch.no_grad()`. Every rank makes the same number of calls."""
        with lost_peers_named("in a forward pass"):
            return self._deepspeed(**{name: value.to(self.device) for name, value in inputs.items()})

    @torch.no_grad()
    def generate(self, inputs: dict[str, Tensor], *, beat: Callable[[], None]) -> Tensor:
        """Let the model write a text for each row, by its own `generation_config`; returns token ids, padded on the right. Every rank makes the same number of calls.

        On ZeRO-3 the ranks gather weights together in each forward pass: one that is done goes on until all are. `beat` is called after each token.
        """

        def beaten(ids: Tensor, _scores: Tensor, **_: object) -> Tensor:
            beat()
            return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)

        model: Any = self.model
        with lost_peers_named("writing texts"):
            written: Tensor = model.generate(
                **{name: value.to(self.device) for name, value in inputs.items()},
                stopping_criteria=[beaten],
                synced_gpus=self.zero_stage == 3,
            )
        return written

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a scalar loss. The ranks' gradients are averaged: scale a sum by world size / targets."""
        with lost_peers_named("in a backward pass"):
            self._deepspeed.backward(loss)

    def step(self, *, learning_rate: float) -> float:
        """Make one optimizer step from all gradients since the last step.

        Returns the global L2 norm of the gradient before clipping, summed in fp64. Infinity means that the norm was not finite, and that no parameter was changed.
        """
        for group in self._deepspeed.optimizer.param_groups:
            group["lr"] = learning_rate * group["rate_factor"]
        with lost_peers_named("in an optimizer step"):
            if self.zero_stage == 0:
                _average_gradients([p for _, p in trainable(self.model)], world_size=self.world_size)
            self._deepspeed.step()
        self._always_add_gradients()
        return float(self._deepspeed.get_global_grad_norm()) if self.zero_stage else self._norm

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """Sum a float64 vector over all ranks, in place; returns the same vector."""
        with lost_peers_named("summing over the ranks"):
            if values.device == self.device:
                dist.all_reduce(values)
                return values
            on_device = values.to(self.device)
            dist.all_reduce(on_device)
            return values.copy_(on_device)

    def exchange(self, value: Any) -> list[Any]:
        """Give every rank the JSON values of all ranks, in the order of ranks. Collective; no rank leaves before all have come."""
        with lost_peers_named("exchanging values"):
            return exchange(value, device=self.device)

    def peak_memory_bytes(self) -> int:
        """Return the peak memory so far of the rank that used most: of its GPU, or the resident set of its process. Collective."""
        own = torch.cuda.max_memory_reserved(self.device) if self.device.type == "cuda" else _peak_resident_bytes()
        return max(self.exchange(own))

    def trainable_state(self) -> dict[str, Tensor]:
        """Return the trained parameters in fp32 and the saved buffers that training changed, by name, on CPU. Collective.

        Rank 0 gets them; the other ranks get {}. A shared parameter is there once, under its first name.
        """
        owned = {fragment.name: fragment for fragment in self.master_weights.fragments()}
        state: dict[str, Tensor] = {}
        for name, parameter in trainable(self.model):
            shape = full_shape(parameter)
            full = torch.zeros(math.prod(shape), device=self.device)
            if name in owned:
                fragment = owned[name]
                full[fragment.start : fragment.start + fragment.count] = fragment.views["param"]
            with lost_peers_named("gathering parameters"):
                # as integers: one rank alone adds a non-zero value to each element, so that every bit survives, also of -0.0 and NaN
                dist.reduce(full.view(torch.int32), dst=0)
            if self.rank == 0:
                state[name] = full.view(shape).cpu()
        return (state | self.changed_buffers()) if self.rank == 0 else {}

    def changed_buffers(self) -> dict[str, Tensor]:
        """Return this rank's saved buffers that training changed (running statistics), by name, on CPU."""
        return {
            name: buffer.detach().cpu().clone()
            for name, buffer in self._buffers()
            if not torch.equal(buffer, self._first_buffers[name])
        }

    @torch.no_grad()
    def load_buffers(self, values: dict[str, Tensor]) -> None:
        """Set saved buffers by name."""
        buffers = dict(self._buffers())
        for name, value in values.items():
            buffers[name].copy_(value)

    def frozen_digest(self) -> str:
        """Return the precision and a digest of all parameters that are not trained. Collective.

        The digest is the same for every ZeRO stage and world size, and is computed once.
        """
        if self._frozen_digest is None:
            digest = xxhash.xxh3_128()
            frozen = [(name, p) for name, p in self.model.named_parameters() if not p.requires_grad]
            for name, parameter in frozen:
                with deepspeed.zero.GatheredParameters([parameter], enabled=self.zero_stage == 3):
                    digest.update(name.encode())
                    digest.update(_bytes_of(parameter))
            self._frozen_digest = f"{self.settings.precision}:{digest.hexdigest()}"
        return self._frozen_digest

    def close(self) -> None:
        """Free the memory that DeepSpeed holds. The process group stays; `stop_process_group` ends it."""
        self._deepspeed.destroy()

    def _buffers(self) -> Iterable[tuple[str, Tensor]]:
        saved = self.model.state_dict().keys()
        return [(name, buffer) for name, buffer in self.model.named_buffers() if name in saved]

    def _always_add_gradients(self) -> None:
        """Let ZeRO-3 add every gradient to a buffer of zeros.

        DeepSpeed overwrites the buffer until it has counted a forward pass since the last step, and never clears it. Without this, and
        without any error, the first gradient of two losses in one step is lost, and a head that a step does not use gets the gradient of
        an earlier step again.
        """
        if self.zero_stage == 3:
            self._deepspeed.optimizer.grad_partitions_flat_buffer.zero_()
            self._deepspeed.optimizer.micro_step_id = 1

    @torch.no_grad()
    def _clip(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradients on stage 0 as ZeRO does on the other stages: norm in fp64, no step from gradients that are not finite."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = _norm_in_fp64(p.grad for p in parameters if p.grad is not None).float()
        self._norm = float(norm)
        if not math.isfinite(self._norm):
            self._norm = math.inf
            for parameter in parameters:
                parameter.grad = None  # AdamW leaves such parameters as they are
        elif self.settings.max_grad_norm > 0:
            factor = 1.0 / torch.clamp((norm + 1e-6) / self.settings.max_grad_norm, min=1.0)
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)


def _parameter_groups(model: nn.Module, *, weight_decay: float, rate_factors: dict[str, float]) -> list[dict[str, Any]]:
    """Return two groups for each factor of the learning rate: matrices with weight decay, and vectors (biases, weights of norms) without.

    Raises ConfigError when no parameter is trainable.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in trainable(model):
        key = (rate_factors.get(name, 1.0), len(full_shape(parameter)) <= 1)
        groups.setdefault(key, []).append(parameter)
    if not groups:
        raise ConfigError("method: it leaves no parameter to train; target modules must name layers of this model")
    return [
        {"params": groups[factor, is_vector], "weight_decay": 0.0 if is_vector else weight_decay, "rate_factor": factor}
        for factor, is_vector in sorted(groups)
    ]


@torch.no_grad()
def _average_gradients(parameters: list[nn.Parameter], *, world_size: int) -> None:
    """Average every gradient over the ranks, in place. Collective. An unused parameter gets a gradient of zeros, as on the other stages.

    DeepSpeed would gather all gradients in one buffer and copy them back, even on one rank: four passes over the memory of the model.
    """
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    if world_size == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    small = [gradient for gradient in gradients if gradient.numel() < _SMALL_GRADIENT]
    joined = torch.cat([gradient.reshape(-1) for gradient in small]) if small else torch.zeros(0)
    for summed in (joined, *(gradient for gradient in gradients if gradient.numel() >= _SMALL_GRADIENT)):
        dist.all_reduce(summed)
        summed.div_(world_size)
    for gradient, mean in zip(small, joined.split([gradient.numel() for gradient in small]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def _norm_in_fp64(tensors: Iterable[Tensor]) -> Tensor:
    """Return the L2 norm of all elements, summed in fp64.

    In blocks that fit into a core's cache: torch turns its whole argument into fp64 first, which took a quarter of a step of MiniLM.
    """
    size = _NORM_BLOCK * torch.get_num_threads()
    blocks = [block for tensor in tensors for block in tensor.reshape(-1).split(size)]
    return torch.linalg.vector_norm(
        torch.stack([torch.linalg.vector_norm(block, dtype=torch.float64) for block in blocks])
    )


def _peak_resident_bytes() -> int:
    """Return the peak resident set of this process; the value of `getrusage` may be that of the process that started it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _bytes_of(tensor: Tensor) -> memoryview:
    """Return the bytes of a tensor of any type."""
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data


@contextmanager
def _quietly() -> Iterator[None]:
    """Drop the memory tables that DeepSpeed prints while it sets up, whatever its log level; errors come as exceptions."""
    with redirect_stdout(io.StringIO()):
        yield


def _compute_repeatably() -> None:
    """Ask for deterministic kernels; where torch has no such kernel for an operation, it takes the usual kernel."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with this
    torch.use_deterministic_algorithms(True, warn_only=True)
    # deterministic mode would fill every fresh tensor, whose first values nobody reads
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch sets it through a module class
    torch.backends.cudnn.benchmark = False
