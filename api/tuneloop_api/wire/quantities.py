"""Quantities of Kubernetes, such as `500m` or `16Gi`."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

_UNITS = {
    "m": Decimal("0.001"),
    **{letter: Decimal(1000**power) for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}


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
