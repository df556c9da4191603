"""What the loop decides: when it saves, when it leaves, when it ends, and what it reports."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tuneloop_api.contract.results import SavedStep
from tuneloop_trainer.errors import NonFiniteLossError, Preempted, StorageError
from tuneloop_trainer.training.listeners.listener import EndEvent, Listener
from tuneloop_trainer.training.listeners.listeners import TRACKERS
from tuneloop_trainer.training.listeners.train_log import TrainLog
from tuneloop_trainer.training.resume import TrainProgress
from tuneloop_trainer.training.selection import Best, Selection

USUAL, HIGH = [0.4] * 60, 4.0


def log_of(scripted) -> list[dict]:
    return [json.loads(line) for line in (scripted.run.job / "logs" / "train.jsonl").read_text().splitlines()]


def test_a_run_trains_saves_evaluates_and_returns_its_result(scripted):
    made = scripted([0.5, 0.25, 0.75], evaluations=[0.9], warmup=2)
    result = made.loop().run()
    padding = 1 - sum(made.run.batch_schedule.tokens(step).real for step in range(3)) / sum(
        made.run.batch_schedule.tokens(step).computed for step in range(3)
    )
    found = result.to_wire()
    assert found.pop("tokensPerSecond") == pytest.approx(
        sum(made.run.batch_schedule.tokens(step).real for step in range(3)) / found.pop("stepSeconds")
    )
    assert found.pop("saveSecondsP95") > 0
    assert found.pop("paddingFraction") == pytest.approx(padding)
    best = {"step": 3, "path": "step-3", "time": "now", "metric": "loss", "value": 0.9}
    job = made.run.job
    assert found == {
        "version": 1,
        "attempt": 1,
        "worldSize": 1,
        "startStep": 0,
        "steps": 3,
        "stoppedEarly": False,
        "last": {"step": 3, "path": "step-3", "time": "now"},
        "best": best,
        "weightsPath": str(job / "weights"),
        "predictions": {name: str(job / "predictions" / f"{name}.safetensors") for name in ("validation", "test")},
        "logPath": str(job / "logs" / "train.jsonl"),
        "resume": "exact",
        "precision": "fp32",
        "microBatchSize": 2,
        "peakMemoryBytes": 1234,
        "findings": [],
    }
    assert made.engine.rates == pytest.approx([0.0005, 0.001, 0.001])
    assert made.checkpoints.calls == ["begin 3", "commit 3", "close"]
    lines = log_of(made)
    assert [(line["kind"], line["step"], line["epoch"], line["loss"]) for line in lines] == [
        ("step", 1, 0.1, 0.5),
        ("step", 2, 0.2, 0.25),
        ("step", 3, 0.3, 0.75),
        ("evaluation", 3, 0.3, 0.9),
    ]
    assert [line["grad_norm"] for line in lines[:3]] == pytest.approx([0.5, 0.25, 0.75])
    assert made.task.measured == [6, 6, 7], "the validation split is not run through the model a second time"
    assert made.posts.posted[0]["detail"] == "training"
    assert made.posts.posted[-1]["detail"] == "evaluating"


def test_the_result_is_that_of_rank_0(scripted):
    made = scripted([0.5])
    made.engine.rank, made.engine.world_size = 1, 2
    assert made.loop().run() is None
    assert not (made.run.job / "weights").exists()
    assert made.posts.posted == []


def test_a_save_that_fell_due_in_a_spike_is_made_after_it(scripted):
    losses = [*USUAL, 0.4, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, 0.4, 0.4, 0.4]
    made = scripted(losses)
    made.loop().run()
    assert [step for step in made.checkpoints.saved if step > 55] == [60, 68, 70]


def test_the_best_weights_are_saved_at_once(scripted):
    made = scripted(
        [0.4] * 9,
        evaluations=[0.9, 0.8, 0.8, 0.7],
        training={"evaluateEvery": {"steps": 2}},
        checkpoint={"everySteps": 100},
    )
    result = made.loop().run()
    assert made.checkpoints.saved == [2, 4, 8, 9]
    assert (result.best.step, result.best.value) == (9, 0.5)
    assert made.checkpoints.kept[-1] == {"last": 2, "best": 1, "best_steps": (9, 8, 4, 2)}


@pytest.mark.parametrize(
    ("spike", "saved"), [pytest.param(0, 62, id="saves"), pytest.param(1, 60, id="not in a spike")]
)
def test_who_is_asked_to_stop_saves_and_leaves(scripted, spike, saved):
    made = scripted([*USUAL, 0.4, HIGH if spike else 0.4, 0.4, 0.4])
    made.stop_after(61)
    with pytest.raises(Preempted) as left:
        made.loop().run()
    assert left.value.message == f"asked to stop after step 62 of 64; the newest checkpoint is of step {saved}"
    summary = left.value.train
    assert (summary.start_step, summary.steps, summary.last.step) == (0, 62, saved)
    assert (summary.world_size, summary.resume, summary.precision, summary.findings) == (1, "exact", "fp32", None)
    assert summary.step_seconds > 0
    assert summary.save_seconds_p95 > 0


def test_a_save_that_was_begun_is_committed_before_leaving_in_a_spike(scripted):
    made = scripted([*USUAL, HIGH, 0.4, 0.4])
    made.checkpoints.slow = True
    made.stop_after(60)
    with pytest.raises(Preempted, match="the newest checkpoint is of step 60"):
        made.loop().run()


def test_who_is_asked_to_stop_before_the_first_step_leaves(scripted):
    made = scripted([0.4])
    made.stop.asked = True
    with pytest.raises(Preempted, match="asked to stop after step 0 of 1; the newest checkpoint is of step 0"):
        made.loop().run()
    assert made.engine.rates == []


@pytest.mark.parametrize(("high", "ends"), [pytest.param(10, False, id="ten"), pytest.param(9, True, id="nine")])
def test_a_run_may_not_end_in_a_spike_of_ten_steps(scripted, high, ends):
    made = scripted([*USUAL, *[HIGH] * high])
    if ends:
        assert made.loop().run().steps == 69
        return
    with pytest.raises(NonFiniteLossError, match="the loss rose at step 61") as raised:
        made.loop().run()
    assert raised.value.train.last.step == 60
    assert 70 not in made.checkpoints.saved


def write_log(made, losses: list[float]) -> None:
    log = TrainLog(made.run.job / "logs" / "train.jsonl", step=0, evaluated_step=-1)
    for step, loss in enumerate(losses, 1):
        log.write(kind="step", step=step, loss=loss, grad_norm=1.0, seconds=0.1)
    log.close()


def resumed(step: int, *, selection: Selection | None = None) -> TrainProgress:
    return TrainProgress(step=step, selection=selection or Selection(), last=SavedStep(step=step, path="before"))


def test_a_run_that_resumes_knows_the_losses_of_the_attempt_before(scripted):
    made = scripted([*USUAL, HIGH, HIGH, 0.4, 0.4], checkpoint={"everySteps": 2})
    write_log(made, USUAL)
    made.loop(resumed(60)).run()
    assert made.checkpoints.saved == [63, 64], "step 62 is in a spike"
    assert [line["step"] for line in log_of(made) if line["kind"] == "step"] == list(range(1, 65))


def test_a_run_that_resumes_says_where_it_started(scripted):
    made = scripted([0.4] * 4)
    made.checkpoints.exactness = "rounding"
    result = made.loop(resumed(2)).run()
    assert (result.start_step, result.steps, result.resume) == (2, 4, "rounding")
    assert made.posts.posted[0] == {
        "detail": "training",
        "start_step": 2,
        "step": 2,
        "total_steps": 4,
        "fraction": 0.5,
        "latest": SavedStep(step=2, path="before"),
        "best": None,
    }


def test_an_evaluation_that_the_checkpoint_holds_is_not_made_again(scripted):
    made = scripted([0.4] * 5, evaluations=[0.9], training={"evaluateEvery": {"steps": 2}})
    made.loop(resumed(4, selection=Selection(evaluated_step=4))).run()
    assert [line["step"] for line in log_of(made) if line["kind"] == "evaluation"] == [5]
    again = scripted([0.4] * 5, evaluations=[0.9], training={"evaluateEvery": {"steps": 2}})
    again.loop(resumed(4)).run()
    assert [line["step"] for line in log_of(again) if line["kind"] == "evaluation"] == [4, 5]


def test_the_untrained_model_is_measured_once_and_only_before_the_first_step(scripted):
    made = scripted([0.4, 0.4], evaluation={"baselines": True})
    result = made.loop().run()
    assert set(result.predictions) == {"validation", "test", "before-test"}
    assert made.task.measured[0] == 7
    (made.run.job / "predictions" / "before-test.safetensors").unlink()
    again = scripted([0.4, 0.4], evaluation={"baselines": True})
    assert set(again.loop(resumed(1)).run().predictions) == {"validation", "test"}


def test_only_predictions_that_may_be_published_are_kept(scripted):
    made = scripted([0.4] * 5, evaluations=[0.5, 0.3, 0.6, 0.7, 0.8], training={"evaluateEvery": {"steps": 1}})
    loop = made.loop()
    loop.run()
    assert set(loop._measured) == {2, 5}


def test_early_stopping_ends_a_run_before_its_last_step(scripted):
    training = {"evaluateEvery": {"steps": 1}, "earlyStopping": {"patience": 2}}
    made = scripted([0.4] * 20, evaluations=[0.5, 0.6, 0.7], training=training)
    result = made.loop().run()
    assert (result.steps, result.stopped_early, result.best.step) == (3, True, 1)
    assert made.checkpoints.calls[-1] == "load 1"


@pytest.mark.parametrize(("checkpoint", "published"), [("best", 1), ("last", 3)])
def test_the_chosen_weights_are_published(scripted, checkpoint, published):
    made = scripted(
        [0.4] * 3,
        evaluations=[0.5, 0.6, 0.7],
        training={"evaluateEvery": {"steps": 1}},
        output={"checkpoint": checkpoint},
    )
    made.loop().run()
    assert ("load 1" in made.checkpoints.calls) is (checkpoint == "best")
    assert json.loads((made.run.job / "weights" / "method.json").read_text())["step"] == published


def test_a_best_checkpoint_that_is_gone_is_an_error_with_a_way_out(scripted):
    made = scripted([0.4] * 2, evaluations=[0.5, 0.6], training={"evaluateEvery": {"steps": 1}})

    def gone(_step: int) -> None:
        raise StorageError("there is no whole checkpoint of step 1")

    made.checkpoints.load_step = gone
    with pytest.raises(StorageError, match="step 1") as raised:
        made.loop().run()
    assert raised.value.hint == "Set output.checkpoint: last to publish the newest weights."


def test_a_validation_loss_that_is_not_finite_ends_the_run(scripted):
    made = scripted([0.4] * 4, evaluations=[math.nan], training={"evaluateEvery": {"steps": 2}})
    with pytest.raises(NonFiniteLossError, match="the validation loss of step 2 is nan") as raised:
        made.loop().run()
    assert raised.value.step == 2
    assert made.checkpoints.saved == []


def test_a_training_loss_or_gradient_that_is_not_finite_ends_the_run_at_its_step(scripted):
    made = scripted([0.4, math.inf])
    with pytest.raises(NonFiniteLossError, match="the loss of step 2 is inf"):
        made.loop().run()
    assert len(made.engine.rates) == 1, "no update was made with it"
    made = scripted([0.4, 0.4])
    made.engine.step = lambda **_: math.inf
    with pytest.raises(NonFiniteLossError, match="the gradient norm of step 1 is inf"):
        made.loop().run()


def test_what_is_evaluated_in_a_resumed_run_is_published_from_the_disk(scripted):
    made = scripted([0.4] * 2)
    selection = Selection(best=Best(step=1, metric="loss", value=0.1), best_steps=(1,), evaluated_step=1)
    made.loop(resumed(1, selection=selection)).run()
    assert made.checkpoints.calls[-1] == "load 1"
    assert Path(made.run.job / "predictions" / "validation.safetensors").exists()


@pytest.mark.parametrize("error", [MemoryError("no memory"), StorageError("no space")])
def test_a_tracker_hears_the_end_of_a_run_whatever_ended_it(scripted, monkeypatch, error):
    ends: list[EndEvent] = []
    monkeypatch.setitem(TRACKERS, "tracker", lambda _run: Listener(name="tracker", on_end=ends.append))
    made = scripted([0.5, 0.5, 0.5])

    def fail_at_step_2(step: int) -> None:
        if step == 2:
            raise error

    made.engine.after_step = fail_at_step_2
    with pytest.raises(type(error)):
        made.loop().run()
    assert ends == [EndEvent(step=1, metrics={}, error=error)]
