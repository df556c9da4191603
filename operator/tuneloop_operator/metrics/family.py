"""Metrics of objects in Prometheus' text format.

They are computed from the store at every scrape, so that series end with their object. Labels are namespaces, names and our own closed
sets of words, never a user's text, so that nothing in them needs an escape. The text is made here and not by the client library, which
takes many times as long, and the operator does nothing else meanwhile.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tuneloop_api.contract.progress import ProgressMessage
    from tuneloop_operator.cluster import Kind, Manifest
    from tuneloop_operator.metrics.rollout_outcomes import RolloutOutcomes
    from tuneloop_operator.state.router_report import RouterReport


class Objects(Protocol):
    """The stored objects, the newest progress message of each job, and what routers report."""

    def of_kind(self, kind: Kind, *, namespace: str | None) -> Iterator[Manifest]:
        """Yield the objects of a kind in a namespace; None: in all namespaces."""

    def get(self, kind: Kind, *, namespace: str, name: str) -> Manifest | None:
        """Return an object."""

    def progress(self, uid: str) -> ProgressMessage | None:
        """Return the newest progress message of a job."""

    def router_reports(self, uid: str) -> tuple[RouterReport, ...]:
        """Return what the routers of a deployment reported last."""

    @property
    def rollout_outcomes(self) -> RolloutOutcomes:
        """How roll-outs ended."""


class Family:
    """One metric with its series."""

    def __init__(self, name: str, kind: str, about: str) -> None:
        self._name = f"{name}_total" if kind == "counter" else name
        self._lines = [f"# HELP {self._name} {about}\n# TYPE {self._name} {kind}\n"]

    def add(self, labels: str, value: float | None, *, suffix: str = "") -> None:
        """Add a series, unless there is no value. suffix: of the parts of a histogram."""
        if value is not None:
            self._lines.append(f"{self._name}{suffix}{{{labels}}} {float(value)}\n")

    @property
    def text(self) -> str:
        """The metric in Prometheus' text format."""
        return "".join(self._lines)


def by_phase(name: str, about: str, objects: Iterable[Manifest], phases: Iterable[str]) -> Family:
    """Return the number of objects by phase. An object without a status is Pending."""
    counted = Counter((manifest.get("status") or {}).get("phase") or "Pending" for manifest in objects)
    family = Family(name, "gauge", about)
    for phase in phases:
        family.add(f'phase="{phase}"', counted[phase])
    return family
