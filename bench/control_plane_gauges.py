"""The measurements of the control plane's benchmark: the audit log, memory and CPU time of a process, quantiles. Imported by `control_plane.py`."""

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


class ApiCall(NamedTuple):
    """One request of the operator, from the API server's audit log."""

    verb: str
    resource: str
    """Resource, with the subresource if there is one."""
    namespace: str
    continues: bool
    """Whether the request reads a later page of a list."""

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
        """Set the mark from which `since_mark` reads."""
        self._offset = self._path.stat().st_size

    def since_mark(self) -> list[ApiCall]:
        """Return the requests answered since the mark, and the watches begun since then."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            lines = [line for line in file if any(agent in line for agent in _OURS)]
        found = [json.loads(line) for line in lines]
        return [_api_call(item) for item in found if (item["stage"] == "ResponseComplete") != (item["verb"] == "watch")]


def _api_call(record: dict) -> ApiCall:
    target = record.get("objectRef", {})
    resource = "/".join(filter(None, (target.get("resource"), target.get("subresource"))))
    return ApiCall(record["verb"], resource, target.get("namespace", ""), "continue=" in record["requestURI"])


def table(calls: Iterable[ApiCall], *, share: int) -> str:
    """Return requests by verb and resource, divided by `share`."""
    counted = Counter((call.verb, call.resource) for call in calls)
    return ", ".join(f"{verb} {resource} {count / share:.4g}" for (verb, resource), count in counted.most_common())


def resident_mib(pid: int, *, peak: bool = False) -> float:
    """Return the resident memory of a process, now or at its peak."""
    name = "VmHWM" if peak else "VmRSS"
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def reconciles(metrics: str) -> int:
    """Return the number of reconciles of FineTuneJobs, from the operator's metrics."""
    name = 'tuneloop_reconcile_seconds_count{kind="FineTuneJob"} '
    return next((int(float(line.removeprefix(name))) for line in metrics.splitlines() if line.startswith(name)), 0)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def quantile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that at least this part of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]
