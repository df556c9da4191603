"""`tuneloop describe`: one object as a page that tells its story. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuneloop_cli.views.values import Manifest, age, at, interval, note, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime


def page(manifest: Manifest, *, now: datetime, at_work: bool) -> str:
    """Return the object as an indented page; `at_work`: whether a process works on its folder."""
    body = _job(manifest, now) if manifest["kind"] == "FineTuneJob" else _deployment(manifest, now)
    return "\n".join(line for line in (*_head(manifest, now, at_work=at_work), *body) if line)


def _head(manifest: Manifest, now: datetime, *, at_work: bool) -> Iterator[str]:
    metadata = manifest["metadata"]
    yield f"Name:        {metadata['name']}"
    yield f"Namespace:   {metadata.get('namespace', 'default')}"
    yield f"Kind:        {manifest['kind']}"
    yield f"Age:         {age(metadata.get('creationTimestamp'), now)}"
    overlay = metadata.get("annotations", {}).get("tuneloop.dev/overlay")
    yield _field("Overlay", overlay)
    phase = at(manifest, "status.phase")
    yield _field("Phase", phase and f"{phase} {note(manifest, at_work=at_work)}".rstrip())


def _job(manifest: Manifest, now: datetime) -> Iterator[str]:
    yield _field("Model", at(manifest, "spec.model.uri"))
    yield _field("Attempt", at(manifest, "status.attempt"))
    yield _field("Resume", at(manifest, "status.resume"))
    yield from _section("Progress", _pairs(at(manifest, "status.progress")))
    yield from _section("Data", _pairs(at(manifest, "status.data")))
    yield from _section("Resolved", _pairs(at(manifest, "status.resolved")))
    yield from _section("Checkpoints", _checkpoints(manifest, now))
    yield from _section("Evaluation", _evaluation(manifest))
    yield from _section("Artifact", _pairs(at(manifest, "status.artifact")))
    yield from _section("Restarts", _pairs(at(manifest, "status.restarts")))
    yield from _section("History", _history(at(manifest, "status.history") or []))
    yield from _section("Failure", _failure(at(manifest, "status.failure")))
    yield from _section("Conditions", _conditions(manifest, now))


def _deployment(manifest: Manifest, now: datetime) -> Iterator[str]:
    yield _field("Ready", at(manifest, "status.ready"))
    yield _field("URL", at(manifest, "status.url"))
    yield from _section("Stable", _pairs(at(manifest, "status.stable")))
    yield from _section("Conditions", _conditions(manifest, now))


def _field(name: str, value: Any) -> str:
    return f"{name + ':':<13}{text(value)}" if value is not None else ""


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    body = [f"  {line}" for line in lines]
    if body:
        yield f"{title}:"
        yield from body


def _pairs(values: dict[str, Any] | None) -> Iterator[str]:
    for name, value in (values or {}).items():
        if isinstance(value, dict):
            inner = ", ".join(f"{key} {text(each)}" for key, each in value.items())
            yield f"{name + ':':<20}{inner}"
        elif isinstance(value, list):
            yield f"{name + ':':<20}{', '.join(text(each) for each in value)}"
        else:
            yield f"{name + ':':<20}{text(value)}"


def _checkpoints(manifest: Manifest, now: datetime) -> Iterator[str]:
    for which in ("latest", "best"):
        saved = at(manifest, f"status.checkpoint.{which}")
        if saved:
            measured = f", {saved['metric']} {text(saved['value'])}" if saved.get("metric") else ""
            when = f" ({age(saved['time'], now)} ago)" if saved.get("time") else ""
            yield f"{which + ':':<20}step {saved['step']}{measured}{when}"


def _evaluation(manifest: Manifest) -> Iterator[str]:
    for baseline in at(manifest, "status.evaluation.baselines") or []:
        yield f"{baseline['name'] + ':':<20}accuracy {interval(baseline)}"
    for metric in at(manifest, "status.evaluation.metrics") or []:
        yield f"{metric['name'] + ':':<20}{interval(metric)} ({metric['split']})"


def _history(attempts: list[dict[str, Any]]) -> Iterator[str]:
    for each in attempts:
        steps = f"steps {text(each.get('startStep')) or '?'} to {text(each.get('endStep')) or '?'}"
        why = f", {each['class']}" if each.get("class") else ""
        yield f"attempt {each['attempt']}: {steps}, {each.get('reason', '')}{why}"


def _failure(failure: dict[str, Any] | None) -> Iterator[str]:
    told = dict(failure or {})
    lines = told.pop("lastLines", [])
    yield from _pairs(told)
    if lines:
        yield "lastLines:"
        yield from (f"  {line}" for line in lines)


def _conditions(manifest: Manifest, now: datetime) -> Iterator[str]:
    for each in at(manifest, "status.conditions") or []:
        since = age(each["lastTransitionTime"], now)
        yield f"{each['type']:<16}{each['status']:<9}{each['reason']:<22}{since:<7}{each.get('message', '')}".rstrip()
