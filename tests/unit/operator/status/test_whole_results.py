"""The whole status after each stage, field by field: what people and later stages read of its result."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from operator_harness import SUMMARIES
from stored_conditions import STAMP, condition

from tuneloop_api.contract.results import ExportSummary, PrepareSummary, TrainSummary
from tuneloop_api.v1alpha1.fine_tune_job.status import FineTuneJobStatus
from tuneloop_operator.status.fine_tune_job.handover import with_exported, with_prepared, with_trained

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
RESOLVED = SUMMARIES["prepare"]["resolved"]
MEMORY = {"weights": 1, "gradients": 2, "optimizer": 3, "activations": 4, "framework": 5, "total": 15}
PREPARED: dict[str, Any] = {
    "counts": {"rows": 10, "splits": {"train": 8, "test": 2}, "bad": 1, "duplicates": 2, "truncated": 3},
    "resolved": RESOLVED,
    "datasetDigest": "d1",
    "modelRevision": "r1",
    "reportPath": "/claims/report.json",
    "cacheHit": False,
    "memory": MEMORY,
}
LATEST = {"step": 9, "path": "/step-9", "time": STAMP, "metric": "loss", "value": 0.25}
BEST = {"step": 8, "path": "/step-8", "time": "2026-01-01T11:00:00Z", "metric": "loss", "value": 0.125}


@pytest.mark.parametrize(("cache_hit", "reason"), [(False, "DataReady"), (True, "CacheHit")])
def test_the_whole_status_after_prepare(cache_hit: bool, reason: str) -> None:
    before = {
        "image": "trainer:1",
        "resolved": {"storageClaim": "models"},
        "lineage": {"configHash": "c1"},
        "progress": {"percent": "3%", "epoch": 0.5, "eta": "1m", "etaSeconds": 60},
    }
    summary = PrepareSummary.from_wire(PREPARED | {"cacheHit": cache_hit})
    status = with_prepared(FineTuneJobStatus.from_wire(before), summary, image="trainer@sha256:cc", now=NOW)
    assert status.to_wire() == {
        "image": "trainer@sha256:cc",
        "resolved": {"storageClaim": "models"} | RESOLVED | {"memory": MEMORY},
        "data": {
            "rows": 10,
            "splits": {"train": 8, "test": 2},
            "bad": 1,
            "digest": "d1",
            "report": "/claims/report.json",
        },
        "lineage": {"configHash": "c1", "modelRevision": "r1", "dataDigest": "d1", "imageDigest": "sha256:cc"},
        "progress": {"percent": "5%", "epoch": 0.5},
        "conditions": [condition("Prepared", reason=reason, message="10 rows (train 8, test 2)")],
    }


def test_prepare_needs_no_earlier_status() -> None:
    summary = PrepareSummary.from_wire({name: value for name, value in PREPARED.items() if name != "memory"})
    status = with_prepared(FineTuneJobStatus(), summary, image="trainer:1", now=NOW).to_wire()
    assert status["resolved"] == RESOLVED
    assert status["lineage"] == {"modelRevision": "r1", "dataDigest": "d1"}
    assert "image" not in status


TRAINED: dict[str, Any] = {
    "startStep": 3,
    "steps": 9,
    "worldSize": 2,
    "loss": 0.25,
    "last": LATEST,
    "best": BEST,
    "precision": "bf16",
    "saveSecondsP95": 2.34567,
    "findings": [{"name": "OverFitting", "message": "the loss rises", "advice": "Train less"}],
}


def test_the_whole_status_after_train() -> None:
    before = {
        "attempt": 1,
        "resolved": {"precision": "fp32", "maxTokens": 64},
        "progress": {"percent": "50%", "step": 5, "loss": 0.5, "eta": "1m", "etaSeconds": 60},
        "restarts": {"total": 2, "failure": 2, "withoutProgress": 2, "sinceCheckpoint": 2},
        "resumeBefore": 7,
    }
    status = with_trained(FineTuneJobStatus.from_wire(before), TrainSummary.from_wire(TRAINED), now=NOW)
    message = "the loss rises. Train less"
    assert status.to_wire() == {
        "attempt": 1,
        "resolved": {"precision": "bf16", "maxTokens": 64},
        "progress": {"percent": "95%", "step": 9, "startStep": 3, "loss": 0.25},
        "restarts": {"total": 2, "failure": 2, "disruption": 0, "withoutProgress": 0, "sinceCheckpoint": 0},
        "resume": "exact",
        "conditions": [condition("TrainingHealthy", true=False, reason="OverFitting", message=message)],
        "checkpoint": {"latest": LATEST, "best": BEST, "saveSecondsP95": 2.346},
    }


def test_what_a_training_does_not_say_stays() -> None:
    before = FineTuneJobStatus.from_wire({"progress": {"step": 5, "startStep": 1, "loss": 0.5}, "resume": "rounding"})
    silent = {"startStep": 3, "steps": 9, "worldSize": 2}
    assert with_trained(before, TrainSummary.from_wire(silent), now=NOW).to_wire() == {
        "progress": {"percent": "95%", "step": 9, "startStep": 1, "loss": 0.5},
        "resume": "rounding",
    }


@pytest.mark.parametrize("is_compared", [True, False])
def test_the_whole_status_after_export(is_compared: bool) -> None:
    metric = {"name": "accuracy", "split": "test", "value": 0.9, "low": 0.8, "high": 0.95}
    paired = {"name": "accuracy gain", "split": "test", "value": 0.1, "low": 0.05, "high": 0.15}
    baseline = {"name": "majority", "value": 0.5, "low": 0.4, "high": 0.6}
    summary: dict[str, Any] = {
        "artifactUri": "pvc://models/artifact",
        "digest": "sha256:bb",
        "sizeBytes": 1000,
        "formats": ["safetensors"],
        "metrics": [metric],
        "baselines": [baseline],
    }
    summary |= {"paired": paired} if is_compared else {}
    before = FineTuneJobStatus.from_wire({"progress": {"percent": "97%", "step": 9, "eta": "1m", "etaSeconds": 60}})
    assert with_exported(before, ExportSummary.from_wire(summary)).to_wire() == {
        "artifact": {
            "uri": "pvc://models/artifact",
            "digest": "sha256:bb",
            "sizeBytes": 1000,
            "formats": ["safetensors"],
        },
        "evaluation": {"metrics": [metric, *([paired] if is_compared else [])], "baselines": [baseline]},
        "progress": {"percent": "100%", "step": 9},
    }
