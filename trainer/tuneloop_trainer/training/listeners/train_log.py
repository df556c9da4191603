"""The training log: one JSON line for every step, every evaluation and every new finding, without gaps or repeats over all restarts."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from tuneloop_trainer.training.listeners.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuneloop_trainer.training.listeners.listener import EndEvent, EvaluationEvent, StepEvent

    Line = dict[str, float | str | None]

LOG = logging.getLogger(__name__)


class TrainLog:
    """Appends lines to `train.jsonl`. Numbers are written with `repr`, so that a reader gets the same bits back."""

    def __init__(self, path: Path, *, step: int, evaluated_step: int) -> None:
        """Open the log for a run that resumes after `step` steps, and cut the lines of later steps that a broken attempt wrote.

        Evaluations and findings up to step `evaluated_step` stay; later ones are cut, and made again.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        kept = _kept_lines(path, step=step, evaluated_step=evaluated_step)
        draft = path.with_suffix(".tmp")
        draft.write_bytes(b"".join(kept))
        draft.replace(path)
        self._file = path.open("ab", buffering=0)
        self._unwritten = b""
        """Bytes that the disk has refused so far. They may begin within a line: the file always holds the first bytes of the log."""
        self._refused = False

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of the log, oldest first."""
        with self._path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)

    def write(self, **line: float | str | None) -> None:
        """Append one line. A full or faulty disk is logged once; the bytes that it refused are kept, and written before the next line."""
        self._unwritten += json.dumps(line).encode() + b"\n"
        try:
            self._catch_up()
        except OSError as error:
            if not self._refused:
                LOG.warning("%s: %s; training goes on, and the lines are kept for later", self._path, error.strerror)
            self._refused = True
        else:
            self._refused = False

    def close(self) -> None:
        """Try once more to write the bytes that the disk has refused, and close the file."""
        try:
            with self._file:
                self._catch_up()
        except OSError as error:
            LOG.warning("%s: %s; its last lines may be missing", self._path, error.strerror)

    def _catch_up(self) -> None:
        while self._unwritten:
            self._unwritten = self._unwritten[self._file.write(self._unwritten) :]


def log_listener(log: TrainLog, *, primary_metric: str) -> Listener:
    """Return what the loop calls on rank 0 to write the log of a run. primary_metric: that of the task."""

    def evaluated(event: EvaluationEvent) -> None:
        log.write(**evaluation_line(event))
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
        LOG.info("step %d: %s %s", event.step, event.split, metrics)

    def ended(event: EndEvent) -> None:
        for split, metrics in event.metrics.items():
            shown = (
                primary_metric if primary_metric in metrics else "loss"
            )  # texts are written for the test split alone
            LOG.info("step %d: %s %s %.4f", event.step, split, shown, metrics[shown])
        log.close()

    return Listener(
        name="train log",
        essential=True,
        on_step=lambda event: log.write(**step_line(event)),
        on_evaluation=evaluated,
        on_end=ended,
    )


def step_line(event: StepEvent) -> Line:
    """Return the line of a step."""
    report = event.report
    return {
        "kind": "step",
        "step": event.step,
        "epoch": event.epoch,
        "loss": report.loss,
        "grad_norm": report.grad_norm,
        "learning_rate": report.learning_rate,
        "tokens": event.tokens.real,
        "padding": event.tokens.padding_fraction,
        "seconds": event.seconds,
        "input_seconds": report.input_seconds,
    }


def evaluation_line(event: EvaluationEvent) -> Line:
    """Return the line of an evaluation."""
    return {"kind": "evaluation", "step": event.step, "epoch": event.epoch, "split": event.split, **event.metrics}


def _kept_lines(path: Path, *, step: int, evaluated_step: int) -> list[bytes]:
    if not path.exists():
        return []
    limits = {"step": step, "evaluation": evaluated_step, "finding": evaluated_step}
    return [line for line in path.read_bytes().splitlines(keepends=True) if _stays(line, limits)]


def _stays(line: bytes, limits: dict[str, int]) -> bool:
    """Tell whether a line stays. A line that a killed process left half written does not."""
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n") and entry["step"] <= limits[entry["kind"]]
