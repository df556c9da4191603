"""Whether a stored object already is what is wanted."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

_SUFFIXES = {
    "m": Decimal("0.001"),
    **{letter: Decimal(1000**power) for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}


def covers(stored: Any, wanted: Any) -> bool:
    """Whether each field of `wanted` is in `stored`; the API server adds defaults and writes quantities its own way."""
    if isinstance(wanted, dict):
        return isinstance(stored, dict) and all(covers(stored.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        same_length = isinstance(stored, list) and len(stored) == len(wanted)
        return same_length and all(covers(*pair) for pair in zip(stored, wanted, strict=True))
    return bool(stored == wanted) or _same_quantity(stored, wanted)


def _same_quantity(stored: Any, wanted: Any) -> bool:
    if not (isinstance(stored, str) and isinstance(wanted, str)):
        return False
    amounts = (_amount(stored), _amount(wanted))
    return amounts[0] is not None and amounts[0] == amounts[1]


def _amount(text: str) -> Decimal | None:
    suffix = next((suffix for suffix in sorted(_SUFFIXES, key=len, reverse=True) if text.endswith(suffix)), "")
    try:
        return Decimal(text.removesuffix(suffix)) * _SUFFIXES.get(suffix, 1)
    except InvalidOperation:
        return None
