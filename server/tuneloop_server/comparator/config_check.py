"""Checks the configuration beyond the types of its fields: what would leave the comparator without work, or without limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.contract.exit_codes import ExitCode
from tuneloop_server.answers import ANSWERS
from tuneloop_server.errors import CannotServe

if TYPE_CHECKING:
    from tuneloop_api.contract.comparator_config import ComparatorConfig

_RANGES: dict[str, tuple[float, float, float]] = {
    "requests_per_second": (0.01, 10_000, 50),
    "golden_requests_per_second": (0.01, 10_000, 50),
    "concurrency": (1, 64, 4),
    "queue_requests": (1, 10_000, 256),
    "queue_bytes": (64 * 1024, 256 * 1024 * 1024, 16 * 1024 * 1024),
    "body_bytes": (1, 16 * 1024 * 1024, 1024 * 1024),
    "answer_bytes": (1, 16 * 1024 * 1024, 2 * 1024 * 1024),
    "answer_seconds": (0.1, 600, 10),
    "generated_answer_seconds": (0.1, 600, 120),
}
"""Limit → least, most, example."""
MOST_WARM_UP_PAIRS = 10_000


def check_config(config: ComparatorConfig) -> None:
    """Raise CannotServe naming field, value, what is allowed and an example. Task and labels may be left to the servers."""
    if config.task and config.task not in ANSWERS:
        raise _wrong("task", config.task, f"allowed: {', '.join(ANSWERS)}; example: {next(iter(ANSWERS))}")
    if config.task and not config.labels and _has_classes_of_labels(config.task):
        raise _wrong("labels", [], 'at least one is needed; example: ["negative", "positive"]')
    if config.stable.name == config.canary.name:
        raise _wrong(
            "canary.name", config.canary.name, "stable has this name; expected another revision; example: 5f0a1b2c"
        )
    if config.port == config.control_port:
        raise _wrong("controlPort", config.control_port, "copies come in on this port; expected another; example: 8081")
    fields = type(config.limits).model_fields
    for name, (least, most, example) in _RANGES.items():
        _within(f"limits.{fields[name].alias}", getattr(config.limits, name), least, most, example)
    _within("warmUpPairs", config.warm_up_pairs, 0, MOST_WARM_UP_PAIRS, 20)
    _within("drainSeconds", config.drain_seconds, 0, 3600, 30)
    if config.golden is not None:
        _within("golden.times", config.golden.times, 0, 100, 1)
        _within("golden.maxBadFraction", config.golden.max_bad_fraction, 0, 1, 0.01)


def _has_classes_of_labels(task: str) -> bool:
    """Tell whether the classes of a task are its model's labels. A model that generates has none, nor has one that answers questions."""
    class_names = ANSWERS[task].class_names
    return class_names(["B-x"]) != class_names([])


def _within(field: str, value: float, least: float, most: float, example: float) -> None:
    if not least <= value <= most:
        raise _wrong(field, f"{value:g}", f"allowed: {least:,g} to {most:,g}; example: {example:g}")


def _wrong(field: str, value: object, expected: str) -> CannotServe:
    return CannotServe(f"{field}: {value} was given, {expected}", exit_code=ExitCode.CONFIG)
