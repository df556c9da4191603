"""Which parameters are trained, one method a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.methods.bitfit import BITFIT
from tuneloop_trainer.methods.full import FULL
from tuneloop_trainer.methods.ia3 import IA3
from tuneloop_trainer.methods.lora import LORA
from tuneloop_trainer.methods.prompts import P_TUNING, PREFIX, PROMPT

if TYPE_CHECKING:
    from tuneloop_api.contract.settings import MethodSettings
    from tuneloop_trainer.methods.method import Method

METHODS: dict[str, Method] = {method.name: method for method in (FULL, LORA, IA3, BITFIT, PREFIX, PROMPT, P_TUNING)}


def method_of(settings: MethodSettings) -> Method:
    """Return the method of a job. Raises ConfigError if this trainer does not know it."""
    if settings.type not in METHODS:
        raise ConfigError(
            f"spec.method.type: {settings.type} is not known", hint=f"this trainer knows {', '.join(METHODS)}"
        )
    return METHODS[settings.type]


def usual_learning_rate(settings: MethodSettings, *, architecture: str) -> float:
    """Return the learning rate for a job that gives none."""
    return method_of(settings).learning_rates[architecture]
