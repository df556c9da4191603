"""What measures the work of the operator."""

from __future__ import annotations

from typing import Protocol


class Instruments(Protocol):
    """Measures the work."""

    def taken(self, *, waited: float) -> None:
        """A worker took an object, which had been due for so many seconds."""

    def reconciled(self, kind: str, *, seconds: float, error: Exception | None) -> None:
        """The reconciliation of an object of this kind has ended."""


class NoInstruments:
    """Measures nothing."""

    def taken(self, *, waited: float) -> None:
        """Do nothing."""

    def reconciled(self, kind: str, *, seconds: float, error: Exception | None) -> None:
        """Do nothing."""
