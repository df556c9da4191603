"""The fields of a FineTuneJob's spec that a search may change, and why it may not change others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from tuneloop_api.combinations.table import PROMPTS

if TYPE_CHECKING:
    from collections.abc import Sequence

ParameterValue: TypeAlias = bool | int | float | str
SearchedField: TypeAlias = Literal[
    "training.learningRate",
    "training.weightDecay",
    "training.beta1",
    "training.beta2",
    "training.epsilon",
    "training.maxGradNorm",
    "training.warmupRatio",
    "training.epochs",
    "training.dropout",
    "training.labelSmoothing",
    "training.neftuneAlpha",
    "training.layerwiseLrDecay",
    "training.maxSteps",
    "training.warmupSteps",
    "training.globalBatchSize",
    "training.scheduler",
    "method.type",
    "method.rank",
    "method.alpha",
    "method.dropout",
    "method.useDora",
    "method.useRslora",
    "method.usePissa",
    "method.virtualTokens",
    "data.balance.classWeights",
    "data.balance.focalGamma",
]
WHOLE_NUMBERS = ("training.maxSteps", "training.warmupSteps", "method.rank", "method.alpha", "method.virtualTokens")
SWITCHES = ("method.useDora", "method.useRslora", "method.usePissa")
WORDS = ("training.scheduler", "method.type", "data.balance.classWeights", *SWITCHES)
CHOICES = ("training.globalBatchSize", *WORDS)
"""Fields that have no range: words, switches, and the global batch, of which an odd number of rows would leave micro-batches of a single row."""
SEARCHED: tuple[str, ...] = get_args(SearchedField)
METHODS_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("method.rank", "method.alpha", "method.dropout", *SWITCHES), ("lora",)),
    "method.virtualTokens": PROMPTS,
    "training.layerwiseLrDecay": ("full", "bitfit"),
}
"""The methods that a field applies to. Trials of other methods leave the field out."""
IN_PLACE_OF = {
    "training.epochs": "training.maxSteps",
    "training.maxSteps": "training.epochs",
    "training.warmupRatio": "training.warmupSteps",
    "training.warmupSteps": "training.warmupRatio",
}
"""The field whose default must go where the first is set."""


def choices_of(path: str, values: Sequence[str] | None, numbers: Sequence[float] | None) -> list[ParameterValue]:
    """Return the values of a list as their field takes them: whole numbers as such, `true` and `false` of a switch as booleans."""
    if numbers is not None:
        return [int(number) if float(number).is_integer() else number for number in numbers]
    words = {"true": True, "false": False} if path in SWITCHES else {}
    return [words.get(value, value) for value in values or ()]
