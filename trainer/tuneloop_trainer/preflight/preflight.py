"""The checks that `prepare`, `check` and `plan` make before work begins: sizes of the model, memory of a rank, room on the claim."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop_trainer.data.plan import planned_precision
from tuneloop_trainer.imports import gc_paused
from tuneloop_trainer.preflight.feasible import Pod, refuse_too_large
from tuneloop_trainer.preflight.memory_plan import Layout, memory_plan
from tuneloop_trainer.preflight.space import free_bytes, needs_of, require_room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tuneloop_api.contract.results import MemoryPlan, Resolved
    from tuneloop_api.contract.run_config import RunConfig
    from tuneloop_api.contract.settings import Settings
    from tuneloop_trainer.models.source import PretrainedModel
    from tuneloop_trainer.models.trace import ModelShape
    from tuneloop_trainer.preflight.space import Need

LOG = logging.getLogger(__name__)
_INVENTED = ("0", "1")
"""Labels that are assumed before the data is read. Their number decides the size of the head alone, which is small."""


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """The checks of one job."""

    config: RunConfig
    model: PretrainedModel

    @property
    def settings(self) -> Settings:
        """The settings of the job."""
        return self.config.settings

    @property
    def pod(self) -> Pod:
        """The ranks and the memory limit of a training pod."""
        gang = self.settings.gang
        return Pod(ranks=gang.processes_per_node, limit=None if gang.gpus_per_node else gang.memory_bytes)

    def shape(self, *, labels: Sequence[str] | None = None) -> ModelShape | None:
        """Return the sizes of the model under its method; None, with a warning in the log, if the model's code cannot be traced.

        labels: class names in the order of their ids, known once the data was read; None: those of `model.labels`, or two invented ones. Raises ModelAccessError or ConfigError where training could not build the model.
        """
        names = labels or self.settings.model.labels or _INVENTED
        with gc_paused():  # to build a model imports its class, and all that the class needs
            from tuneloop_trainer.models.trace import build_without_weights, shape_of  # noqa: PLC0415  (loads peft)

            model: Any = build_without_weights(self.model.path, self.settings, labels=names)
        head = None if names is _INVENTED else str(model.head_origin)
        precision = planned_precision(self.settings)
        try:
            return replace(
                shape_of(model, self.settings, longest=self.model.max_tokens, precision=precision), head=head
            )
        except Exception as error:  # noqa: BLE001  (a model's own code: it may not know fake tensors)
            LOG.warning("memory is not planned: %s cannot be traced: %s", self.model.model_type, error)
            return None

    def layout(self, resolved: Resolved, *, target_tokens: int = 0) -> Layout:
        """Return the layout of the training that `prepare` has planned. target_tokens: of the longest text to write, once the data is known."""
        gang = self.settings.gang
        return Layout(
            tokens=resolved.max_tokens,
            micro_batch=resolved.micro_batch_size,
            zero_stage=resolved.zero_stage,
            world_size=gang.nodes * gang.processes_per_node,
            precision=resolved.precision,
            gpu=gang.gpus_per_node > 0,
            target_tokens=target_tokens,
            offload=self.config.settings.deepspeed.offload_optimizer == "cpu",
        )

    def memory(self, shape: ModelShape, resolved: Resolved, *, target_tokens: int = 0) -> MemoryPlan:
        """Return the planned memory of a rank. target_tokens: as in `layout`. Raises ConfigError if the ranks of a pod do not fit into the pod's memory."""
        layout = self.layout(resolved, target_tokens=target_tokens)
        refuse_too_large(shape, layout, pod=self.pod, global_batch=resolved.global_batch_size)
        return memory_plan(shape, layout)

    def needs(self, shape: ModelShape | None, *, data: int) -> list[Need]:
        """Return the bytes that the job still has to write to its claim, by kind. data: bytes of the data set; 0 if it is prepared already."""
        return needs_of(shape, self.settings, job=Path(self.config.paths.job_dir), data=data)

    def free(self) -> int:
        """Return the free bytes of the claim."""
        return free_bytes(Path(self.config.paths.job_dir))

    def require_room(self, shape: ModelShape | None, *, data: int) -> None:
        """Raise StorageError if the claim has no room for all that the job will write."""
        require_room(self.needs(shape, data=data), folder=Path(self.config.paths.job_dir), free=self.free())
