"""Runs `tuneloop run` with two CPU ranks, injects faults into ranks, and measures the recovery, for the resilience benchmark.

Everything is observed from outside: the job's object, the ranks in /proc, the training log and the checkpoints on the claim.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from training_runs import DEMO, REVIEWS, ROOT

from tuneloop_cli.local.cluster.object_files import ObjectFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

sys.path.append(str(ROOT / "tests" / "support"))  # the tiny model, where the real one is not there

POLL_SECONDS = 0.01
LONGEST_WAIT_SECONDS = 150.0
CLAIM = "work"
NAME = "resilience"


@dataclass(frozen=True)
class Fault:
    """The recovery from a fault at one rank; times are seconds after the fault."""

    ended: float
    """The operator has observed the end of the attempt and decided on the next one."""
    started: float
    """All ranks of the next attempt run."""
    set_up: float
    """The ranks have imported their modules, found each other and loaded the model."""
    loaded: float
    """The checkpoint is checked and loaded."""
    first_step: float
    """The first new step is made."""
    caught_up: float
    """The step before the fault is reached again."""
    lost_steps: int
    failure: str
    """Failure class in the job's status."""

    def phases(self) -> dict[str, float]:
        """Return how long each phase took."""
        ends = [self.ended, self.started, self.set_up, self.loaded, self.first_step]
        names = ["detect", "restart", "set up", "load", "first step"]
        return {name: end - begin for name, begin, end in zip(names, [0.0, *ends], ends, strict=False)}


class GangRun:
    """One `tuneloop run` in a scratch folder, as a context manager that ends the run and its ranks."""

    def __init__(self, folder: Path, *, steps: int, **spec: Any) -> None:
        """`spec` replaces blocks of `_manifest`."""
        self.folder = folder
        self._claim = folder / ".tuneloop" / "claims" / CLAIM
        self._objects = ObjectFiles(folder / ".tuneloop")
        manifest = _manifest(inputs(folder), steps=steps)
        (folder / "job.json").write_text(json.dumps(manifest | {"spec": manifest["spec"] | spec}))
        self.output = folder / "run.log"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tuneloop_cli", "run", "-f", "job.json", "--ranks", "2"],
            cwd=self.folder,
            stdout=self.output.open("w"),
            stderr=subprocess.STDOUT,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self.until(lambda: not self.ranks(), "the end of the ranks")

    @property
    def status(self) -> dict[str, Any]:
        """The job's status; empty if there is none yet."""
        job = self._objects.read("FineTuneJob", "default", NAME)
        return (job or {}).get("status") or {}

    def ranks(self) -> dict[int, int]:
        """Return the process of each living rank."""
        return {rank: pid for pid, rank in _rank_processes(str(self.folder))}

    def steps(self) -> list[dict[str, Any]]:
        """Return the step records of the training log."""
        return [line for line in map(json.loads, _whole_lines(self._log())) if line["kind"] == "step"]

    def step(self) -> int:
        """Return the newest step in the training log."""
        steps = self.steps()
        return steps[-1]["step"] if steps else 0

    def saved(self) -> int:
        """Return the step of the newest committed checkpoint."""
        folders = self._claim.glob("jobs/*/checkpoints/step-*/MANIFEST.json")
        return max((int(path.parent.name.split("-")[1]) for path in folders if "." not in path.parent.name), default=0)

    def until_time(self, moment: float) -> None:
        """Wait until this time (`time.monotonic`)."""
        self.until(lambda: time.monotonic() >= moment, "run", deadline=math.inf)

    def until(self, condition: Callable[[], Any], what: str, *, deadline: float | None = None) -> float:
        """Return the time (`time.monotonic`) at which `condition()` was first true."""
        deadline = deadline or time.monotonic() + LONGEST_WAIT_SECONDS
        while not condition():
            if self._process.poll() not in (None, -signal.SIGKILL) or time.monotonic() > deadline:
                sys.exit(f"no {what}; the run's output: {self.output}\n{self.output.read_text()[-2000:]}")
            time.sleep(POLL_SECONDS)
        return time.monotonic()

    def until_saved_again(self) -> None:
        """Wait for a checkpoint of this attempt, and for two steps after it."""
        before = max(self.saved(), self.step())
        self.until(lambda: self.saved() > before, "newer checkpoint")
        saved = self.saved()
        self.until(lambda: self.step() >= saved + 2, "steps after the checkpoint")

    def fault(self, number: signal.Signals, *, rank: int) -> Fault:
        """Send a signal to a rank, and measure the recovery of the training."""
        attempt, old, log, step = self.status["attempt"], set(self.ranks().values()), self._log_file(), self.step()
        began = time.monotonic()
        os.kill(self.ranks()[rank], number)

        def since_began(condition: Callable[[], Any], what: str) -> float:
            return self.until(condition, what) - began

        ended = since_began(lambda: self.status["attempt"] > attempt, "next attempt")
        started = since_began(lambda: len(set(self.ranks().values()) - old) == len(old), "new ranks")
        set_up = since_began(lambda: self._fence() > attempt, "gang that is set up")
        loaded = since_began(lambda: self._log_file() != log, "gang that has loaded")
        kept = self.step()  # the new attempt has cut the log off after the checkpoint
        first = since_began(lambda: self.step() > kept, "new step")
        caught_up = since_began(lambda: self.step() > step, "step that is new")
        return Fault(
            ended=ended,
            started=started,
            set_up=set_up,
            loaded=loaded,
            first_step=first,
            caught_up=caught_up,
            lost_steps=step - kept,
            failure=self.status["history"][-1].get("class", "-"),
        )

    def _log(self) -> bytes:
        path = self._log_path()
        return path.read_bytes() if path else b""

    def _log_file(self) -> int:
        """Return a number that changes when an attempt opens a new log."""
        path = self._log_path()
        return path.stat().st_ino if path else 0

    def _log_path(self) -> Path | None:
        return next(self._claim.glob("jobs/*/logs/train.jsonl"), None)

    def _fence(self) -> int:
        """Return the attempt that may write checkpoints."""
        (path,) = self._claim.glob("jobs/*/checkpoints/ATTEMPT")
        return int(json.loads(path.read_bytes())["attempt"])


def model_name() -> str:
    """Return the name of the model that the runs train."""
    return "MiniLM" if DEMO.is_dir() else "a tiny BERT (the demo's model is not there: make setup)"


def inputs(folder: Path) -> dict[str, Any]:
    """Return the blocks `model` and `data` of a job; a tiny model and its rows are made in the folder."""
    if DEMO.is_dir():
        sentences = REVIEWS | {"uri": f"file://{DEMO}/movie-reviews.csv"}
        return {"model": {"uri": f"file://{DEMO}/minilm"}, "data": {"train": [sentences]}}
    from tiny_models import sentences as made_sentences
    from tiny_models import tiny_bert

    tiny_bert(folder / "model")
    rows = "\n".join(f"{text},{label}" for text, label in made_sentences(2000))
    (folder / "rows.csv").write_text(f"text,label\n{rows}\n")
    return {"model": {"uri": f"file://{folder}/model"}, "data": {"train": [{"uri": f"file://{folder}/rows.csv"}]}}


def _manifest(given: dict[str, Any], *, steps: int) -> dict[str, Any]:
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": NAME},
        "spec": given
        | {
            "task": "text-classification",
            "method": {"type": "full"},
            "training": {
                "maxSteps": steps,
                "globalBatchSize": 32,
                "microBatchSize": 16,
                "learningRate": 2e-5,
                "evaluateEvery": {"steps": 10**6},
            },
            "resources": {"nodes": 2, "gpusPerNode": 0},
            "storage": {"claim": CLAIM},
            "evaluation": {"baselines": False},
        },
    }


def _rank_processes(folder: str) -> Iterator[tuple[int, int]]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().split(b"\0")
            if b"train" not in command or not any(word.startswith(folder.encode()) for word in command):
                continue
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:  # gone
            continue
        rank = next((word for word in variables if word.startswith(b"RANK=")), None)
        if rank is not None:
            yield int(process.name), int(rank.removeprefix(b"RANK="))


def _whole_lines(content: bytes) -> list[bytes]:
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]
