"""Packed rows give the curves of rows alone, on one to three ranks that gather gradients over several micro-batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from forked_gangs import run_gangs
from free_ports import free_port
from prepared_runs import write_run
from run_configs import run_config
from tiny_language_models import tiny_decoder, write_rows
from tiny_masked import save_masked
from whole_job import Job

from tuneloop_api.contract.run_config import Rendezvous
from tuneloop_api.wire.model import changed

STEPS = 3
ROWS = [{"text": f"{number} " + "snow. " * (10 if number % 10 == 0 else 1)} for number in range(40)]
"""Few, and some of them long: else batches of like rows leave nothing to pack."""
CELLS = {
    "text-generation": [("never", 1, 0), ("always", 2, 2), ("always", 3, 0)],
    "fill-mask": [("never", 1, 0), ("always", 1, 0)],
}
"""By task: packing, ranks, ZeRO stage; the first is what the others are compared with."""


def model_of(folder: Path, task: str) -> Path:
    return (
        tiny_decoder(folder, family="llama")
        if task == "text-generation"
        else save_masked(folder, "roberta", max_tokens=64)
    )


def prepared_run(folder: Path, task: str, model: Path, *, packing: str, ranks: int, zero_stage: int) -> Path:
    """Prepare a job; returns the run.json of its training."""
    folder.mkdir()
    config = run_config(
        folder,
        task=task,
        sources=[write_rows(folder / "rows.jsonl", ROWS)],
        model=model,
        data={"format": "text", "packing": packing, "maxTokens": 64},
        method={"type": "full"},
        training={
            "maxSteps": STEPS,
            "globalBatchSize": 12,
            "microBatchSize": 6,
            "learningRate": 1e-3,
            "dropout": 0.0,
            "evaluateEvery": {"steps": 100},
        },
        gang={"nodes": 1, "gpusPerNode": 0, "processesPerNode": ranks},
        deepspeed={"stage": zero_stage},
        checkpoint={"everySteps": 100},
    )
    job = Job(config)
    assert job.prepare().resolved.packed is (True if packing == "always" else None)
    rendezvous = Rendezvous(address="127.0.0.1", port=free_port())
    run = changed(job.config, stage="train", attempt=1, rendezvous=rendezvous, prepare_result=job.prepared)
    return write_run(run, folder / "run.json")


def steps_of(run_json: Path) -> list[dict[str, Any]]:
    lines = (run_json.parent / "job" / "logs" / "train.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == "step"]


def padding_of(run_json: Path) -> float:
    return float(json.loads((run_json.parent / "job" / "train.json").read_text())["paddingFraction"])


@pytest.mark.parametrize("task", CELLS)
def test_packing_changes_no_loss_on_any_number_of_ranks(tmp_path, task):
    model = model_of(tmp_path / "model", task)
    plain, *packed = [
        prepared_run(tmp_path / f"{packing}{ranks}", task, model, packing=packing, ranks=ranks, zero_stage=zero_stage)
        for packing, ranks, zero_stage in CELLS[task]
    ]
    run_gangs([plain, *packed], timeout=280.0)
    expected = steps_of(plain)
    assert len(expected) == STEPS
    for run_json in packed:
        found = steps_of(run_json)
        assert [line["loss"] for line in found] == pytest.approx([line["loss"] for line in expected], abs=1e-5)
        assert [line["grad_norm"] for line in found] == pytest.approx(
            [line["grad_norm"] for line in expected], rel=1e-4
        )
        assert padding_of(run_json) < padding_of(plain)
    assert len(set(map(padding_of, packed))) == 1
