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

BEHIND_OTHERS = 5
"""The nice value of a job that trains until it is struck: it takes what other tests leave of the processors."""
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
    """Run a job in the background, behind all other processes, and kill it at the end."""
    workspace.write("job.yaml", manifest(**spec))
    process = workspace.start("run", "-f", "job.yaml", log="run.log", nice=BEHIND_OTHERS)
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


SLOWER = 6
"""Times: what `slow_down` makes of a process."""
_LOOK_SECONDS = 0.005


def slow_down(member: Member, over: threading.Event) -> None:
    """Stop a process for five times as long as it ran or waited for a processor, again and again, as if its node had other work.

    So it has a sixth of its speed however much other tests take from all ranks: a fixed part of the clock would be more than what they leave to it.
    """
    while not over.is_set():
        before = _wanted_seconds(member.pid)
        over.wait(_LOOK_SECONDS)
        wanted = _wanted_seconds(member.pid) - before
        if wanted > 0:
            member.send(signal.SIGSTOP)
            over.wait(wanted * (SLOWER - 1))
            member.send(signal.SIGCONT)


def _wanted_seconds(pid: int) -> float:
    """Return how long a process has run on a processor, or was ready to; 0 once it has ended."""
    try:
        on_processor, ready, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    except OSError:
        return 0.0
    return (int(on_processor) + int(ready)) / 1e9
