"""What a router reports reaches the operator's memory, and lets its deployment be reconciled if it is news."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from deployed_in_memory import Deployed
from routed_manifests import pod_of_deployment, routed_deployment

from tuneloop_operator.state.router_report import RouterReport

if TYPE_CHECKING:
    from operator_harness import OperatorHarness


def test_news_alone_let_the_deployment_be_reconciled(harness: OperatorHarness) -> None:
    async def life() -> list[int]:
        await Deployed(harness).create()
        depths = []
        for in_force in (6, 7, 7):
            harness.operator.router_report("team-a", "api", RouterReport(router="a", in_force=in_force))
            depths.append(harness.operator.depth)
            await harness.settle()
        return depths

    assert asyncio.run(life()) == [1, 1, 0]


def test_counts_that_come_often_are_one_reconciliation_a_second(harness: OperatorHarness) -> None:
    async def life() -> int:
        await Deployed(harness).create()
        harness.operator.router_report("team-a", "api", RouterReport(router="a", in_force=7))
        await harness.settle()
        before = harness.reconciliations
        for count in range(30):
            report = RouterReport(router="a", in_force=7, requests=(("7d1f", count),))
            harness.operator.router_report("team-a", "api", report)
            await harness.settle(later=0.1)
        return harness.reconciliations - before

    assert asyncio.run(life()) == 3


def test_a_report_about_a_deployment_that_is_not_there_is_dropped(harness: OperatorHarness) -> None:
    async def life() -> int:
        harness.operator.router_report("team-a", "reviews", RouterReport(router="a", in_force=1))
        return harness.operator.depth

    assert asyncio.run(life()) == 0
    assert harness.operator.store.router_reports("u-reviews") == ()


def test_reports_are_forgotten_with_their_deployment(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.operator.on_event("ADDED", routed_deployment(7))
        harness.operator.router_report("team-a", "reviews", RouterReport(router="a", in_force=7))
        harness.operator.on_event("DELETED", routed_deployment(7))

    asyncio.run(life())
    assert harness.operator.store.router_reports("u-reviews") == ()


def test_what_a_router_reported_is_forgotten_with_its_pod(harness: OperatorHarness) -> None:
    async def life() -> None:
        harness.operator.on_event("ADDED", routed_deployment(7))
        for name in ("a", "b"):
            harness.operator.on_event("ADDED", pod_of_deployment(name, component="router"))
            harness.operator.router_report("team-a", "reviews", RouterReport(router=name, in_force=7))
        harness.operator.on_event("DELETED", pod_of_deployment("a", version=2, component="router"))

    asyncio.run(life())
    assert [report.router for report in harness.operator.store.router_reports("u-reviews")] == ["b"]


def test_the_answer_to_the_operators_own_write_is_a_change_before_the_watch_reports_it(
    harness: OperatorHarness,
) -> None:
    changed: list[int | None] = []

    def note(namespace: str, name: str) -> None:
        split = harness.operator.split_of(namespace, name)
        changed.append(split.generation if split else None)

    async def life() -> None:
        harness.operator.on_split_change(note)
        harness.operator.on_event("ADDED", routed_deployment(7))
        harness.operator.store.put(routed_deployment(8))
        harness.operator.on_event("MODIFIED", routed_deployment(8))

    asyncio.run(life())
    assert changed == [7, 8]
