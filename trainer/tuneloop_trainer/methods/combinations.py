"""Asks the one table of combinations (`tuneloop_api.combinations`) for what the trainer knows of a job, and refuses what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.combinations.rules import options_of
from tuneloop_api.combinations.table import Combination, refusal
from tuneloop_trainer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

    from tuneloop_api.contract.settings import MethodSettings


def refuse_combination(
    settings: MethodSettings,
    *,
    task: str | None = None,
    family: str | None = None,
    zero_stage: int | None = None,
    precision: str | None = None,
    model_type: str | None = None,
    lacks: Collection[str] = (),
) -> None:
    """Raise ConfigError if the table refuses the method with what else is known of the job."""
    row = refusal(
        Combination(
            method=settings.type,
            options=options_of(settings),
            task=task,
            family=family,
            model_type=model_type,
            zero_stage=zero_stage,
            precision=precision,
            lacks=frozenset(lacks),
        )
    )
    if row is not None:
        raise ConfigError(f"spec.{row.field}: {row.reason.format(model=model_type)}", hint=row.advice)
