"""The scale of the numbers that a model learns: training sees (number - mean) / std, so that no learning rate depends on the user's unit. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tuneloop_api.contract.artifact import TargetScale
from tuneloop_trainer.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_OFFSET = 500
"""Times that the mean may be as large as the standard deviation. The model answers in float32: further off, rounding would be no small part of the standard deviation."""


def scale_of(numbers: NDArray[np.float64]) -> TargetScale:
    """Return mean and standard deviation of the training rows' numbers, [N]. Raises DataError where no model could learn or answer them."""
    mean, std = float(numbers.mean()), float(numbers.std())
    if numbers.min() == numbers.max():
        raise DataError(
            f"all rows of the train split have the number {numbers[0]:g}; at least two different numbers are needed",
            hint="check columns.label, or add rows with other numbers",
        )
    if abs(mean) > MOST_OFFSET * std:
        raise DataError(
            f"the numbers of the train split have a mean of {mean:g} and a standard deviation of {std:g}: the mean may be at most {MOST_OFFSET} times as large",
            hint="subtract a constant from all numbers, and add it to the answers",
        )
    return TargetScale(mean=mean, std=std)


def standardised(values: NDArray[Any], scale: TargetScale) -> NDArray[np.float64]:
    """Return values in the user's unit as training sees them, float64 of the same shape."""
    result: NDArray[np.float64] = (values.astype(np.float64) - scale.mean) / scale.std
    return result
