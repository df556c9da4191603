"""The page of a FineTuneJob: progress, data, memory, checkpoints, attempts, usage, evaluation. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from tuneloop_cli.views.conditions import FOR_TOOLS, conditions
from tuneloop_cli.views.evaluation import scores
from tuneloop_cli.views.failure import failure_lines
from tuneloop_cli.views.lines import columns, field, pair, pairs, section
from tuneloop_cli.views.values import Manifest, age, at, size, span, text

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN_ELSEWHERE = ("memory",)
"""Values of `status.resolved` that have a section of their own."""
_REPEATED = FOR_TOOLS | {"Ready"}
"""Types of conditions that repeat the phase."""


def job_page(job: Manifest, now: datetime) -> Iterator[str]:
    """Yield the body of the page."""
    yield field("Model", at(job, "spec.model.uri"))
    yield field("Attempt", _attempt(job))
    yield field("Resume", at(job, "status.resume"))
    yield from section("Progress", pairs(at(job, "status.progress")))
    yield from section("Search", _search(at(job, "status.search") or {}))
    yield from section("Failure", _failure(at(job, "status.failure"), at(job, "status.phase")))
    yield from section("Data", pairs(at(job, "status.data")))
    resolved = at(job, "status.resolved") or {}
    yield from section("Resolved", pairs({k: v for k, v in resolved.items() if k not in _SHOWN_ELSEWHERE}))
    yield from section("Memory plan of one rank", memory_table(resolved.get("memory") or {}))
    yield from section("Checkpoints", _checkpoints(job, now))
    yield from section("History", _history(at(job, "status.history") or [], now))
    yield from section("Restarts", _restarts(at(job, "status.restarts") or {}, now))
    yield from section("Avoided nodes", _avoided(at(job, "status.avoidedNodes") or []))
    yield from section("Usage", _usage(at(job, "status.usage")))
    yield from section("Evaluation", _evaluation(job))
    yield from section("Artifact", pairs(at(job, "status.artifact")))
    yield from section("Conditions", conditions(job, now, without=_REPEATED))


def _attempt(job: Manifest) -> str | None:
    number, nodes = at(job, "status.attempt"), at(job, "status.nodes")
    if number is None:
        return None
    asked = at(job, "spec.resources.nodes") or 1
    smaller = f" on {nodes} of {asked} nodes" if nodes is not None and nodes < asked else ""
    halved = at(job, "status.microBatchSize")
    return f"{number}{smaller}{f', micro-batches of {halved} rows' if halved else ''}"


def _failure(failure: dict[str, Any] | None, phase: str | None) -> Iterator[str]:
    if failure is None:
        return
    if phase != "Failed":
        yield "(of the last restart; the job goes on)" if phase != "Succeeded" else "(of the last restart)"
    yield from failure_lines(failure)


def _search(search: dict[str, Any]) -> Iterator[str]:
    yield from pair("trials", search.get("trial"))
    yield from pair("ended early", search.get("pruned"))
    if search.get("best") is not None:
        yield from pair("best", f"trial {search['best']}, {search.get('metric')} {text(search.get('value'))}")
        yield from pairs(search.get("parameters") or {})


def memory_table(plan: dict[str, int]) -> Iterator[str]:
    """Yield the parts of a memory plan in bytes, each with its share of the total."""
    total = plan.get("total")
    rows = [
        (name, size(amount), f"{amount / total:.0%}" if total and name != "total" else "")
        for name, amount in plan.items()
    ]
    yield from columns(("WHAT", "BYTES", "PART"), rows)


def _checkpoints(job: Manifest, now: datetime) -> Iterator[str]:
    for name in ("latest", "best"):
        saved = at(job, f"status.checkpoint.{name}")
        if saved:
            measured = f", {saved['metric']} {text(saved['value'])}" if saved.get("metric") else ""
            when = f" ({age(saved['time'], now)} ago)" if saved.get("time") else ""
            yield from pair(name, f"step {saved['step']}{measured}{when}")
    seconds = at(job, "status.checkpoint.saveSecondsP95")
    yield from pair("save time, p95", seconds if seconds is None else f"{seconds:.2g} s")
    before = at(job, "status.resumeBefore")
    yield from pair("not gone on from", before if before is None else f"step {before} and later: a loss was not finite")


def _history(attempts: list[dict[str, Any]], now: datetime) -> Iterator[str]:
    rows = [
        (
            attempt["attempt"],
            f"{text(attempt.get('startStep')) or '?'} to {text(attempt.get('endStep')) or '?'}",
            attempt.get("reason"),
            attempt.get("class"),
            attempt.get("node"),
            attempt.get("nodes"),
            _took(attempt),
            f"{age(attempt['ended'], now)} ago" if attempt.get("ended") else None,
        )
        for attempt in attempts
    ]
    yield from columns(("ATTEMPT", "STEPS", "OUTCOME", "CLASS", "NODE", "NODES", "TOOK", "ENDED"), rows)


def _took(attempt: dict[str, Any]) -> str | None:
    if not attempt.get("started") or not attempt.get("ended"):
        return None
    started, ended = (datetime.fromisoformat(attempt[name]) for name in ("started", "ended"))
    return span((ended - started).total_seconds())


def _restarts(restarts: dict[str, Any], now: datetime) -> Iterator[str]:
    if not restarts.get("total"):
        return
    yield from pair("in all", restarts["total"])
    since = restarts.get("withoutProgress", 0)
    yield from pair("after failures", f"{restarts.get('failure', 0)}, {since} since the newest checkpoint")
    yield from pair("after disruptions", restarts.get("disruption", 0))
    if restarts.get("reduced"):
        yield from pair("micro-batch halved", f"{restarts['reduced']} x")
    if restarts.get("nonFiniteStep") is not None:
        yield from pair("not finite at step", restarts["nonFiniteStep"])
    when = f", {age(restarts['lastTime'], now)} ago" if restarts.get("lastTime") else ""
    yield from pair("last one", f"{restarts.get('lastReason', '?')}{when}")


def _avoided(nodes: list[dict[str, Any]]) -> Iterator[str]:
    yield from columns(("NODE", "AFTER"), [(node["name"], node["reason"]) for node in nodes])


def _usage(usage: dict[str, Any] | None) -> Iterator[str]:
    if usage is None:
        return
    yield from pair("GPU hours", f"{usage['gpuSeconds'] / 3600:.2f}")
    yield from pair("training ran", span(usage["activeSeconds"]))
    yield from pair("in steps kept", span(usage["usefulSeconds"]))
    goodput = usage.get("goodput")
    yield from pair("goodput", goodput if goodput is None else f"{goodput:.0%}")
    yield from pair("steps made again", usage["lostSteps"])


def _evaluation(job: Manifest) -> Iterator[str]:
    for score in scores(job):
        yield from pair(score.name, f"{score.value} ({score.split})" if score.split else score.value)
    if comparison := at(job, "status.evaluation.comparison"):
        yield from pair("champion", f"{comparison['verdict']}: {comparison['message']}")
