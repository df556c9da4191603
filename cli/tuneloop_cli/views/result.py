"""The closing lines of `tuneloop run`: the evaluation against the baselines, or the failure. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.views.evaluation import scores
from tuneloop_cli.views.values import Manifest, at

if TYPE_CHECKING:
    from collections.abc import Iterator


def result(job: Manifest) -> str:
    """Return the closing lines for a job that succeeded, failed or was suspended."""
    phase = at(job, "status.phase")
    lines = {"Succeeded": _succeeded, "Failed": _failed}.get(phase, _stopped)(job)
    return "\n".join(line for line in lines if line)


def _succeeded(job: Manifest) -> Iterator[str]:
    yield f"{job['metadata']['name']} succeeded."
    yield _best_trial(at(job, "status.search"))
    lines = list(scores(job))
    width = max((len(score.name) for score in lines), default=0)
    yield from (f"  {score.name:<{width}}  {score.value}" for score in lines)
    if comparison := at(job, "status.evaluation.comparison"):
        yield f"beside the champion: {comparison['verdict']}: {comparison['message']}"
    yield f"artifact: {at(job, 'status.artifact.uri')}"
    yield f"digest:   {at(job, 'status.artifact.digest')}"


def _best_trial(search: Manifest | None) -> str:
    """Return which trial of a search is published; empty without a search."""
    if not search or "best" not in search:
        return ""
    values = ", ".join(f"{path}: {value}" for path, value in search["parameters"].items())
    trials = search["trial"].partition("/")[2]
    return f"best trial: {search['best']} of {trials}: {values} ({search['metric']} {search['value']:.4f} on validation rows)"


def _failed(job: Manifest) -> Iterator[str]:
    failure = at(job, "status.failure") or {}
    where = f" in {failure['stage']}" if failure.get("stage") else ""
    yield f"{job['metadata']['name']} failed{where}: {failure.get('class', 'Unknown')}"
    yield from _sentences(job, failure)


def _sentences(job: Manifest, failure: Manifest) -> Iterator[str]:
    conditions = at(job, "status.conditions") or []
    refusals = (c["message"] for c in conditions if c["type"] == "Accepted" and c["status"] == "False")
    message = failure.get("message") or next(refusals, None)
    yield f"error: {message}" if message else ""
    yield f"hint:  {failure['hint']}" if failure.get("hint") else ""
    yield f"log:   tuneloop logs {job['metadata']['name']}"


def _stopped(job: Manifest) -> Iterator[str]:
    step = at(job, "status.checkpoint.latest.step")
    kept = f"; checkpoint of step {step} is kept" if step else ""
    yield f"{job['metadata']['name']} stopped{kept}. Run the same command again to go on."
