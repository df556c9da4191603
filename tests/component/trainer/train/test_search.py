"""A search on real ranks: each trial is a run of its own, and a killed search goes on as if nothing had happened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from forked_gangs import run_gangs
from free_ports import free_port
from killed_searches import run_and_kill
from prepared_runs import training_run, write_run

from tuneloop_api.contract.results import PrepareResult, TrainResult
from tuneloop_api.contract.run_config import Rendezvous, RunConfig
from tuneloop_api.contract.search import SearchReport, Trial
from tuneloop_api.wire.model import changed
from tuneloop_trainer.training.search.trial_run import trial_config, trial_plan

SPACE = [
    {"path": "training.learningRate", "type": "log-float", "low": 1e-4, "high": 3e-2},
    {"path": "method.type", "type": "categorical", "values": ["full", "lora"]},
    {"path": "method.rank", "type": "int", "low": 2, "high": 8},
]
SEARCH = {"space": SPACE, "trials": 3, "pruner": "none"}


def config_of(folder: Path, *, model: Path, data: Path, ranks: int = 2, **settings) -> RunConfig:
    folder.mkdir(exist_ok=True)
    return training_run(
        folder,
        model=model,
        dataset=data,
        port=free_port(),
        training={"maxSteps": 6, "globalBatchSize": 16, "microBatchSize": 8, "evaluateEvery": {"steps": 3}}
        | settings.pop("training", {}),
        gang={"nodes": 1, "gpusPerNode": 0, "processesPerNode": ranks},
        checkpoint={"everySteps": 2},
        **settings,
    )


def run(config: RunConfig, *, attempt: int = 1) -> TrainResult:
    run_gangs([run_json(config, attempt=attempt)])
    return TrainResult.model_validate_json(Path(config.paths.job_dir, "train.json").read_bytes())


def run_json(config: RunConfig, *, attempt: int) -> Path:
    place = Rendezvous(address="127.0.0.1", port=free_port())
    return write_run(
        changed(config, attempt=attempt, rendezvous=place), Path(config.paths.job_dir).parent / f"run-{attempt}.json"
    )


def with_ranks(config: RunConfig, ranks: int) -> RunConfig:
    gang = changed(config.settings.gang, processes_per_node=ranks)
    return changed(config, settings=changed(config.settings, gang=gang))


def losses(job: Path) -> list[float]:
    lines = map(json.loads, (job / "logs" / "train.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["kind"] == "step"]


def record(result: TrainResult) -> SearchReport:
    assert result.search is not None
    return result.search


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, tiny_model, dataset):
    config = config_of(tmp_path_factory.mktemp("unbroken"), model=tiny_model, data=dataset, search=SEARCH)
    return config, run(config)


def test_the_best_trial_is_published_and_only_its_checkpoints_are_left(unbroken):
    config, result = unbroken
    job, found = Path(config.paths.job_dir), record(result)
    values = {trial.number: trial.value for trial in found.record}
    assert [trial.state for trial in found.record] == ["Complete"] * 3
    assert found.best == min(values, key=lambda number: values[number])
    assert found.value == values[found.best]
    assert result.steps == 18
    assert [path.parent.name for path in job.glob("trials/*/checkpoints")] == [f"{found.best:04d}"]
    assert (job / "weights").is_dir()
    assert set(result.predictions) == {"validation", "test", "before-test"}
    assert not list(job.glob("trials/*/predictions"))


def test_a_trial_alone_makes_the_steps_that_it_made_in_the_series(unbroken, tmp_path, tiny_model, dataset):
    config, result = unbroken
    last = record(result).record[-1]
    blocks: dict[str, dict] = {"training": {}, "method": {}}
    for path, value in last.parameters.items():
        block, name = path.split(".")
        blocks[block][name] = value
    alone = config_of(tmp_path / "alone", model=tiny_model, data=dataset, **blocks)
    run(alone)
    assert losses(Path(alone.paths.job_dir)) == losses(Path(config.paths.job_dir, "trials", "0003"))


def test_a_killed_search_goes_on_on_another_number_of_ranks_and_back(unbroken, tmp_path, tiny_model, dataset):
    whole, result = unbroken
    config = config_of(tmp_path / "killed", model=tiny_model, data=dataset, search=SEARCH)
    in_the_middle = {"trial": 2, "state": "Running", "evaluations": 1, "written": True}
    run_and_kill(run_json(config, attempt=1), **in_the_middle)
    before_the_end = {"trial": 2, "state": "Complete", "evaluations": 2, "written": False}
    run_and_kill(run_json(with_ranks(config, 1), attempt=2), **before_the_end)
    again = run(config, attempt=3)
    expected, found = record(result).record, record(again).record
    assert [trial.parameters for trial in found] == [trial.parameters for trial in expected]
    assert [trial.steps for trial in found] == [6, 6, 6]
    assert found[0].evaluations == expected[0].evaluations
    assert [trial.resume for trial in found] == ["exact", "rounding", "exact"]
    assert again.resume == "rounding"
    for trial in expected:
        folder = f"trials/{trial.number:04d}"
        assert losses(Path(config.paths.job_dir, folder)) == pytest.approx(
            losses(Path(whole.paths.job_dir, folder)), abs=1e-5
        )
    assert losses(Path(config.paths.job_dir, "trials/0003")) == losses(Path(whole.paths.job_dir, "trials/0003"))


def test_a_killed_search_on_the_same_ranks_ends_with_the_same_record(unbroken, tmp_path, tiny_model, dataset):
    _, result = unbroken
    config = config_of(tmp_path / "same", model=tiny_model, data=dataset, search=SEARCH)
    run_and_kill(run_json(config, attempt=1), trial=2, state="Running", evaluations=1, written=True)
    spent = json.loads(Path(config.paths.job_dir, "search.json").read_bytes())["trials"][-1].get("seconds", 0)
    again = run(config, attempt=2)
    assert record(again).record[1].seconds > spent > 0
    timeless = [changed(trial, seconds=0.0) for trial in record(again).record]
    assert timeless == [changed(trial, seconds=0.0) for trial in record(result).record]
    assert (again.resume, again.start_step) == ("exact", 8)


def test_a_trial_that_diverges_or_is_refused_does_not_end_the_search(tmp_path, tiny_model, dataset):
    space = [
        {"path": "training.learningRate", "type": "categorical", "numbers": [1e-3, 1e30]},
        {"path": "training.warmupSteps", "type": "categorical", "numbers": [1, 9]},
    ]
    config = config_of(
        tmp_path / "bad",
        model=tiny_model,
        data=dataset,
        ranks=1,
        method={"type": "full"},
        training={"warmupRatio": None},
        search={"space": space, "sampler": "grid", "pruner": "none"},
    )
    found = record(run(config)).record
    assert [trial.state for trial in found] == ["Complete", "Refused", "Diverged", "Refused"]
    assert "training.warmupSteps: 9 is more than the whole run" in (found[1].reason or "")


@pytest.mark.parametrize("packed", [True, False])
def test_trials_have_the_layout_of_rows_that_prepare_has_tried(tmp_path, tiny_model, dataset, packed):
    config = config_of(
        tmp_path / "job",
        model=tiny_model,
        data=dataset,
        search=SEARCH,
        resolved={"packed": packed, "attention": "sdpa"},
    )
    prepared = PrepareResult.model_validate_json(Path(config.prepare_result.path).read_bytes())
    trial = Trial(number=1, parameters={"training.learningRate": 1e-3, "method.type": "full"})
    resolved = trial_plan(trial_config(config, trial, steps_before=0), prepared).resolved
    assert (resolved.packed, resolved.attention) == (packed, "sdpa")
