"""Quantities of Kubernetes, such as `500m` or `16Gi`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

_UNITS = {
    "m": Decimal("0.001"),
    **{letter: Decimal(1000**power) for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}


def _as_text(value: object) -> object:
    """Return a whole number as text, so that `cpu: 2` and `cpu: "2"` are the same. Other numbers never reach a model: the API server refuses them."""
    if isinstance(value, float):
        raise PydanticCustomError("rule", "{message}", {"message": _NO_FLOAT})
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST
    return str(value) if is_number else value


INT_OR_STRING = "x-kubernetes-int-or-string"
_LARGEST = 2**63 - 1
"""To the API server, a larger number is one with a point."""
_NO_FLOAT = 'must be a whole number or text: the API server takes no number with a point, so write quotes or a smaller unit; for example "0.5" or 500m'
OR_WHOLE_NUMBER = (BeforeValidator(_as_text), Field(json_schema_extra={INT_OR_STRING: True}))
"""What makes a text a quantity, behind its format: `Annotated[str, MEMORY.text(most=32), *OR_WHOLE_NUMBER]`."""


def amount_of(quantity: str) -> Decimal | None:
    """Return what a quantity stands for; None for a text that is no quantity."""
    unit = next((unit for unit in sorted(_UNITS, key=len, reverse=True) if quantity.endswith(unit)), "")
    try:
        return Decimal(quantity.removesuffix(unit)) * _UNITS.get(unit, Decimal(1))
    except InvalidOperation:
        return None


def memory_bytes(quantity: str) -> int:
    """Return a quantity that has the format `text_formats.MEMORY`, such as `16Gi`, in bytes. Raises ValueError for a text that is no quantity."""
    amount = amount_of(quantity)
    if amount is None:
        raise ValueError(f"{quantity!r} is no quantity; for example 16Gi")
    return int(amount)
