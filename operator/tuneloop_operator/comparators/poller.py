"""Asks the comparators of all deployments for their counts, again and again, and for replays where a roll-out waits for them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tuneloop_api.contract.comparison import ComparisonCounts
from tuneloop_operator.comparators.replays import Replays
from tuneloop_operator.comparators.turns import Turns
from tuneloop_operator.controller.comparators import comparator_of, comparators_of
from tuneloop_operator.state.gate_inputs import ComparatorReply

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_operator.comparators.client import ComparatorClient
    from tuneloop_operator.comparators.turns import DeploymentKey
    from tuneloop_operator.controller.comparators import Comparator
    from tuneloop_operator.controller.operator import Operator

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5
"""Between two looks at which comparators there are."""


class ComparatorPoller:
    """Asks in turns. What a comparator says goes to the operator, which reconciles its deployment if it is anything new."""

    def __init__(
        self,
        *,
        operator: Operator,
        client: ComparatorClient,
        local: bool = False,
        leads: Callable[[], bool] = lambda: True,
        acts_in: Callable[[str], bool] = lambda _namespace: True,
        turns: Turns | None = None,
    ) -> None:
        """local: comparators are processes of this machine. leads: whether this process decides; else nobody is asked, and what was said is forgotten.

        acts_in: whether this release acts in a namespace.
        """
        self._operator = operator
        self._client = client
        self._local = local
        self._leads = leads
        self._acts_in = acts_in
        self._turns = turns or Turns()
        self._replays = Replays()

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as asking:
            while True:
                self.start_due(asking)
                await asyncio.sleep(_LOOK_SECONDS)

    def start_due(self, asking: asyncio.TaskGroup) -> None:
        """Start a request to each comparator whose turn it is."""
        if not self._leads():
            self._operator.store.forget_comparisons()
            return
        found = self._comparators()
        self._replays.keep(found)
        for key in self._turns.begin(found, now=asyncio.get_running_loop().time()):
            asking.create_task(self._ask(found[key]))

    def _comparators(self) -> dict[DeploymentKey, Comparator]:
        found = comparators_of(self._operator.store, local=self._local)
        return {comparator.key: comparator for comparator in found if self._acts_in(comparator.namespace)}

    async def _ask(self, comparator: Comparator) -> None:
        try:
            reply = await self._reply(comparator)
            if self._leads() and self._is_there(comparator):
                self._operator.comparator_said(*comparator.key, reply)
                await self._ask_for_replays(comparator, reply)
        except Exception:  # noqa: BLE001  (a defect that one comparator triggers must not stop the others)
            _LOG.exception("the comparator of %s/%s: unexpected error", *comparator.key)
        finally:
            self._turns.end(comparator.key)

    def _is_there(self, comparator: Comparator) -> bool:
        now = comparator_of(self._operator.store, *comparator.key, local=self._local)
        return now is not None and now.deployment_uid == comparator.deployment_uid

    async def _reply(self, comparator: Comparator) -> ComparatorReply:
        if not comparator.address:
            return ComparatorReply(problem=comparator.problem)
        return await self._client.counts(comparator.address)

    async def _ask_for_replays(self, comparator: Comparator, reply: ComparatorReply) -> None:
        counts = _counts(reply)
        if counts is None:
            return
        now = asyncio.get_running_loop().time()
        times = self._replays.wanted(comparator.key, counts, asks=comparator.asks_for_replays, now=now)
        if times is None:
            return
        problem = await self._client.ask_for_replays(comparator.address, times=times)
        _LOG.info(
            "the comparator of %s/%s: %s",
            *comparator.key,
            problem or f"is to replay the golden set {times} times in all",
        )


def _counts(reply: ComparatorReply) -> ComparisonCounts | None:
    """Return the counts; None for a document that cannot be read, of which the gates say why."""
    if reply.document is None:
        return None
    try:
        return ComparisonCounts.from_wire(dict(reply.document))
    except ValidationError:
        return None
