"""Which release acts in a namespace."""

from __future__ import annotations

from typing import Protocol


class Ownership(Protocol):
    """Says whether this release acts in a namespace, where another release may watch the same one."""

    async def wait(self, namespace: str) -> float:
        """Return 0 if this release may act, else the seconds after which to ask again. Raises `ClusterError`."""

    def holder(self, namespace: str) -> str:
        """Return the other release that holds this namespace; empty if there is none."""


class OnlyRelease:
    """Of a machine on which no other release can run."""

    async def wait(self, namespace: str) -> float:  # noqa: ARG002
        """Return 0: this release acts everywhere."""
        return 0.0

    def holder(self, namespace: str) -> str:  # noqa: ARG002
        """Return nothing: there is no other release."""
        return ""
