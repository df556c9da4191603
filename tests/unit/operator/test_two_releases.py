"""An object of a namespace that another release holds: nothing is written, an Event says why, and the work goes on once the namespace is ours."""

from __future__ import annotations

import asyncio

from operator_harness import OperatorHarness

from tuneloop_operator.controller.operator import Operator


class Held:
    """Says of every namespace that another release holds it, until it is `gone`."""

    def __init__(self) -> None:
        self.gone = False

    async def wait(self, namespace: str) -> float:
        return 0.0 if self.gone else 60.0

    def holder(self, namespace: str) -> str:
        return "" if self.gone else "else/theirs"


class HeldHarness(OperatorHarness):
    """An operator beside another release."""

    def _start_operator(self) -> None:
        super()._start_operator()
        self.held = Held()
        self.operator = Operator(
            cluster=self.cluster,
            settings=self.settings,
            clock=lambda: self.now,
            queue=self.operator._queue,
            events=self,
            ownership=self.held,
        )


def test_nothing_is_written_in_a_namespace_of_another_release(harness: OperatorHarness) -> None:
    held = HeldHarness(harness.settings)

    async def life() -> None:
        held.submit()
        held.cluster.change(held.job(), status={"observedGeneration": -1})  # the CRD's default
        await held.settle()

    asyncio.run(life())
    assert held.cluster.writes == []
    (event,) = held.events
    assert (event.type, event.reason) == ("Warning", "NamespaceHeld")
    assert "the operator release else/theirs holds this namespace by the Lease owner.tuneloop.dev" in event.message


def test_an_object_that_the_other_release_works_on_gets_no_event(harness: OperatorHarness) -> None:
    held = HeldHarness(harness.settings)

    async def life() -> None:
        held.submit()
        held.cluster.change(held.job(), status={"phase": "Running"})
        await held.settle()

    asyncio.run(life())
    assert held.events == []


def test_the_work_goes_on_once_the_namespace_is_ours(harness: OperatorHarness) -> None:
    held = HeldHarness(harness.settings)

    async def life() -> list[str]:
        held.submit()
        await held.settle()
        held.held.gone = True
        await held.settle(later=59.0)
        before = held.status.get("phase", "")
        await held.settle(later=1.0)
        return [before, held.status.get("phase", "")]

    assert asyncio.run(life()) == ["", "Preparing"]


def test_namespaces_with_objects_of_ours_are_those_that_are_kept(harness: OperatorHarness) -> None:
    harness.submit()
    harness.cluster.add({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "team-b"}})
    assert harness.operator.namespaces() == {"team-a"}
