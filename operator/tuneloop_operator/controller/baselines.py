"""Asks Prometheus for the counts of each baseline window that is over, while this operator leads."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from pydantic import ValidationError

from tuneloop_api.v1alpha1 import ModelDeployment
from tuneloop_operator.decide.model_deployment.baseline import wanted_baseline
from tuneloop_operator.prometheus.answer import Vector
from tuneloop_operator.state.gate_inputs import BaselineAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.controller.store import Store
    from tuneloop_operator.decide.model_deployment.baseline import WantedBaseline
    from tuneloop_operator.prometheus.answer import VectorAnswer
    from tuneloop_operator.prometheus.query import PromQL

EVERY = 60.0
"""Seconds between two rounds: rules compute PSI once a minute."""
_LOG = logging.getLogger(__name__)


class _Operator(Protocol):
    """Takes in what was answered."""

    @property
    def store(self) -> Store: ...

    def baseline_answered(self, manifest: Manifest, answer: BaselineAnswer) -> None: ...


class Baselines:
    """The questions about all baseline windows, one at a time: such a query reads many samples, and none is urgent."""

    def __init__(
        self,
        operator: _Operator,
        *,
        ask: Callable[[PromQL], Awaitable[VectorAnswer]],
        clock: Callable[[], datetime],
        leads: Callable[[], bool] = lambda: True,
        on_answer: Callable[[str], None] = lambda _: None,
        every: float = EVERY,
    ) -> None:
        """ask: as `PrometheusDoor.ask_vector`, which raises nothing; on_answer: gets Number, NoData or Error for each answer."""
        self._operator = operator
        self._ask = ask
        self._clock = clock
        self._leads = leads
        self._on_answer = on_answer
        self._every = every

    async def run(self) -> None:
        """Ask until the task is cancelled."""
        while True:
            await self.ask_all()
            await asyncio.sleep(self._every)

    async def ask_all(self) -> None:
        """Ask once about every deployment whose window is over; about none while another operator leads."""
        for manifest in list(self._operator.store.of_kind("ModelDeployment", namespace=None)):
            if not self._leads():
                return
            try:
                await self._ask_about(manifest)
            except Exception:  # noqa: BLE001  (a defect that one deployment triggers must not stop the others)
                metadata = manifest["metadata"]
                _LOG.exception("ModelDeployment %s/%s: baseline", metadata["namespace"], metadata["name"])
            # thousands of deployments take seconds to read, and the lease must be renewed meanwhile
            await asyncio.sleep(0)

    async def _ask_about(self, manifest: Manifest) -> None:
        wanted = _wanted(manifest, now=self._clock())
        if wanted is None:
            self._operator.store.query_answers.forget_baseline(manifest["metadata"]["uid"])
            return
        answer = await self._ask(wanted.query)
        self._on_answer("Number" if isinstance(answer, Vector) else answer.verdict)
        found = BaselineAnswer(revision=wanted.revision, since=wanted.since, seconds=wanted.seconds, answer=answer)
        self._operator.baseline_answered(manifest, found)


def _wanted(manifest: Manifest, *, now: datetime) -> WantedBaseline | None:
    status = manifest.get("status") or {}
    if "monitoring" not in manifest["spec"] or "baseline" in status.get("monitoring", {"baseline": None}):
        return None  # nearly all deployments, which are not worth a check against the model
    try:
        return wanted_baseline(ModelDeployment.from_wire(manifest), now=now)
    except ValidationError:
        return None
