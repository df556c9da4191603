"""Watches through the fault proxy: events come as the API server sends them, and each fault is the one that its rule names."""

from __future__ import annotations

import json

import httpx
import pytest
from fault_proxy import CutWatch, Delay, Match, Rule, SkipEvent, StallWatch, WatchError
from waiting import until

WATCHES = Match(verb="watch", resource="configmaps")


# ---- without a fault ------------------------------------------------------------------------------------------------------------------


def test_a_watch_delivers_events_as_they_come(proxy, put, watching, namespace):
    with watching() as watch:
        put("a")
        watch.wait("a")
        put("b")
        watch.wait("a", "b")
        assert watch.end is None
    assert [(event.type, event.name, event.namespace) for event in proxy.events] == [
        ("ADDED", "a", namespace),
        ("ADDED", "b", namespace),
    ]


def test_a_watch_ends_as_the_api_server_ends_it(watching):
    with watching(seconds=1) as watch:
        assert watch.wait_for_end() == "clean"


def test_a_watch_that_its_client_leaves_is_closed(proxy, client, maps):
    with client.stream("GET", maps, params={"watch": "true"}):
        assert proxy.open_watches == ("configmaps",)
    until(lambda: proxy.open_watches == (), seconds=10, what="no watch")


# ---- cut ------------------------------------------------------------------------------------------------------------------------------


def test_cut_watch_breaks_an_open_watch(proxy, put, watching):
    with watching() as watch:
        put("a")
        watch.wait("a")
        proxy.add(Rule(WATCHES, CutWatch()))
        assert isinstance(watch.wait_for_end(), httpx.RemoteProtocolError | httpx.ReadError)


def test_cut_watch_meets_the_watch_that_is_counted(proxy, put, watching):
    proxy.add(Rule(Match(verb="watch", nth=2), CutWatch()))
    with watching() as first, watching() as second:
        assert second.wait_for_end() != "clean"
        put("a")
        first.wait("a")


def test_cut_watch_at_an_event_loses_the_event(proxy, put, watching):
    proxy.add(Rule(Match(event="ADDED", name="b"), CutWatch()))
    with watching() as watch:
        put("a")
        watch.wait("a")
        put("b")
        assert watch.wait_for_end() != "clean"
    assert watch.names == ("a",)


def test_a_watch_can_break_in_the_middle_of_a_line(proxy, put, watching):
    proxy.add(Rule(Match(event="ADDED", name="a"), CutWatch(half=True)))
    with watching() as watch:
        put("a")
        assert watch.wait_for_end() != "clean"
    assert watch.rest.startswith('{"type":"ADDED"')
    with pytest.raises(json.JSONDecodeError):
        json.loads(watch.rest)


# ---- stalled --------------------------------------------------------------------------------------------------------------------------


def test_a_stalled_watch_is_silent_and_open_until_the_rule_is_removed(proxy, put, watching):
    with watching() as watch:
        put("a")
        watch.wait("a")
        stall = proxy.add(Rule(WATCHES, StallWatch()))
        put("b")
        put("c")
        until(lambda: len(proxy.events) == 3, seconds=10, what="three events")
        assert (watch.names, watch.end) == (("a",), None)
        stall.remove()
        watch.wait("a", "b", "c")
        put("d")
        watch.wait("a", "b", "c", "d")


def test_a_stalled_watch_stays_open_when_the_api_server_ends_it(proxy, put, watching):
    stall = proxy.add(Rule(WATCHES, StallWatch()))
    with watching(seconds=1) as watch:
        put("a")
        until(lambda: proxy.held_open == ("configmaps",), seconds=10, what="a watch that the API server ended")
        assert (watch.names, watch.end) == ((), None)
        stall.remove()
        assert watch.wait_for_end() == "clean"


def test_a_stalled_watch_still_gets_an_error(proxy, put, watching):
    proxy.add(Rule(WATCHES, StallWatch()))
    with watching() as watch:
        put("a")
        until(lambda: len(proxy.events) == 1, seconds=10, what="an event")
        proxy.add(Rule(WATCHES, WatchError(410)))
        assert watch.wait_for_end() == "clean"
    assert watch.names == ("Expired",)


# ---- other events than the API server's -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "reason"), [(410, "Expired"), (500, "InternalError")])
def test_a_watch_error_is_an_event_that_ends_the_watch(proxy, watching, code, reason):
    proxy.add(Rule(WATCHES, WatchError(code)))
    with watching() as watch:
        assert watch.wait_for_end() == "clean"
    (event,) = watch.events
    assert event["type"] == "ERROR"
    assert (event["object"]["kind"], event["object"]["code"], event["object"]["reason"]) == ("Status", code, reason)


def test_the_nth_matching_event_is_skipped(proxy, put, watching):
    rule = proxy.add(Rule(Match(event="ADDED", name="skip.*", nth=2), SkipEvent()))
    with watching() as watch:
        for name in ("skip-1", "a", "skip-2", "skip-3"):
            put(name)
        watch.wait("skip-1", "a", "skip-3")
    assert (rule.matched, rule.fired) == (3, 1)


def test_an_event_that_is_held_back_keeps_its_place(proxy, put, watching):
    proxy.add(Rule(Match(event="ADDED", name="a"), Delay(0.7)))
    with watching() as watch:
        put("a")
        put("b")
        until(lambda: len(proxy.events) == 1, seconds=10, what="an event")
        assert watch.names == ()
        watch.wait("a", "b")
