"""Finds the fp32 master weights and the Adam moments of each parameter inside DeepSpeed 0.19, on every ZeRO stage.

A fragment is the part of one parameter that this rank owns; the fragments of all ranks cover each trainable parameter exactly
once. No other file reads DeepSpeed's inner tables. DeepSpeed's public helpers (`get_hp_fragment("exp_avg")`,
`safe_get_full_optimizer_state`) fail on stages 1 and 2 for every parameter group but the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Fragment:
    """This rank's part of one trainable parameter. Writing into its views changes the values that the optimizer works on."""

    name: str
    shape: tuple[int, ...]
    """Shape of the whole parameter."""
    start: int
    """Index of the first element in the flattened parameter."""
    views: dict[str, Tensor]
    """`param`, `exp_avg`, `exp_avg_sq`: fp32 [count] each, on the engine's device."""

    @property
    def count(self) -> int:
        """Number of elements."""
        return self.views["param"].numel()


def trainable(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return the trainable parameters by name; a shared parameter is there once, under its first name."""
    return [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]


def full_shape(parameter: Tensor) -> tuple[int, ...]:
    """Return the whole shape of a parameter, also on ZeRO-3, which leaves an empty tensor in its place."""
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


class MasterWeights:
    """The fp32 master weights and Adam moments of one DeepSpeed engine."""

    def __init__(self, deepspeed_engine: Any, *, rank: int, world_size: int) -> None:
        self._module: nn.Module = deepspeed_engine.module
        self._zero = deepspeed_engine.optimizer
        self._zero_stage = int(deepspeed_engine.zero_optimization_stage())
        self._adam: torch.optim.Optimizer = self._zero.optimizer if self._zero_stage else self._zero
        self._rank, self._world_size = rank, world_size

    def fragments(self) -> Iterator[Fragment]:
        """Yield the fragments that this rank owns, in the order of the module's parameters."""
        self._make_moments()
        for name, parameter in trainable(self._module):
            fragment = self._fragment(name, parameter)
            if fragment is not None and fragment.count:
                yield fragment

    def to_fill(self) -> Iterator[Fragment]:
        """Yield the fragments that this rank loads from a checkpoint: its own, or on stage 0 all of every parameter."""
        if self._zero_stage:
            yield from self.fragments()
            return
        self._make_moments()
        for name, parameter in trainable(self._module):
            yield self._whole(name, parameter)

    @property
    def step(self) -> int:
        """Adam's own step count, which its bias correction uses."""
        counts = {int(self._adam.state[flat]["step"]) if flat in self._adam.state else 0 for flat in self._flats()}
        if len(counts) > 1:
            raise RuntimeError(f"Adam counts its steps per group, and they differ: {sorted(counts)}")
        return next(iter(counts), 0)

    @step.setter
    def step(self, count: int) -> None:
        self._make_moments()
        for flat in self._flats():
            self._adam.state[flat]["step"].fill_(count)

    @torch.no_grad()
    def push(self) -> None:
        """Copy the master weights into the working parameters. Collective. Needed in fp32 too, since both differ from stage 1 on."""
        if self._zero_stage in (1, 2):
            self._zero.update_lp_params()
        elif self._zero_stage == 3:
            self._zero._partition_all_parameters()  # noqa: SLF001  (DeepSpeed has no public way)
            for index in range(len(self._zero.fp16_groups)):
                self._zero._reassign_or_swap_out_partitioned_parameters(index)  # noqa: SLF001
            if self._zero.persistent_parameters:
                self._zero.persistent_parameters[0].all_gather(self._zero.persistent_parameters)

    def _flats(self) -> list[Tensor]:
        """Return the tensors that Adam updates: whole parameters on stage 0, otherwise this rank's flat part of each group."""
        if self._zero_stage == 0:
            return [parameter for group in self._adam.param_groups for parameter in group["params"]]
        if self._zero_stage == 3:
            return list(self._zero.fp32_partitioned_groups_flat)
        if hasattr(self._zero, "fp32_groups_flat_partition"):  # on stage 1 in bf16 DeepSpeed uses another class
            return list(self._zero.fp32_groups_flat_partition)
        return list(self._zero.single_partition_of_fp32_groups)

    def _make_moments(self) -> None:
        """Create Adam's state now; Adam itself creates it at its first step."""
        for flat in self._flats():
            state = self._adam.state[flat]
            if "exp_avg" not in state:
                state["step"] = torch.zeros(
                    (), dtype=torch.float32, device=flat.device
                )  # fused Adam expects it on the device
                for key in MOMENTS:
                    state[key] = torch.zeros_like(flat, requires_grad=False, memory_format=torch.preserve_format)

    def _fragment(self, name: str, parameter: nn.Parameter) -> Fragment | None:
        if self._zero_stage == 0:
            return self._share(name, parameter)
        if self._zero_stage == 3:
            return self._zero3_fragment(name, parameter)
        return self._zero12_fragment(name, parameter)

    def _whole(self, name: str, parameter: nn.Parameter) -> Fragment:
        return self._cut(name, parameter, start=0, flat=parameter, offset=0, count=parameter.numel())

    def _share(self, name: str, parameter: nn.Parameter) -> Fragment:
        """Return this rank's share of a parameter on stage 0, where every rank holds all of it: the ranks share the writing."""
        total = parameter.numel()
        start, end = (total * rank // self._world_size for rank in (self._rank, self._rank + 1))
        return self._cut(name, parameter, start=start, flat=parameter, offset=start, count=end - start)

    def _zero12_fragment(self, name: str, parameter: Any) -> Fragment | None:
        mapping = parameter._hp_mapping  # noqa: SLF001  (DeepSpeed has no public way)
        if mapping is None:  # this rank holds no part of the parameter
            return None
        flat = self._flats()[mapping.param_group_index]
        high = mapping.get_hp_fragment_address()
        start = mapping.lp_fragment_address.start
        return self._cut(name, parameter, start=start, flat=flat, offset=high.start, count=high.numel)

    def _zero3_fragment(self, name: str, parameter: Any) -> Fragment:
        group, offset, padded = self._zero.grad_position[self._zero.get_param_id(parameter)]
        start = padded * self._rank
        count = max(0, min(padded, parameter.ds_numel - start))
        return self._cut(name, parameter, start=start, flat=self._flats()[group], offset=offset, count=count)

    def _cut(self, name: str, parameter: Tensor, *, start: int, flat: Tensor, offset: int, count: int) -> Fragment:
        state = self._adam.state[flat]
        sources = {"param": flat.detach()} | {key: state[key] for key in MOMENTS}
        views = {key: source.view(-1).narrow(0, offset, count) for key, source in sources.items()}
        return Fragment(name, full_shape(parameter), start, views)
