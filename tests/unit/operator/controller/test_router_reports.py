"""What routers report: the newest report of each, and only news are news."""

from __future__ import annotations

from tuneloop_operator.controller.router_reports import News, RouterReports
from tuneloop_operator.state.router_report import RouterReport


def report(router: str, in_force: int, *, refused: int | None = None) -> RouterReport:
    return RouterReport(router=router, in_force=in_force, refused=refused)


def test_the_newest_report_of_each_router_stays() -> None:
    reports = RouterReports()
    for new in (report("b", 1), report("a", 1), report("b", 2)):
        assert reports.put("uid", new)
    assert reports.of("uid") == (report("a", 1), report("b", 2))
    assert reports.of("other") == ()


def test_the_same_report_again_is_no_news() -> None:
    reports = RouterReports()
    reports.put("uid", report("a", 1))
    assert not reports.put("uid", report("a", 1))
    assert reports.put("uid", report("a", 1, refused=2))
    assert reports.put("another", report("a", 1))


def test_more_requests_are_small_news() -> None:
    reports = RouterReports()
    counted = [RouterReport(router="a", in_force=1, requests=(("7d1f", count),)) for count in (1, 2)]
    found = [reports.put("uid", new) for new in (*counted, counted[1], RouterReport(router="a", in_force=2))]
    assert found == [News.MORE, News.COUNTS, News.NOTHING, News.MORE]
    assert reports.of("uid") == (RouterReport(router="a", in_force=2),)


def test_routers_that_are_gone_are_forgotten_before_those_that_ask() -> None:
    reports = RouterReports()
    reports.put("uid", report("stays", 1))
    for number in range(200):
        reports.put("uid", report(f"gone-{number}", 1))
        reports.put("uid", report("stays", 1))
    assert len(reports.of("uid")) == 64
    assert report("stays", 1) in reports.of("uid")


def test_a_deployment_that_is_gone_leaves_nothing() -> None:
    reports = RouterReports()
    reports.put("uid", report("a", 1))
    reports.forget("uid")
    reports.forget("uid")
    assert reports.of("uid") == ()
