"""Another micro-batch than the planned one: the same global batch, and the result says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from forked_gangs import run_gangs
from prepared_runs import training_run, write_run

from tuneloop_api.contract.results import PrepareResult
from tuneloop_api.wire.model import changed
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.stage_result import read_result
from tuneloop_trainer.training.setup import with_micro_batch


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_model, dataset):
    training = {"maxSteps": 4, "globalBatchSize": 16, "microBatchSize": 8}
    folder = tmp_path_factory.mktemp("run")
    return training_run(folder, model=tiny_model, dataset=dataset, training=training, checkpoint={"everySteps": 2})


def test_a_run_that_goes_on_with_another_micro_batch_repeats_to_rounding_only(config, tmp_path):
    found = []
    for attempt, rows in ((1, None), (2, 4)):
        again = changed(config, attempt=attempt, micro_batch_size=rows)
        run_gangs([write_run(again, tmp_path / f"run-{attempt}.json")])
        result = json.loads(Path(config.paths.job_dir, "train.json").read_text())
        found.append((result["microBatchSize"], result["resume"]))
    assert found == [(8, "exact"), (4, "rounding")]


def test_the_global_batch_stays(config):
    prepared = read_result(config.prepare_result, PrepareResult, field="prepareResult")
    assert with_micro_batch(prepared, 2).resolved == changed(prepared.resolved, micro_batch_size=2)


def test_what_does_not_divide_the_global_batch_is_refused(config):
    prepared = read_result(config.prepare_result, PrepareResult, field="prepareResult")
    with pytest.raises(ConfigError, match="microBatchSize: 3 does not divide the global batch of 16 rows"):
        with_micro_batch(prepared, 3)
