"""Complete lists: when everything is known, and what was deleted between two lists."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from operator_harness import OperatorHarness

from tuneloop_operator.cluster.pages import Page, Scope
from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.listing import Listing
from tuneloop_operator.controller.operator import Operator
from tuneloop_operator.controller.store import Store
from tuneloop_operator.settings.operator import OperatorSettings

PODS = Scope("Pod", None)
Manifest = dict[str, Any]


def pod(name: str, version: int, *, namespace: str = "a", uid: str | None = None) -> Manifest:
    metadata = {"namespace": namespace, "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def page(*items: Manifest, version: int, scope: Scope = PODS, first: bool = True, last: bool = True) -> Page:
    return Page(scope=scope, items=items, version=str(version), is_first=first, is_last=last)


def store_with(*manifests: Manifest) -> Store:
    store = new_store()
    for manifest in manifests:
        store.put(manifest)
    return store


def gone(store: Store, *pages: Page) -> list[str]:
    """Return the names that are gone after these pages."""
    listing = Listing([])
    return [manifest["metadata"]["name"] for taken in pages for manifest in listing.take(taken, store)]


def test_what_is_in_no_page_is_gone() -> None:
    store = store_with(pod("x", 1), pod("y", 2), pod("z", 3))
    pages = page(pod("x", 1), version=9, last=False), page(pod("z", 3), version=9, first=False)
    assert gone(store, *pages) == ["y"]


def test_an_empty_list_says_that_nothing_is_left() -> None:
    assert gone(store_with(pod("x", 1)), page(version=9)) == ["x"]


def test_nothing_is_gone_before_the_last_page() -> None:
    assert gone(store_with(pod("x", 1)), page(version=9, last=False)) == []


def test_what_is_newer_than_the_list_stays() -> None:
    assert gone(store_with(pod("x", 10)), page(version=9)) == []


@pytest.mark.parametrize(
    ("scope", "names"), [(Scope("Pod", "a"), ["x"]), (Scope("Pod", None), ["x", "y"]), (Scope("Job", None), [])]
)
def test_a_list_says_nothing_of_what_it_does_not_cover(scope: Scope, names: list[str]) -> None:
    store = store_with(pod("x", 1), pod("y", 2, namespace="b"))
    assert gone(store, page(version=9, scope=scope)) == names


def test_another_object_of_the_same_name_does_not_keep_the_old_one() -> None:
    assert gone(store_with(pod("x", 1)), page(pod("x", 5, uid="other"), version=9)) == ["x"]


def test_a_list_that_starts_again_forgets_its_first_pages() -> None:
    store = store_with(pod("x", 1))
    assert gone(store, page(pod("x", 1), version=8, last=False), page(version=9)) == ["x"]


def test_everything_is_known_once_each_expected_list_has_ended() -> None:
    listing, store = Listing([PODS, Scope("Job", None)]), new_store()
    listing.take(page(version=1), store)
    listing.take(page(version=2, scope=Scope("Job", None), last=False), store)
    before = listing.is_complete
    listing.take(page(version=2, scope=Scope("Job", None), first=False), store)
    assert (before, listing.is_complete) == (False, True)


class ListedOperator:
    """An operator on a memory cluster that expects the lists of two kinds. Only the test reports lists and events."""

    def __init__(self, harness: OperatorHarness) -> None:
        self.harness = harness
        harness.cluster.watchers.clear()
        self.scopes = [Scope("FineTuneJob", None), Scope("Job", None)]
        self.operator = Operator(
            cluster=harness.cluster, settings=OperatorSettings(), clock=lambda: harness.now, expected=self.scopes
        )

    def list(self, scope: Scope) -> None:
        items = tuple(self.harness.cluster.of_kind(scope.kind).values())
        self.operator.on_list_page(page(*items, version=1000, scope=scope))

    async def settle(self) -> None:
        """Let the operator do what it can; it has done all once the loop has nothing left that is ready to run."""
        running = asyncio.create_task(self.operator.run())
        for _ in range(200):
            await asyncio.sleep(0)
        self.operator.stop()
        await asyncio.wait_for(running, 5)


@pytest.mark.parametrize(("lists", "writes"), [(1, False), (2, True)])
def test_nothing_is_done_before_every_list_is_in(harness: OperatorHarness, lists: int, writes: bool) -> None:
    async def life() -> None:
        listed = ListedOperator(harness)
        harness.submit()
        for scope in listed.scopes[:lists]:
            listed.list(scope)
        await listed.settle()
        assert bool(harness.cluster.writes) is writes

    asyncio.run(life())


@pytest.mark.parametrize(("resumed", "writes"), [(False, False), (True, True)])
def test_nothing_is_done_while_it_is_paused(harness: OperatorHarness, resumed: bool, writes: bool) -> None:
    async def life() -> None:
        listed = ListedOperator(harness)
        harness.submit()
        listed.operator.pause()
        for scope in listed.scopes:
            listed.list(scope)
        if resumed:
            listed.operator.resume()
        await listed.settle()
        assert bool(harness.cluster.writes) is writes

    asyncio.run(life())


def test_what_a_list_shows_to_be_gone_does_not_come_back_with_a_late_event(harness: OperatorHarness) -> None:
    async def life() -> None:
        listed = ListedOperator(harness)
        harness.submit()
        job = harness.job()
        listed.list(listed.scopes[0])
        assert listed.operator.knows_job("team-a", "reviews")
        listed.operator.on_list_page(page(version=2000, scope=listed.scopes[0]))
        listed.operator.on_event("MODIFIED", job | {"metadata": job["metadata"] | {"resourceVersion": "1500"}})
        assert not listed.operator.knows_job("team-a", "reviews")

    asyncio.run(life())


def test_a_list_that_shows_nothing_new_wakes_nobody(harness: OperatorHarness) -> None:
    async def life() -> None:
        listed = ListedOperator(harness)
        harness.submit()
        for scope in listed.scopes:
            listed.list(scope)
        listed.operator.pause()
        depth = listed.operator.depth
        listed.list(listed.scopes[0])
        assert (depth, listed.operator.depth) == (1, 1)

    asyncio.run(life())
