"""A job in local mode that trains until something ends it, and what a test does to it."""

from __future__ import annotations

import shutil
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gang_faults import (
    members,
    stored_job,
)
from tiny_models import sentences
from workspace import Workspace, job_manifest, until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from gang_faults import Member


POISON = "witty"
"""A word whose embedding is not finite in the poisoned model; three rows contain the word."""

ENDLESS = {"maxSteps": 10**6, "globalBatchSize": 16, "microBatchSize": 4, "learningRate": 1e-3, "evaluateEvery": {"steps": 10**6}}  # fmt: skip


def workspace_with(model: Path, path: Path) -> Workspace:
    workspace = Workspace(path)
    shutil.copytree(model, workspace.claim / "model")
    workspace.write_rows("rows.csv", [row for row in sentences(300) if POISON not in row[0]])
    return workspace


def manifest(**spec: Any) -> dict[str, Any]:
    return job_manifest(
        **{"training": ENDLESS, "evaluation": {"baselines": False}, "checkpoint": {"everySteps": 20}} | spec
    )


def status(workspace: Workspace) -> dict[str, Any]:
    found: dict[str, Any] = stored_job(workspace).get("status") or {}
    return found


@contextmanager
def running_job(workspace: Workspace, **spec: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a job in the background, and kill it at the end."""
    workspace.write("job.yaml", manifest(**spec))
    process = workspace.start("run", "-f", "job.yaml", log="run.log")
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        until(lambda: not members(workspace.path), seconds=20, what="the end of the gang")


def poison_embedding(model: Path) -> None:
    """Make a model's loss NaN for every batch that contains the word."""
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    weights = load_file(model / "model.safetensors")
    (name,) = (name for name in weights if name.endswith("word_embeddings.weight"))
    weights[name][AutoTokenizer.from_pretrained(model).convert_tokens_to_ids(POISON)] = float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})


SLOW_PERIOD, SLOW_STOPPED = 0.03, 0.025
"""Seconds: the rank is stopped for five sixths of the time. It stays the slowest where other tests take half of the processor from all ranks."""


def slow_down(member: Member, over: threading.Event) -> None:
    """Stop a process again and again, as if its node had other work."""
    while not over.wait(SLOW_PERIOD - SLOW_STOPPED):
        member.send(signal.SIGSTOP)
        over.wait(SLOW_STOPPED)
        member.send(signal.SIGCONT)
