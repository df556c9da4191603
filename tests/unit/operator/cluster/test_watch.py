"""How kopf is set up, and how lists are read. The stories on a real API server show that the watch works."""

from __future__ import annotations

import asyncio
import signal
from itertools import islice
from typing import Any
from unittest import mock

import kopf
import pytest
from kopf._core.engines import posting

from tuneloop_operator.cluster.pages import Scope
from tuneloop_operator.cluster.watch import Watched, backoffs, page_of, watch_settings
from tuneloop_operator.controller.controllers import CHILD_KINDS, KINDS

WATCHED = Watched(ours=KINDS, children=CHILD_KINDS)
POD = {"metadata": {"namespace": "a", "name": "x", "uid": "1", "resourceVersion": "5"}}


def body(kind: str = "PodList", *items: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    metadata = {"resourceVersion": "9"} | ({"continue": token} if token is not None else {})
    return {"kind": kind, "apiVersion": "v1", "metadata": metadata, "items": list(items)}


@pytest.mark.parametrize(
    ("path", "scope"),
    [("/api/v1/pods", Scope("Pod", None)), ("/api/v1/namespaces/team-a/pods", Scope("Pod", "team-a"))],
)
def test_a_list_covers_what_its_address_says(path: str, scope: Scope) -> None:
    page = page_of(path, {}, body(), watched=WATCHED)
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
    page = page_of("/api/v1/pods", query, body(token=token), watched=WATCHED)
    assert page is not None
    assert (page.is_first, page.is_last) == ends


def test_the_items_of_a_list_get_their_kind() -> None:
    page = page_of("/api/v1/pods", {}, body("PodList", POD), watched=WATCHED)
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
def test_a_list_of_another_kind_is_no_page(answer: Any) -> None:
    assert page_of("/api/v1/pods", {}, answer, watched=WATCHED) is None


@pytest.mark.parametrize(
    ("namespaces", "lists"), [((), [None]), (("a",), ["a"]), (("a", "b"), ["a", "b"])], ids=["all", "one", "two"]
)
def test_each_kind_is_listed_in_each_namespace(namespaces: tuple[str, ...], lists: list[str | None]) -> None:
    assert set(WATCHED.scopes(namespaces)) == {Scope(kind, name) for kind in WATCHED.kinds for name in lists}


def test_children_are_selected_by_label_and_our_kinds_are_not() -> None:
    selectors = watch_settings(WATCHED).watching.label_selectors
    children = (
        "jobs",
        "pods",
        "services",
        "configmaps",
        "deployments",
        "networkpolicies",
        "poddisruptionbudgets",
        "horizontalpodautoscalers",
    )
    assert {selector.any_name: labels for selector, labels in selectors.items()} == dict.fromkeys(
        children, "app.kubernetes.io/managed-by=tuneloop"
    )


def test_kopf_keeps_no_copy_of_objects() -> None:
    storage = watch_settings(WATCHED).persistence.diffbase_storage
    assert (storage.build(body=POD, extra_fields=()), storage.fetch(body=POD)) == ({}, None)


def test_a_restart_of_the_watch_does_not_kill_the_process_later() -> None:
    """Where kopf's tasks are cancelled, kopf asks the event loop to kill the process ten minutes later."""

    async def timers_after_a_stop() -> list[Any]:
        loop = asyncio.get_running_loop()
        tasks = await kopf.spawn_tasks(
            registry=kopf.OperatorRegistry(), settings=watch_settings(WATCHED), standalone=True, clusterwide=True
        )
        await asyncio.sleep(0)
        with mock.patch.object(loop, "call_later", wraps=loop.call_later) as call_later:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=5)
        return [call.args for call in call_later.call_args_list]

    assert [timer for timer in asyncio.run(timers_after_a_stop()) if signal.SIGKILL in timer] == []


def test_kopf_posts_no_event() -> None:
    """kopf would post each warning about an object, beside the Events of the operator itself."""

    async def queued_events() -> int:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        posting.settings_var.set(watch_settings(WATCHED))
        posting.event_queue_var.set(queue)
        posting.event_queue_loop_var.set(asyncio.get_running_loop())
        kopf.event({"apiVersion": "v1", "kind": "Pod"} | POD, type="Warning", reason="Slow", message="a watch broke")
        return queue.qsize()

    assert asyncio.run(queued_events()) == 0


def test_requests_are_tried_again_without_end() -> None:
    waits = watch_settings(WATCHED).networking.error_backoffs
    assert len(list(islice(waits, 10_000))) == 10_000


def test_each_request_starts_with_a_short_wait() -> None:
    waits = watch_settings(WATCHED).networking.error_backoffs
    assert [next(iter(waits)) <= 1 for _ in range(2)] == [True, True]


def test_waits_grow_to_ten_seconds_and_differ() -> None:
    waits = list(islice(backoffs(), 200))
    assert all(5 <= wait <= 10 for wait in waits[4:])
    assert len(set(waits)) > 100
