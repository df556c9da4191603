"""How kopf is set up, and how lists are read; that it watches is shown on a real API server."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from tuneloop_operator.cluster import watch as handlers
from tuneloop_operator.cluster.pages import Scope

POD = {"metadata": {"namespace": "a", "name": "x", "uid": "1", "resourceVersion": "5"}}


def body(kind: str = "PodList", *items: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    metadata = {"resourceVersion": "9"} | ({"continue": token} if token is not None else {})
    return {"kind": kind, "apiVersion": "v1", "metadata": metadata, "items": list(items)}


@pytest.mark.parametrize(
    ("path", "scope"),
    [("/api/v1/pods", Scope("Pod", None)), ("/api/v1/namespaces/team-a/pods", Scope("Pod", "team-a"))],
)
def test_a_list_covers_what_its_address_says(path: str, scope: Scope) -> None:
    page = handlers.page_of(path, {}, body())
    assert page is not None
    assert page.scope == scope


@pytest.mark.parametrize(
    ("query", "token", "ends"),
    [
        ({"limit": "500"}, None, (True, True)),
        ({"limit": "500"}, "", (True, True)),
        ({"limit": "500"}, "t", (True, False)),
        ({"limit": "500", "continue": "t"}, "u", (False, False)),
        ({"limit": "500", "continue": "u"}, None, (False, True)),
    ],
)
def test_a_page_knows_its_place(query: dict[str, str], token: str | None, ends: tuple[bool, bool]) -> None:
    page = handlers.page_of("/api/v1/pods", query, body(token=token))
    assert page is not None
    assert (page.is_first, page.is_last) == ends


def test_the_items_of_a_list_are_told_what_they_are() -> None:
    page = handlers.page_of("/api/v1/pods", {}, body("PodList", POD))
    assert page is not None
    assert page.items == ({"kind": "Pod", "apiVersion": "v1"} | POD,)


@pytest.mark.parametrize(
    "answer",
    [
        {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
        {"kind": "NamespaceList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []},
        {"kind": "Status", "status": "Failure"},
        ["no object"],
    ],
)
def test_what_is_no_list_of_ours_is_passed_by(answer: Any) -> None:
    assert handlers.page_of("/api/v1/pods", {}, answer) is None


@pytest.mark.parametrize(
    ("namespaces", "lists"), [((), [None]), (("a",), ["a"]), (("a", "b"), ["a", "b"])], ids=["all", "one", "two"]
)
def test_each_kind_is_listed_in_each_namespace(namespaces: tuple[str, ...], lists: list[str | None]) -> None:
    kinds = {*handlers.OURS, *handlers.CHILDREN}
    assert set(handlers.scopes(namespaces)) == {Scope(kind, one) for kind in kinds for one in lists}


def test_children_are_chosen_by_the_server_and_our_kinds_are_not() -> None:
    chosen = {selector.any_name for selector in handlers.watch_settings().watching.label_selectors}
    assert chosen == {"jobs", "pods", "services", "configmaps", "deployments", "networkpolicies"}


def test_nothing_is_posted_and_no_other_kind_is_looked_for() -> None:
    settings = handlers.watch_settings()
    assert (settings.posting.enabled, settings.scanning.disabled) == (False, True)


def test_kopf_keeps_no_copy_of_what_it_is_told_of() -> None:
    storage = handlers.watch_settings().persistence.diffbase_storage
    assert (storage.build(body=POD, extra_fields=()), storage.fetch(body=POD)) == ({}, None)


def test_a_watch_that_is_begun_anew_does_not_kill_the_process_later() -> None:
    assert handlers.watch_settings().process.ultimate_exiting_timeout is None


def test_requests_are_tried_again_without_end() -> None:
    backoffs = handlers.watch_settings().networking.error_backoffs
    assert len(list(islice(backoffs, 10_000))) == 10_000


def test_each_request_begins_with_a_short_wait_again() -> None:
    backoffs = handlers.watch_settings().networking.error_backoffs
    assert [next(iter(backoffs)) <= 1 for _ in range(2)] == [True, True]


def test_waits_grow_to_ten_seconds_and_differ() -> None:
    waits = list(islice(handlers.backoffs(), 200))
    assert all(5 <= wait <= 10 for wait in waits[4:])
    assert len(set(waits)) > 100
