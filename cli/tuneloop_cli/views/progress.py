"""The progress of a job as a live block (stages, bar, step, loss, metric, speed, time left) and as a plain line. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from tuneloop_api.wire.names import STAGES
from tuneloop_cli.views.values import Manifest, at, text

if TYPE_CHECKING:
    from rich.console import RenderableType

STAGE_OF_PHASE = {
    "Pending": "prepare",
    "Preparing": "prepare",
    "Queued": "train",
    "Running": "train",
    "Restarting": "train",
    "Suspended": "train",
    "Exporting": "export",
}
BAR = 32


def known_progress(job: Manifest) -> list[str]:
    """Return the known facts of the progress, as short phrases."""
    progress = at(job, "status.progress") or {}
    known = []
    if (trials := at(job, "status.search.trial")) is not None:
        known.append(f"trials {trials}")
    if progress.get("step") is not None:
        known.append(f"step {progress['step']}/{text(progress.get('totalSteps')) or '?'}")
    if progress.get("loss") is not None:
        known.append(f"loss {progress['loss']:.4f}")
    if progress.get("evaluation"):
        known.append(f"validation {progress['evaluation']['name']} {progress['evaluation']['value']:.4f}")
    if progress.get("tokensPerSecond"):
        known.append(f"{progress['tokensPerSecond']:,.0f} tokens/s")
    if progress.get("eta"):
        known.append(f"ETA {progress['eta']}")
    if at(job, "status.restarts.total"):
        known.append(f"restarts {at(job, 'status.restarts.total')}")
    return known


def plain_line(job: Manifest) -> str:
    """Return one line of the present state, without colours or cursor movement."""
    parts = [at(job, "status.phase") or "Pending", at(job, "status.progress.percent") or "", *known_progress(job)]
    return "  ".join(part for part in parts if part)


def live(job: Manifest, *, elapsed: str) -> RenderableType:
    """Return the present state as a block for a live display."""
    phase = at(job, "status.phase") or "Pending"
    grid = Table.grid(padding=(0, 2))
    grid.add_row(Text(job["metadata"]["name"], style="bold"), _stages(phase), Text(elapsed, style="dim"))
    grid.add_row(Text(phase, style=_style(phase)), _bar(job), Text("  ".join(known_progress(job))))
    return grid


def _stages(phase: str) -> Text:
    current = STAGE_OF_PHASE.get(phase)
    done = STAGES if phase == "Succeeded" else STAGES[: STAGES.index(current)] if current else ()
    line = Text()
    for stage in STAGES:
        mark, style = ("✓", "green") if stage in done else ("▸", "bold cyan") if stage == current else ("·", "dim")
        line.append(f"{mark} {stage}  ", style=style)
    return line


def _bar(job: Manifest) -> Text:
    percent = at(job, "status.progress.percent") or "0%"
    filled = round(BAR * min(100, int(percent.rstrip("%"))) / 100)
    return Text.assemble(("━" * filled, "cyan"), ("─" * (BAR - filled), "dim"), f" {percent:>4}")


def _style(phase: str) -> str:
    return {"Succeeded": "bold green", "Failed": "bold red", "Restarting": "yellow", "Suspended": "yellow"}.get(
        phase, "cyan"
    )
