"""The rules that hold options of training to the task and the method: what an option needs, or cannot be combined with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tuneloop_api.combinations.table import ADAPTERS
from tuneloop_api.wire.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.v1alpha1.fine_tune_job.balance import Balance
    from tuneloop_api.v1alpha1.fine_tune_job.data import Data
    from tuneloop_api.v1alpha1.fine_tune_job.training import Method, Training

BALANCED = ("text-classification", "text-classification/multi-label", "token-classification")
"""Tasks whose loss takes class weights and `focalGamma`, by `FineTuneJobSpec.task_id`."""


PACKED = ("text-generation", "fill-mask")
"""Tasks whose rows may be packed."""


class SpecOfTraining(Protocol):
    """What the rules read of a FineTuneJobSpec, which lies above this file."""

    @property
    def task(self) -> str:
        """Hugging Face task id."""

    @property
    def task_id(self) -> str:
        """Name of what the model does."""

    @property
    def data(self) -> Data:
        """Where the rows are, and what they count."""

    @property
    def method(self) -> Method | None:
        """Which parameters are trained."""

    @property
    def training(self) -> Training | None:
        """How long and how the model learns."""


_WEIGHS = "has(self.data.balance) && self.data.balance.?classWeights.orValue('none') != 'none'"
_IS_FOCAL = "has(self.data.balance) && self.data.balance.?focalGamma.orValue(0.0) > 0.0"
_HAS_CLASSES = (
    "self.task == 'token-classification' || (self.task == 'text-classification' && "
    "(has(self.taskOptions) ? self.taskOptions.?problemType.orValue('single-label') : 'single-label') != 'regression')"
)
_METHOD = "(has(self.method) ? self.method.?type.orValue('lora') : 'lora')"


def training_option_rules() -> tuple[Rule, ...]:
    """Return the rules of a FineTuneJob's spec."""
    return (
        _needs_classes("classWeights", given=_WEIGHS, is_given=_weighs),
        _needs_classes("focalGamma", given=_IS_FOCAL, is_given=_is_focal),
        Rule(
            field="data.balance.focalGamma",
            reason="FieldValueForbidden",
            message="cannot be combined with training.labelSmoothing: a target spread over all classes is never right; leave one of the two out",
            cel=f"!({_IS_FOCAL}) || !has(self.training) || self.training.?labelSmoothing.orValue(0.0) == 0.0",
            holds=lambda spec: (
                not _is_focal(spec.data.balance) or spec.training is None or not spec.training.label_smoothing
            ),
        ),
        Rule(
            field="training.layerwiseLrDecay",
            reason="FieldValueForbidden",
            message="applies only to method.type: full or bitfit: other methods leave the layers as they are, and train what lies beside them from scratch; leave it out",
            cel=f"!has(self.training) || self.training.?layerwiseLrDecay.orValue(1.0) == 1.0 || !({_METHOD} in {list(ADAPTERS)})",
            holds=lambda spec: not _decays(spec.training) or _method(spec) not in ADAPTERS,
        ),
        Rule(
            field="training.gradientCheckpointing",
            reason="FieldValueForbidden",
            message="cannot be always with method.type: prefix, which hands keys and values to the layers in a cache that is written once; leave it out",
            cel=f"!has(self.training) || self.training.?gradientCheckpointing.orValue('never') == 'never' || {_METHOD} != 'prefix'",
            holds=lambda spec: not _recomputes(spec.training) or _method(spec) != "prefix",
        ),
        Rule(
            field="data.packing",
            reason="FieldValueForbidden",
            message="can be always only for task: text-generation and fill-mask: other tasks have a row in each line; leave it out",
            cel=f"self.data.?packing.orValue('auto') != 'always' || self.task in {list(PACKED)}",
            holds=lambda spec: spec.data.packing != "always" or spec.task in PACKED,
        ),
    )


def _needs_classes(field: str, *, given: str, is_given: Callable[[Balance | None], bool]) -> Rule:
    def holds(spec: SpecOfTraining) -> bool:
        return not is_given(spec.data.balance) or spec.task_id in BALANCED

    return Rule(
        field=f"data.balance.{field}",
        reason="FieldValueForbidden",
        message="applies only to task: text-classification (but not problemType: regression) and token-classification, whose targets are classes; leave it out",
        cel=f"!({given}) || {_HAS_CLASSES}",
        holds=holds,
    )


def _weighs(balance: Balance | None) -> bool:
    return balance is not None and balance.class_weights not in {None, "none"}


def _is_focal(balance: Balance | None) -> bool:
    return balance is not None and bool(balance.focal_gamma)


def _decays(training: Training | None) -> bool:
    return training is not None and training.layerwise_lr_decay not in {None, 1}


def _recomputes(training: Training | None) -> bool:
    return training is not None and training.gradient_checkpointing == "always"


def _method(spec: SpecOfTraining) -> str:
    return (spec.method and spec.method.type) or "lora"
