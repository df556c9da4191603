"""What the routers of each deployment last reported. It is not stored anywhere: after a restart of the operator each router reports again."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuneloop_operator.state.router_report import RouterReport

_MOST_ROUTERS = 64
"""Of one deployment, with those that are gone. Beyond it the report that is oldest is forgotten."""


class News(IntEnum):
    """What a report says that the one before did not."""

    NOTHING = 0
    COUNTS = 1
    """More requests, and nothing else."""
    MORE = 2


class RouterReports:
    """The newest report of each router."""

    def __init__(self) -> None:
        self._reports: dict[str, dict[str, RouterReport]] = {}
        """By uid of the deployment and name of the router, the latest last."""

    def put(self, deployment_uid: str, report: RouterReport) -> News:
        """Take in a report; return what is new."""
        known = self._reports.setdefault(deployment_uid, {})
        before = known.pop(report.router, None)
        known[report.router] = report
        if len(known) > _MOST_ROUTERS:
            known.pop(next(iter(known)))
        return _news(before, report)

    def of(self, deployment_uid: str) -> tuple[RouterReport, ...]:
        """Return the reports of a deployment's routers, also of some that are gone; in the order of their names."""
        return tuple(sorted(self._reports.get(deployment_uid, {}).values(), key=lambda report: report.router))

    def forget_router(self, deployment_uid: str, router: str) -> None:
        """Forget a router that is gone. It may still be heard of, if its last poll comes late."""
        self._reports.get(deployment_uid, {}).pop(router, None)

    def forget(self, deployment_uid: str) -> None:
        """Forget a deployment that is gone."""
        self._reports.pop(deployment_uid, None)


def _news(before: RouterReport | None, report: RouterReport) -> News:
    if before == report:
        return News.NOTHING
    if before is not None and replace(before, requests=report.requests) == report:
        return News.COUNTS
    return News.MORE
