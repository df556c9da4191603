"""What `tuneloop run` says at the end: what was achieved against simpler means, or what went wrong. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_cli.views.values import Manifest, at, interval

if TYPE_CHECKING:
    from collections.abc import Iterator


def result(job: Manifest) -> str:
    """Return the closing lines for a job that succeeded, failed or was suspended."""
    phase = at(job, "status.phase")
    lines = {"Succeeded": _succeeded, "Failed": _failed}.get(phase, _stopped)(job)
    return "\n".join(line for line in lines if line)


def _succeeded(job: Manifest) -> Iterator[str]:
    evaluation = at(job, "status.evaluation") or {}
    yield f"{job['metadata']['name']} succeeded."
    rungs, metrics = evaluation.get("baselines", []), evaluation.get("metrics", [])
    width = max((len(each["name"]) for each in (*rungs, *metrics)), default=0)
    yield from (f"  {each['name']:<{width}}  accuracy {interval(each)}" for each in rungs)
    yield from (f"  {each['name']:<{width}}  {interval(each)}" for each in metrics)
    yield f"artifact: {at(job, 'status.artifact.uri')}"
    yield f"digest:   {at(job, 'status.artifact.digest')}"


def _failed(job: Manifest) -> Iterator[str]:
    failure = at(job, "status.failure") or {}
    where = f" in {failure['stage']}" if failure.get("stage") else ""
    yield f"{job['metadata']['name']} failed{where}: {failure.get('class', 'Unknown')}"
    yield from _sentences(job, failure)


def _sentences(job: Manifest, failure: Manifest) -> Iterator[str]:
    refused = next(
        (c for c in at(job, "status.conditions") or [] if c["type"] == "Accepted" and c["status"] == "False"), None
    )
    message = failure.get("message") or (refused and refused["message"])
    yield f"error: {message}" if message else ""
    yield f"hint:  {failure['hint']}" if failure.get("hint") else ""
    yield f"log:   tuneloop logs {job['metadata']['name']}"


def _stopped(job: Manifest) -> Iterator[str]:
    saved = at(job, "status.checkpoint.latest.step")
    kept = f"; checkpoint of step {saved} is kept" if saved else ""
    yield f"{job['metadata']['name']} stopped{kept}. Run the same command again to go on."
