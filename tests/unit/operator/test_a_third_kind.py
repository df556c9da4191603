"""A kind that the operator has never heard of needs an observation, a decision and one row; nothing else changes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tuneloop_api.wire.model import SpecModel
from tuneloop_operator.controller.controllers import CONTROLLERS, Controller, child_kinds, new_store
from tuneloop_operator.controller.operator import Operator
from tuneloop_operator.controller.queue import WorkQueue
from tuneloop_operator.decide.decision import Decision, LiveChildren
from tuneloop_operator.names import MANAGED_BY, MANAGER

if TYPE_CHECKING:
    from operator_harness import OperatorHarness

    from tuneloop_operator.controller.store import Store
    from tuneloop_operator.state.observed import Facts

LABEL = "example.com/greeting"
Manifest = dict[str, Any]


class GreetingSpec(SpecModel):
    text: str


class Greeting(SpecModel):
    api_version: Literal["example.com/v1"]
    kind: Literal["Greeting"]
    metadata: Manifest
    spec: GreetingSpec
    status: Manifest | None = None


@dataclass(frozen=True, kw_only=True)
class ObservedGreeting:
    greeting: Greeting
    cards: tuple[Manifest, ...]
    live: bool


def observe(store: Store, manifest: Manifest, facts: Facts) -> ObservedGreeting:
    name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    cards = tuple(store.labelled(LABEL, name, namespace=namespace))
    return ObservedGreeting(greeting=Greeting.from_wire(manifest), cards=cards, live=facts.live)


def decide(observed: ObservedGreeting, **_: Any) -> Decision:
    """Write the card once it is known that there is none."""
    if observed.cards:
        return Decision()
    if not observed.live:
        return Decision(needs=LiveChildren())
    metadata = observed.greeting.metadata
    owner = {"kind": "Greeting", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
    card = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": {LABEL: metadata["name"], MANAGED_BY: MANAGER},
            "ownerReferences": [owner],
        },
        "data": {"text": observed.greeting.spec.text},
    }
    return Decision(status={"phase": "Written"}, create=(card,))


ROW: Any = Controller(
    kind="Greeting",  # type: ignore[arg-type]  # the literal has the kinds of the product
    model=Greeting,
    child_label=LABEL,
    children={"ConfigMap": lambda card: {name: value for name, value in card.items() if name != "data"}},
    reread=("ConfigMap",),
    observe=observe,
    decide=decide,
    metrics=lambda objects, _: f"greetings {len(list(objects.of_kind('Greeting', namespace=None)))}\n",  # type: ignore[arg-type]
)
GREETING = {"apiVersion": "example.com/v1", "kind": "Greeting", "metadata": {"name": "hello", "namespace": "team-a"}}


@pytest.fixture
def greeter(harness: OperatorHarness) -> OperatorHarness:
    """The harness with an operator that has a row for greetings."""
    harness.operator = Operator(
        cluster=harness.cluster,
        settings=harness.settings,
        clock=lambda: harness.now,
        workers=1,
        queue=WorkQueue(clock=lambda: harness.now.timestamp(), random=lambda: 0.0),  # noqa: PLW0108  (`now` moves)
        controllers=CONTROLLERS | {"Greeting": ROW},
    )
    return harness


def test_its_child_is_created_and_restored(greeter: OperatorHarness) -> None:
    async def life() -> None:
        greeter.cluster.add(GREETING | {"spec": {"text": "hello"}})
        await greeter.settle()
        assert greeter.cluster.of_kind("ConfigMap")["hello"]["data"] == {"text": "hello"}
        assert greeter.cluster.of_kind("Greeting")["hello"]["status"] == {"phase": "Written"}
        greeter.cluster.remove(greeter.cluster.of_kind("ConfigMap")["hello"])
        await greeter.settle()
        assert "hello" in greeter.cluster.of_kind("ConfigMap")

    asyncio.run(life())


def test_an_object_that_does_not_fit_is_reported(greeter: OperatorHarness) -> None:
    async def life() -> None:
        greeter.cluster.add(GREETING | {"spec": {"text": "hello", "loud": True}})
        await greeter.settle()
        condition, _ = greeter.cluster.of_kind("Greeting")["hello"]["status"]["conditions"]
        assert condition["message"].startswith(
            "spec.loud: found True; this version of the operator knows no such field"
        )

    asyncio.run(life())


def test_it_is_watched_trimmed_and_measured(greeter: OperatorHarness) -> None:
    async def life() -> None:
        assert child_kinds({"Greeting": ROW}) == ("ConfigMap",)
        greeter.cluster.add(GREETING | {"spec": {"text": "hello"}})
        await greeter.settle()
        (card,) = greeter.operator.store.labelled(LABEL, "hello", namespace="team-a")
        assert "data" not in card
        assert ROW.metrics(greeter.operator.store, greeter.now) == "greetings 1\n"

    asyncio.run(life())


def test_it_is_reconciled_when_an_object_changes_that_it_refers_to() -> None:
    async def life() -> None:
        refers = {"kind": "Greeting", "metadata": {"name": "hello", "namespace": "team-a", "resourceVersion": "1"}}
        row = Controller(**{**vars(ROW), "references": lambda _: [("FineTuneJob", "reviews")]})
        store = new_store({"Greeting": row})
        store.put(refers)
        assert [
            found["metadata"]["name"] for found in store.referring("FineTuneJob", "reviews", namespace="team-a")
        ] == ["hello"]

    asyncio.run(life())
