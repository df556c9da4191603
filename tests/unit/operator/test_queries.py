"""The queries of gates: who is asked about, how often, and what becomes of the answers."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from log_records import messages_of
from query_walks import BEGAN, CANARY, EMPTY, STABLE, number

from tuneloop_operator.controller.baselines import Baselines
from tuneloop_operator.controller.controllers import new_store
from tuneloop_operator.controller.queries import OF_ONE_NAMESPACE, Queries

if TYPE_CHECKING:
    from tuneloop_operator.prometheus.answer import Answer
    from tuneloop_operator.state.gate_inputs import QueryAnswer


def deployment(name: str = "reviews", *, namespace: str = "team-a", gates: int = 1, **fields: Any) -> dict[str, Any]:
    rollout = {
        "strategy": "Canary",
        "phase": "Progressing",
        "stable": STABLE,
        "canary": CANARY,
        "step": 1,
        "split": {
            "generation": 3,
            "weights": [{"revision": CANARY, "weight": 25}, {"revision": STABLE, "weight": 75}],
        },
        "stepStartedAt": "2026-11-29T12:00:00Z",
    } | fields
    query = 'sum(rate(t{deployment="{{deployment}}",revision="{{revision}}"}[1m]))'
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "1"},
        "spec": {
            "model": {"uri": "pvc://models/artifact"},
            "rollout": {"gates": [{"name": f"g{index}", "query": query, "margin": 0.1} for index in range(gates)]},
        },
        "status": {"rollout": rollout},
    }


class _EndOfTheTest(Exception):  # noqa: N818
    pass


class Stage:
    """A store with deployments, and a Prometheus that answers when the test says so."""

    def __init__(self, *deployments: dict[str, Any]) -> None:
        self.store = new_store()
        for manifest in deployments:
            self.store.put(manifest)
        self.asked: list[str] = []
        self.results: list[str] = []
        self.answered: list[tuple[str, tuple[QueryAnswer, ...]]] = []
        self.leads = True
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.answer: Answer | Exception = number(0.5)
        self.now = BEGAN

    def query_answered(self, manifest: dict[str, Any], gate: str, answers: tuple[QueryAnswer, ...]) -> None:
        self.answered.append((manifest["metadata"]["name"], answers))
        self.store.query_answers.put(manifest["metadata"]["uid"], gate, answers)

    async def ask(self, query: str) -> Answer:
        """Each question takes a second."""
        self.asked.append(query)
        await self.is_open.wait()
        self.now += timedelta(seconds=1)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def rounds(self, number: int = 1) -> None:
        """Begin so many rounds, and let everything happen that can happen without time."""
        queries = Queries(
            self, ask=self.ask, clock=lambda: self.now, leads=lambda: self.leads, on_answer=self.results.append
        )
        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                for _ in range(number):
                    await queries.begin_round(group)
                    for _ in range(20):
                        await asyncio.sleep(0)
                raise _EndOfTheTest  # what has no answer is cancelled


def run(life) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await life()

    asyncio.run(limited())


@pytest.mark.parametrize("of", ["gates", "baselines"])
def test_between_two_deployments_of_a_round_others_have_their_turn(of):
    async def life() -> None:
        names = ("a", "b", "c", "d")
        stage, turns = Stage(*map(deployment, names)), 0
        stage.is_open.clear()

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(count())
                if of == "gates":
                    await Queries(stage, ask=stage.ask, clock=lambda: stage.now).begin_round(group)
                else:
                    await Baselines(stage, ask=stage.ask, clock=lambda: stage.now).ask_all()
                raise _EndOfTheTest
        assert turns >= len(names)

    run(life)


def test_a_gate_is_asked_for_both_revisions_at_one_moment():
    async def life() -> None:
        stage = Stage(deployment())
        await stage.rounds()
        ((name, answers),) = stage.answered
        assert name == "reviews"
        assert [(answer.gate, answer.revision, answer.at) for answer in answers] == [
            ("g0", CANARY, BEGAN),
            ("g0", STABLE, BEGAN),
        ]
        assert stage.store.query_answers.of("uid-reviews") == answers
        assert all('deployment="reviews"' in query for query in stage.asked)

    run(life)


def test_each_round_asks_again():
    async def life() -> None:
        stage = Stage(deployment())
        await stage.rounds(3)
        assert len(stage.asked) == 6

    run(life)


def test_what_is_not_answered_yet_is_not_asked_again():
    async def life() -> None:
        stage = Stage(deployment())
        stage.is_open.clear()
        await stage.rounds(3)
        assert len(stage.asked) == 2

    run(life)


def test_slow_queries_of_one_namespace_leave_turns_to_another():
    async def life() -> None:
        stage = Stage(deployment("greedy", gates=8), deployment("modest", namespace="team-b"))
        stage.is_open.clear()
        await stage.rounds()
        assert sum('"greedy"' in query for query in stage.asked) == 2 * OF_ONE_NAMESPACE
        assert sum('"modest"' in query for query in stage.asked) == 2

    run(life)


def test_an_answer_has_the_time_at_which_its_turn_came():
    async def life() -> None:
        stage = Stage(deployment(gates=OF_ONE_NAMESPACE + 1))
        await stage.rounds()
        times = sorted((answers[0].at - BEGAN).total_seconds() for _, answers in stage.answered)
        assert times[:OF_ONE_NAMESPACE] == [0.0] * OF_ONE_NAMESPACE
        assert times[-1] > 0

    run(life)


def test_who_does_not_lead_asks_nothing():
    async def life() -> None:
        stage = Stage(deployment())
        stage.leads = False
        await stage.rounds()
        assert stage.asked == []

    run(life)


@pytest.mark.parametrize(
    "manifest",
    [
        deployment(phase="Done", canary=None),
        deployment() | {"status": {}},
        deployment(gates=1) | {"spec": {"model": {"uri": "pvc://models/artifact"}}},
        deployment() | {"spec": {"rollout": {"gates": [{"query": "up", "nonsense": 1}]}}},
    ],
    ids=["nothing is judged", "no roll-out", "no gates", "unreadable"],
)
def test_about_others_nothing_is_asked(manifest):
    async def life() -> None:
        stage = Stage(manifest)
        await stage.rounds()
        assert stage.asked == []

    run(life)


def test_answers_are_forgotten_once_nothing_is_judged():
    async def life() -> None:
        stage = Stage(deployment())
        await stage.rounds()
        done = deployment(phase="Done", canary=None)
        stage.store.put(done | {"metadata": done["metadata"] | {"resourceVersion": "2"}})
        await stage.rounds()
        assert stage.store.query_answers.of("uid-reviews") == ()

    run(life)


def test_answers_are_forgotten_with_their_deployment():
    async def life() -> None:
        stage = Stage(deployment())
        await stage.rounds()
        stage.store.remove(deployment())
        assert stage.store.query_answers.of("uid-reviews") == ()

    run(life)


def test_results_are_counted():
    async def life() -> None:
        stage = Stage(deployment())
        await stage.rounds()
        stage.answer = EMPTY
        await stage.rounds()
        assert stage.results == ["Number", "Number", "NoData", "NoData"]

    run(life)


def test_a_defect_at_one_gate_stops_no_other():
    async def life() -> None:
        stage = Stage(deployment())
        stage.answer = RuntimeError("a defect")
        await stage.rounds(3)
        assert len(stage.asked) == 6

    with messages_of("tuneloop_operator.controller.queries") as messages:
        run(life)
    assert messages[0].startswith("ModelDeployment team-a/reviews: gate g0")
