"""Makes rules of the CRD of those rows of the table that the spec alone decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_snake

from tuneloop_api.combinations.table import OPTIONS, REFUSED, Combination, Refused
from tuneloop_api.wire.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable

_TYPE = "(has(self.method) ? self.method.?type.orValue('lora') : 'lora')"
_STAGE = "(has(self.deepspeed) ? self.deepspeed.?stage.orValue(0) : 0)"
"""A stage that is left open is never 3."""
_PRECISION = "(has(self.training) ? self.training.?precision.orValue('auto') : 'auto')"


def combination_rules() -> tuple[Rule, ...]:
    """Return the rules of a FineTuneJob's spec, in the order of the table."""
    return tuple(
        Rule(
            field=row.field,
            reason="FieldValueForbidden",
            message=f"{row.reason}; {row.advice}",
            cel=f"!({' && '.join(_conditions(row))})",
            holds=_holds(row),
        )
        for row in REFUSED
        if row.is_of_the_spec
    )


def _conditions(row: Refused) -> list[str]:
    """Return what has to be true of a spec, in CEL, for the row to refuse it."""
    found = [f"{_TYPE} in {list(row.methods)}"]
    found += [f"(has(self.method) && {_option(option)})" for option in row.options]
    if row.tasks:
        found.append(f"self.task in {list(row.tasks)}")
    if row.zero_stages:
        found.append(f"{_STAGE} in {list(row.zero_stages)}")
    if row.precisions:
        found.append(f"{_PRECISION} in {list(row.precisions)}")
    return found


def _option(option: str) -> str:
    return f"self.method.?{option}.orValue(false)" if option.startswith("use") else f"has(self.method.{option})"


def _holds(row: Refused) -> Callable[[Any], bool]:
    return lambda spec: not row.refuses(_combination(spec))


def _combination(spec: Any) -> Combination:
    """Return what a spec combines, as far as it says so. spec: a FineTuneJobSpec, whose module imports this one."""
    method, deepspeed, training = spec.method, spec.deepspeed, spec.training
    return Combination(
        method=(method and method.type) or "lora",
        options=options_of(method),
        task=spec.task,
        zero_stage=deepspeed.stage if deepspeed else None,
        precision=training.precision if training else None,
    )


def options_of(method: Any) -> frozenset[str]:
    """Return the options of `OPTIONS` that are set. method: the block of a spec or of its settings, or None."""
    return frozenset(option for option in OPTIONS if getattr(method, to_snake(option), None))
