"""A folder in which a story runs the real command line: a claim with a model and data, manifests, and the results."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import stand_ins
import waiting
import yaml
from fork_server import inherited

if TYPE_CHECKING:
    from collections.abc import Callable

TUNELOOP = [sys.executable, "-m", "tuneloop_cli"]
CLAIM = "work"


@dataclass(frozen=True)
class Workspace:
    """`path` is the working folder; `.tuneloop` lies in it."""

    path: Path

    @property
    def claim(self) -> Path:
        """Folder of the claim."""
        return self.path / ".tuneloop" / "claims" / CLAIM

    def write_rows(
        self, name: str, rows: list[tuple[str, str]], *, header: tuple[str, str] = ("text", "label")
    ) -> None:
        """Write a CSV file into the claim."""
        self.claim.mkdir(parents=True, exist_ok=True)
        with (self.claim / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(rows)

    def write(self, name: str, manifest: dict[str, Any]) -> Path:
        """Write a manifest."""
        (self.path / name).write_text(yaml.safe_dump(manifest, sort_keys=False), encoding="utf-8")
        return self.path / name

    def start(self, *words: str, log: str | None = None, nice: int = 0, **environment: str) -> subprocess.Popen[str]:
        """Start the command line in a process group of its own. With `log`, the output goes to that file.

        nice: it and all that it starts run behind other processes.
        """
        out: Any = (self.path / log).open("w") if log else subprocess.PIPE
        return subprocess.Popen(
            [*(("nice", "-n", str(nice)) if nice else ()), *TUNELOOP, *words],
            cwd=self.path,
            stdout=out,
            stderr=subprocess.STDOUT if log else subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=inherited() | stand_ins.of_sessions() | environment,
            start_new_session=True,
        )

    def tuneloop(self, *words: str, timeout: float = 240, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end; it is a fork, but for `stand_ins.NONE`."""
        process = self.start(*words, **stand_ins.of_command_lines() | environment)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"tuneloop {' '.join(words)} did not end in {timeout} s:\n{out}\n{err}") from None
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def job(self, name: str = "reviews") -> dict[str, Any]:
        """Return the FineTuneJob as `get -o json` shows it."""
        shown = self.tuneloop("get", "ftj", name, "-o", "json")
        assert shown.returncode == 0, shown.stderr
        found: dict[str, Any] = json.loads(shown.stdout)
        return found

    def job_folder(self, name: str = "reviews") -> Path:
        """Return the job's folder on the claim."""
        (folder,) = (self.claim / "jobs").glob(f"{name}-*")
        return folder

    def losses(self, name: str = "reviews") -> dict[int, str]:
        """Return the training loss of each step, digit for digit."""
        lines = (self.job_folder(name) / "logs" / "train.jsonl").read_text().splitlines()
        rows = [json.loads(line, parse_float=str) for line in lines]
        return {int(row["step"]): row["loss"] for row in rows if "grad_norm" in row}

    def committed(self, name: str = "reviews") -> list[int]:
        """Return the steps of the committed checkpoints, oldest first."""
        folders = (self.claim / "jobs").glob(f"{name}-*/checkpoints/step-*/MANIFEST.json")
        return sorted(int(path.parent.name.split("-")[1]) for path in folders if not path.parent.name.endswith(".tmp"))


def job_manifest(**spec: Any) -> dict[str, Any]:
    """Return a FineTuneJob named reviews: tiny model, two CPU nodes, a checkpoint every 5 steps; `spec` replaces blocks."""
    blocks: dict[str, Any] = {
        "model": {"uri": f"pvc://{CLAIM}/model"},
        "task": "text-classification",
        "data": {"train": [{"uri": f"pvc://{CLAIM}/rows.csv"}]},
        "method": {"type": "full"},
        "training": {"epochs": 2, "globalBatchSize": 16, "microBatchSize": 4, "learningRate": 1e-3},
        "deepspeed": {"stage": 2},
        "resources": {"nodes": 2, "gpusPerNode": 0},
        "storage": {"claim": CLAIM},
        "checkpoint": {"everySteps": 5},
        "evaluation": {"bootstrapSamples": 200},
    }
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "reviews"},
        "spec": blocks | spec,
    }


def deployment_manifest(**spec: Any) -> dict[str, Any]:
    """Return a ModelDeployment named reviews that serves the job reviews."""
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "reviews"},
        "spec": {"model": {"fineTuneJobRef": {"name": "reviews"}}} | spec,
    }


def until(
    condition: Callable[[], Any], *, seconds: float, what: str, process: subprocess.Popen[str] | None = None
) -> Any:
    """Return the first true value of `condition()`, as `waiting.until` does; fail as soon as the process ends without it."""

    def condition_while_the_process_runs() -> Any:
        found = condition()
        ended = not found and process is not None and process.poll() is not None
        assert not ended, f"the process ended ({process and process.returncode}) before {what}"
        return found

    return waiting.until(condition_while_the_process_runs, seconds=seconds, what=what)


def processes_of(path: Path) -> list[str]:
    """Return the command lines of all processes that mention a folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = file.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if str(path) in command and file.parent.name != str(os.getpid()):
            found.append(f"{file.parent.name} {command}")
    return found
