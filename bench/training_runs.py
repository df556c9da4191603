"""Shared by the training benchmarks: prepared data, a run of ours, a run of the Hugging Face Trainer, and their step times.

Both train the same prepared shards, so that tokenization and truncation are the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tuneloop_api.contract.defaults import config_hash
from tuneloop_api.contract.run_config import JobIdentity, Paths, Rendezvous, ResultReference, RunConfig
from tuneloop_api.contract.settings import Settings
from tuneloop_api.wire.model import changed
from tuneloop_trainer.supervisor.supervisor import KEEP_MEMORY

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".tuneloop" / "claims" / "demo"
REVIEWS = {
    "uri": "pvc://demo/movie-reviews.csv",
    "columns": {"text": "sentence", "label": "rating"},
    "labelRule": {"above": 0, "names": ["negative", "positive"], "dropWithin": 0.5},
}
"""The source of the demo."""
PEER = Path(__file__).with_name("hf_trainer_peer.py")
SKIPPED_STEPS = 5
"""The first steps fill caches and are not timed."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """The results of one run."""

    tokens_per_second: float
    """Without padding, over the timed steps."""
    computed_per_second: float
    """With padding."""
    losses: list[float]
    accuracy: float | None
    """On the test split; None if it was not measured."""


def run_config(folder: Path, *, stage: str, source: dict[str, Any], **blocks: Any) -> RunConfig:
    """Return the configuration of a stage; data sets lie in `folder`, the job's files in `folder/job`."""
    wire = {
        "model": {"uri": "pvc://demo/minilm"},
        "task": "text-classification",
        "data": {"train": [source]} | blocks.pop("data", {}),
        "method": {"type": "full"},
        "evaluation": {"baselines": False},
    } | blocks
    settings = Settings.from_wire(wire)
    return RunConfig.from_wire(
        {
            "stage": stage,
            "job": JobIdentity(namespace="bench", name="bench", uid="0" * 8).to_wire(),
            "attempt": int(stage == "train"),
            "settings": settings.to_wire(),
            "configHash": config_hash(settings),
            "paths": Paths(
                claims={"demo": str(DEMO)},
                datasets=str(folder / "datasets"),
                models=str(folder / "models"),
                job_dir=str(folder / "job"),
                job_uri="pvc://bench/job",
                termination_message=str(folder / "termination.json"),
            ).to_wire(),
        }
    )


def prepare(folder: Path, *, source: dict[str, Any], **blocks: Any) -> dict[str, Any]:
    """Prepare data; returns prepare.json."""
    shutil.rmtree(folder / "job", ignore_errors=True)
    (folder / "job").mkdir(parents=True)
    (folder / "datasets").mkdir(exist_ok=True)
    _start("prepare", folder, run_config(folder, stage="prepare", source=source, **blocks))
    return json.loads((folder / "job" / "prepare.json").read_text())


def ours(folder: Path, *, source: dict[str, Any], ranks: int, threads: int = 1, **blocks: Any) -> Measured:
    """Prepare (from the cache) and train with `ranks` ranks of `threads` threads each."""
    gang = {"nodes": 1, "gpusPerNode": 0, "processesPerNode": ranks}
    prepare(folder, source=source, gang=gang, **blocks)  # which also plans for this gang: ZeRO stage and precision
    steps = ours_trained(folder, source=source, threads=threads, gang=gang, **blocks)
    result = json.loads((folder / "job" / "train.json").read_text())
    timed = steps[SKIPPED_STEPS:]
    seconds = sum(step["seconds"] for step in timed)
    return Measured(
        tokens_per_second=sum(step["tokens"] for step in timed) / seconds,
        computed_per_second=sum(step["tokens"] / (1 - step["padding"]) for step in timed) / seconds,
        losses=[step["loss"] for step in steps],
        accuracy=accuracy(Path(result["predictions"]["test"])),
    )


def ours_trained(folder: Path, *, source: dict[str, Any], threads: int, **blocks: Any) -> list[dict[str, Any]]:
    """Train what was prepared with the same blocks; returns the lines of the steps in the log."""
    config = run_config(folder, stage="train", source=source, **blocks)
    path = folder / "job" / "prepare.json"
    config = changed(
        config,
        prepare_result=ResultReference(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest()),
        rendezvous=Rendezvous(address="127.0.0.1", port=free_port()),
    )
    _start("supervise", folder, config, OMP_NUM_THREADS=str(threads))
    result = json.loads((folder / "job" / "train.json").read_text())
    lines = [json.loads(line) for line in Path(result["logPath"]).read_text().splitlines()]
    return [line for line in lines if line["kind"] == "step"]


def hugging_face(
    folder: Path, prepared: dict[str, Any], *, ranks: int, options: dict[str, Any], keep_memory: bool = False
) -> Measured:
    """Train the same shards with the Hugging Face Trainer: one process with all cores, or DDP over gloo.

    `keep_memory`: with the allocator settings that our supervisor gives its ranks.
    """
    out = folder / "peer.json"
    out.unlink(missing_ok=True)
    given = json.dumps(options | {"dataset": prepared["datasetPath"], "model": prepared["modelPath"], "out": str(out)})
    cores = len(os.sched_getaffinity(0))
    environment = os.environ | {
        "OMP_NUM_THREADS": str(max(1, cores // ranks)),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "HF_HUB_OFFLINE": "1",
    }
    if keep_memory:
        environment["GLIBC_TUNABLES"] = KEEP_MEMORY
    if ranks == 1:
        for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            environment.pop(name)
    processes = [
        subprocess.Popen(
            [sys.executable, str(PEER), given],
            env=environment | ({"RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else {}),
            stdout=subprocess.DEVNULL,
            stderr=(folder / f"peer-{rank}.log").open("w"),
        )
        for rank in range(ranks)
    ]
    codes = [process.wait() for process in processes]
    if any(codes):
        sys.exit(f"the peer failed; see {folder}/peer-*.log")
    return Measured(**json.loads(out.read_text()))


def accuracy(predictions: Path) -> float:
    """Return the accuracy of a predictions file."""
    from safetensors.numpy import load_file

    found = load_file(predictions)
    return float((found["logits"].argmax(axis=1) == found["labels"]).mean())


def interval(differences: list[float]) -> tuple[float, float, float]:
    """Return mean and 95 % t interval of paired differences."""
    from scipy import stats

    values = np.array(differences)
    mean, half = values.mean(), stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(mean), float(mean - half), float(mean + half)


def free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(command: str, folder: Path, config: RunConfig, **environment: str) -> None:
    path, log = folder / f"{command}.json", folder / f"{command}.log"
    path.write_text(json.dumps(config.to_wire()))
    with log.open("w") as file:
        ended = subprocess.run(
            [sys.executable, "-m", "tuneloop_trainer", command, str(path)],
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
            env=os.environ | environment,
        )
    if ended.returncode:
        sys.exit(f"{command} ended with exit code {ended.returncode}; its log: {log}\n{log.read_text()[-2000:]}")
