"""A running job is not disturbed by another release of the operator: it keeps its hash, and run.json fits the trainer of its image."""

from __future__ import annotations

from typing import Any

import pytest
from manifest_cases import smallest

from tuneloop_api.contract import defaults
from tuneloop_api.contract.defaults import as_set, config_hash
from tuneloop_api.contract.run_config import RunConfig, Stage
from tuneloop_api.v1alpha1 import FineTuneJob
from tuneloop_operator.desired.common.storage import storage_of
from tuneloop_operator.desired.fine_tune_job.run_config import run_config
from tuneloop_operator.settings.operator import OperatorSettings

FIRST_RELEASE_HASH = "5b3e5ce2fb5a8cd0"
METADATA = {"name": "reviews", "namespace": "team-a", "uid": "11111111-2222-3333-4444-555555555555"}
EACH_STAGE = pytest.mark.parametrize("stage", ["prepare", "train", "export"])


def begun_with(config_hash: str | None, **status: Any) -> FineTuneJob:
    begun = status | ({"lineage": {"configHash": config_hash}} if config_hash else {})
    return FineTuneJob.from_wire(smallest(FineTuneJob) | {"metadata": METADATA, "status": begun})


def run_json(job: FineTuneJob, *, stage: Stage = "train") -> dict[str, Any]:
    storage = storage_of(job.spec, default_claim="models")
    assert storage is not None
    return run_config(job, stage=stage, attempt=1, storage=storage, settings=OperatorSettings()).to_wire()


@EACH_STAGE
def test_a_job_keeps_the_hash_with_which_it_began(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    began = config_hash(as_set(begun_with(None).spec))
    monkeypatch.setitem(defaults.IDENTITY_VERSIONS, "training", 7)
    assert config_hash(as_set(begun_with(None).spec)) != began
    assert run_json(begun_with(began), stage=stage)["configHash"] == began


def test_a_job_that_begins_gets_the_hash_of_this_release() -> None:
    job = begun_with(None)
    assert run_json(job, stage="prepare")["configHash"] == config_hash(as_set(job.spec))


@EACH_STAGE
def test_the_settings_are_what_was_set(stage: Stage) -> None:
    written = run_json(begun_with(config_hash(as_set(begun_with(None).spec))), stage=stage)
    assert written["version"] == 2
    assert written["settings"].keys() == {"model", "task", "data", "gang", "checkpoint"}


@EACH_STAGE
def test_a_job_of_release_0_1_0_gets_epochs_and_warm_up_which_that_trainer_does_not_fill_in(stage: Stage) -> None:
    written = run_json(begun_with(FIRST_RELEASE_HASH), stage=stage)
    assert (written["version"], written["configHash"]) == (1, FIRST_RELEASE_HASH)
    assert written["settings"]["training"] == {"epochs": 3.0, "warmupRatio": 0.06}


def test_a_smaller_attempt_gets_its_nodes_and_nothing_else_that_was_not_set() -> None:
    written = run_json(begun_with("v2:0", nodes=1, attempt=2))
    assert written["settings"]["gang"]["nodes"] == 1
    assert "training" not in RunConfig.from_wire(written).settings.model_fields_set


def test_the_claims_of_the_champion_and_of_the_recent_rows_are_mounted() -> None:
    beside = {"uri": "pvc://served/artifact", "recent": [{"uri": "pvc://feedback/week.csv"}]}
    spec = begun_with(None).to_wire()["spec"] | {"evaluation": {"compareWith": beside}}
    job = FineTuneJob.from_wire(begun_with(None).to_wire() | {"spec": spec})
    written = run_json(job, stage="export")
    assert {"served", "feedback"} <= written["paths"]["claims"].keys()
    assert written["settings"]["evaluation"] == {"compareWith": beside}
