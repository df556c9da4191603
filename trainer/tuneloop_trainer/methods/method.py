"""The seam `Method`: which parameters are trained, and how. One method a file in this folder; `METHODS` is the table.

A method is functions in a frozen dataclass. The plan, preflight, export, the model card and the diagnosis ask the method, and never for its name.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from torch import nn

    from tuneloop_api.contract.settings import MethodSettings
    from tuneloop_trainer.tasks.task import Task


class Build(Protocol):
    """Makes the method's parameters trainable and freezes all others.

    model: as `load_model` returns it; its attribute `head_modules` names the modules to train whole, the head above all. New parameters are drawn from `seed` alone, equally on every rank. Raises ConfigError if the method cannot be used on this model.
    """

    def __call__(self, model: Any, settings: MethodSettings, *, task: Task, seed: int) -> nn.Module: ...


@dataclass(frozen=True, kw_only=True)
class Method:
    """What a method is."""

    name: str
    """As in `spec.method.type`."""
    build: Build
    merge: Callable[[Any], nn.Module] | None
    """The model that `build` returned → the model in the architecture of its base, with all that was trained in its weights. None: it is that already."""
    plain: Callable[[Any], nn.Module] = lambda model: model
    """The model that `build` returned, with trained weights → the same model without what training alone needs."""
    is_adapter: bool
    """What is trained lies beside the base model's weights, and can be published without them."""
    learning_rates: Mapping[str, float]
    """Usual learning rate by architecture: `encoder`, `decoder`, `encoder-decoder`. Starting points that the literature agrees on, not truths."""
    describe: Callable[[MethodSettings, bool], str]
    """(settings, whether the model in the base's architecture is published) → what is trained, for the model card."""
    as_base: Callable[[Any], AbstractContextManager[Any]] = nullcontext
    """In this context the model that `build` returned answers as it does without what the method adds. A method whose addition changes nothing before training needs none."""
    reserves: Callable[[MethodSettings], int] = lambda _settings: 0
    """Positions of a text that the method takes for itself: the model reads texts that are shorter by as many tokens."""
    smaller: tuple[str, ...] = ()
    """Settings with which the method learns less, against over-fitting."""
    larger: tuple[str, ...] = ()
    """Settings with which more can be learned."""
