"""Full fine-tuning: every parameter is trained, but for those that the job freezes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.methods.method import Method

if TYPE_CHECKING:
    from torch import nn

    from tuneloop_api.contract.settings import MethodSettings
    from tuneloop_trainer.tasks.task import Task

_SHOWN = 5
"""Names of parameters that a hint lists."""


def _build(model: Any, settings: MethodSettings, *, task: Task, seed: int) -> nn.Module:
    """Return the model with all parameters trainable but the frozen ones. Raises ConfigError for a pattern that is none, or that no name has."""
    del task, seed  # there is nothing new
    trained: nn.Module = model.requires_grad_(True)
    body = {
        name: parameter
        for name, parameter in trained.named_parameters()
        if not any(name.startswith(f"{module}.") for module in model.head_modules)
    }
    for pattern in settings.freeze or ():
        for name in _matching(pattern, list(body)):
            body[name].requires_grad_(False)
    return trained


def _matching(pattern: str, names: list[str]) -> list[str]:
    """Return the names that a pattern is found in, one at least. names: those of parameters outside the head. Raises ConfigError."""
    try:
        found = [name for name in names if re.search(pattern, name)]
    except re.error as error:
        raise ConfigError(
            f"spec.method.freeze: {pattern} is no regular expression: {error}", hint=r"for example layer\.[0-5]\."
        ) from error
    if not found:
        raise ConfigError(
            f"spec.method.freeze: {pattern} is found in no name of a parameter below the head",
            hint=f"names are for example {', '.join(names[:_SHOWN])}",
        )
    return found


def _describe(settings: MethodSettings, _merged: bool) -> str:  # noqa: FBT001  (`Method.describe` is called by position)
    if not settings.freeze:
        return "all parameters"
    return f"all parameters but those named {', '.join(f'`{pattern}`' for pattern in settings.freeze)}"


FULL = Method(
    name="full",
    build=_build,
    merge=None,
    is_adapter=False,
    learning_rates={"encoder": 2e-5, "decoder": 1e-5, "encoder-decoder": 3e-4},
    describe=_describe,
)
