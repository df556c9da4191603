"""Rounds of questions to a Prometheus that a test plays, for a deployment that retrains on the memory cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from operator_harness import START

from tuneloop_operator.controller.queries import Queries
from tuneloop_operator.decide.model_deployment.retraining import data_quality
from tuneloop_operator.decide.model_deployment.retraining.triggers.evidence import About
from tuneloop_operator.prometheus.answer import Answer, Number, Unanswered
from tuneloop_operator.prometheus.query import PromQL

if TYPE_CHECKING:
    from retrained_in_memory import Retrained

Played = float | Unanswered | Mapping[str, float | Unanswered]
"""An answer to all queries of triggers, or answers by a word of the query."""
FIT: Mapping[str, float] = {data_quality.COVERAGE: 1.0}
"""Data that nothing is known against; what is not named is 0."""


async def look(
    deployed: Retrained,
    value: Played,
    *,
    later: float = 0.0,
    data: Mapping[str, float] | Unanswered = FIT,
) -> list[str]:
    """Let one round of questions be answered; return what was asked for triggers. data: numbers about the data, by part."""
    deployed.harness.now += timedelta(seconds=later)
    parts = _parts(deployed)
    asked: list[str] = []

    async def ask(query: PromQL) -> Answer:
        if str(query) in parts:
            return data if isinstance(data, Unanswered) else _number(deployed, data.get(parts[str(query)], 0.0))
        asked.append(str(query))
        if isinstance(value, Mapping):
            return _number(deployed, next(found for word, found in value.items() if word in str(query)))
        return _number(deployed, value)

    queries = Queries(deployed.harness.operator, ask=ask, clock=lambda: deployed.harness.now)
    async with asyncio.TaskGroup() as group:
        await queries.begin_round(group)
    await deployed.settle()
    return asked


def _number(deployed: Retrained, value: float | Unanswered) -> Answer:
    return value if isinstance(value, Unanswered) else Number(value=value, at=deployed.harness.now.timestamp())


def _parts(deployed: Retrained) -> dict[str, str]:
    """Return what each query about the data of the stable revision is for."""
    metadata = deployed.stored["metadata"]
    about = About(
        namespace=metadata["namespace"],
        deployment=metadata["name"],
        revision=deployed.status["stable"]["revision"],
        cutoff=START,
    )
    asked = (data_quality.queries(about, of_labels=of_labels) for of_labels in (False, True))
    return {str(query.query): query.part for queries in asked for query in queries}
