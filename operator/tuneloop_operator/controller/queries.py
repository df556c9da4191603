"""Asks Prometheus for the gates of every deployment that is judged, and for triggers of retraining, again and again, while this operator leads."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

from pydantic import ValidationError

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_api.v1alpha1.model_deployment.gates import ON_FEEDBACK
from tuneloop_operator.decide.model_deployment.query_gates import WantedQuery, query_gates_of, wanted_queries
from tuneloop_operator.decide.model_deployment.retraining.memory import remembered as remembered_loop
from tuneloop_operator.decide.model_deployment.retraining.state import Loop
from tuneloop_operator.decide.model_deployment.retraining_triggers import counted, wanted_answers
from tuneloop_operator.decide.model_deployment.rollout.memory import remembered
from tuneloop_operator.prometheus.answer import Number
from tuneloop_operator.state.gate_inputs import QueryAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.controller.store import Store
    from tuneloop_operator.prometheus.answer import Answer
    from tuneloop_operator.prometheus.query import PromQL

EVERY = 30.0
"""Seconds between two rounds. A number counts once a minute at most, so one lost answer costs no number."""
OF_ONE_NAMESPACE = 2
"""Gates that are asked for at the same time: a quarter of the door's turns, with both revisions half. Slow queries of one tenant leave turns to others."""
_LOG = logging.getLogger(__name__)


class _Operator(Protocol):
    """Takes in what was answered."""

    @property
    def store(self) -> Store: ...

    def query_answered(self, manifest: Manifest, gate: str, answers: tuple[QueryAnswer, ...]) -> None: ...


class Queries:
    """The questions of all gates that are a query."""

    def __init__(
        self,
        operator: _Operator,
        *,
        ask: Callable[[PromQL], Awaitable[Answer]],
        clock: Callable[[], datetime],
        leads: Callable[[], bool] = lambda: True,
        on_answer: Callable[[str], None] = lambda _: None,
        every: float = EVERY,
    ) -> None:
        """ask: as `PrometheusDoor.ask`, which raises nothing; on_answer: gets Number, NoData or Error for each answer."""
        self._operator = operator
        self._ask = ask
        self._clock = clock
        self._leads = leads
        self._on_answer = on_answer
        self._every = every
        self._asking: set[tuple[str, str]] = set()
        """Uid of the deployment and name of the gate of what is on its way."""
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """By namespace, while something of it is on its way."""

    async def run(self) -> None:
        """Ask until the task is cancelled. A round waits for nothing: what has not been answered yet is not asked again."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self.begin_round(group)
                await asyncio.sleep(self._every)

    async def begin_round(self, group: asyncio.TaskGroup) -> None:
        """Begin to ask for every gate of which no question is on its way, in tasks of this group; nothing while another operator leads."""
        for manifest in list(self._operator.store.of_kind("ModelDeployment", namespace=None)):
            if not self._leads():
                return
            self._begin(manifest, group)
            # thousands of deployments take seconds to read, and the lease must be renewed meanwhile
            await asyncio.sleep(0)

    def _begin(self, manifest: Manifest, group: asyncio.TaskGroup) -> None:
        gates = _wanted_by_gate(manifest) | _wanted_by_trigger(manifest, now=self._clock())
        uid = manifest["metadata"]["uid"]
        self._operator.store.query_answers.keep(uid, gates)
        for gate, wanted in gates.items():
            if (uid, gate) not in self._asking:
                self._asking.add((uid, gate))
                group.create_task(self._ask_for_gate(manifest, gate, wanted))

    async def _ask_for_gate(self, manifest: Manifest, gate: str, wanted: list[WantedQuery]) -> None:
        """Ask for all revisions at one moment, so that their numbers can be compared."""
        metadata = manifest["metadata"]
        turn = self._turns.setdefault(metadata["namespace"], asyncio.Semaphore(OF_ONE_NAMESPACE))
        try:
            async with turn:
                at = self._clock()
                found = await asyncio.gather(*(self._ask(query.query) for query in wanted))
            for answer in found:
                self._on_answer("Number" if isinstance(answer, Number) else answer.verdict)
            answers = tuple(
                QueryAnswer(gate=gate, revision=query.revision, answer=answer, at=at)
                for query, answer in zip(wanted, found, strict=True)
            )
            before = self._operator.store.query_answers.of_gate(metadata["uid"], gate)
            self._operator.query_answered(manifest, gate, counted(before, answers))
        except Exception:  # noqa: BLE001  (a defect that one gate triggers must not stop the others)
            _LOG.exception("ModelDeployment %s/%s: gate %s", metadata["namespace"], metadata["name"], gate)
        finally:
            self._asking.discard((metadata["uid"], gate))


def _wanted_by_gate(manifest: Manifest) -> dict[str, list[WantedQuery]]:
    """Return what the gates of a stored deployment want to know now."""
    if not _has_query(manifest) or not (manifest.get("status") or {}).get("rollout"):
        return {}  # nearly all deployments, which are not worth a check against the model
    try:
        deployment = ModelDeployment.from_wire(manifest)
    except ValidationError:
        return {}
    status = deployment.status
    memory = remembered(status.rollout) if status is not None and status.rollout is not None else None
    metadata = deployment.metadata
    found: dict[str, list[WantedQuery]] = {}
    gates = query_gates_of(deployment.spec.rollout)
    for query in wanted_queries(gates, memory, namespace=metadata["namespace"], deployment=metadata["name"]):
        found.setdefault(query.gate, []).append(query)
    return found


def _wanted_by_trigger(manifest: Manifest, *, now: datetime) -> dict[str, list[WantedQuery]]:
    """Return what the triggers of a stored deployment want to know now."""
    if not ((manifest.get("spec") or {}).get("retraining") or {}).get("triggers"):
        return {}
    try:
        deployment = ModelDeployment.from_wire(manifest)
    except ValidationError:
        return {}
    stored = deployment.status.retraining if deployment.status is not None else None
    loop = remembered_loop(stored) if stored is not None else Loop()
    return {
        name: [WantedQuery(gate=name, revision=query.part, query=query.query) for query in queries]
        for name, queries in wanted_answers(deployment, loop, now=now).items()
    }


def _has_query(manifest: Manifest) -> bool:
    gates = ((manifest.get("spec") or {}).get("rollout") or {}).get("gates") or ()
    return any("query" in gate or gate.get("metric") in ON_FEEDBACK for gate in gates)
