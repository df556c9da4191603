"""What the routers of each deployment last reported. It is not stored anywhere: after a restart of the operator each router reports again."""

from __future__ import annotations

from dataclasses import dataclass

_MOST_ROUTERS = 64
"""Of one deployment, with those that are gone. Beyond it the report that is oldest is forgotten."""


@dataclass(frozen=True, kw_only=True)
class RouterReport:
    """What a router says with each poll."""

    router: str
    """Name of its pod; in local mode of its process."""
    in_force: int
    """Generation of the split that it follows; 0: it follows none yet."""
    refused: int | None = None
    """Generation that it did not take; 0: of that split no generation could be read."""
    reason: str = ""
    """Why not."""


class RouterReports:
    """The newest report of each router."""

    def __init__(self) -> None:
        self._reports: dict[str, dict[str, RouterReport]] = {}
        """By uid of the deployment and name of the router, the latest last."""

    def put(self, deployment_uid: str, report: RouterReport) -> bool:
        """Take in a report; return whether it says anything new."""
        known = self._reports.setdefault(deployment_uid, {})
        is_new = known.pop(report.router, None) != report
        known[report.router] = report
        if len(known) > _MOST_ROUTERS:
            known.pop(next(iter(known)))
        return is_new

    def of(self, deployment_uid: str) -> tuple[RouterReport, ...]:
        """Return the reports of a deployment's routers, also of some that are gone; in the order of their names."""
        return tuple(sorted(self._reports.get(deployment_uid, {}).values(), key=lambda report: report.router))

    def forget(self, deployment_uid: str) -> None:
        """Forget a deployment that is gone."""
        self._reports.pop(deployment_uid, None)
