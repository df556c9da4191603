"""What the control plane's benchmark reads: the audit log, a process's memory and time, quantiles. Imported by `control_plane.py`."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_OURS = (b'"userAgent":"tuneloop-operator', b'"userAgent":"kopf/')


class Asked(NamedTuple):
    """One request of the operator, as the API server noted it."""

    verb: str
    resource: str
    """With the subresource."""
    namespace: str
    continues: bool
    """Whether it asks for a later page of a list."""

    @property
    def writes(self) -> bool:
        return self.verb in WRITES


class Audit:
    """The operator's requests, from the API server's audit log."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.mark()

    def mark(self) -> None:
        """Let `since_mark` begin here."""
        self._offset = self._path.stat().st_size

    def since_mark(self) -> list[Asked]:
        """Return the requests that were answered since the mark; of a watch, its begin."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            lines = [line for line in file if any(agent in line for agent in _OURS)]
        found = [json.loads(line) for line in lines]
        return [_asked(one) for one in found if (one["stage"] == "ResponseComplete") != (one["verb"] == "watch")]


def _asked(record: dict) -> Asked:
    target = record.get("objectRef", {})
    resource = "/".join(filter(None, (target.get("resource"), target.get("subresource"))))
    return Asked(record["verb"], resource, target.get("namespace", ""), "continue=" in record["requestURI"])


def table(asked: Iterable[Asked], *, share: int) -> str:
    """Return requests by verb and resource, divided by `share`."""
    counted = Counter((one.verb, one.resource) for one in asked)
    return ", ".join(f"{verb} {resource} {count / share:.4g}" for (verb, resource), count in counted.most_common())


def resident_mib(pid: int, *, peak: bool = False) -> float:
    """Return a process's memory now, or at its highest."""
    name = "VmHWM" if peak else "VmRSS"
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def reconciles(metrics: str) -> int:
    """Return how many times a FineTuneJob was looked at, from the operator's metrics."""
    name = 'tuneloop_reconcile_seconds_count{kind="FineTuneJob"} '
    return next((int(float(line.removeprefix(name))) for line in metrics.splitlines() if line.startswith(name)), 0)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quantile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that at least this part of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]
