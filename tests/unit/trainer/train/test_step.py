"""One step, of one rank among several: what it runs, how its loss is scaled, and what all ranks agree on."""

from __future__ import annotations

import pytest

from tuneloop_trainer.training.step import StepReport, make_step


def step_of(made, *, rank: int = 0, world_size: int = 1, before: StepReport | None = None, **flags: bool):
    """Make the first step as one rank whose peers add nothing; return the report and how often it beat."""
    made.engine.rank, made.engine.world_size = rank, world_size
    beats: list[None] = []
    asked = {"stop": False, "save": False, "save_ready": False} | flags
    report = make_step(made.run, 0, **asked, beat=lambda: beats.append(None), before=before)
    return report, len(beats)


@pytest.mark.parametrize(
    ("rank", "world_size", "loss", "gradient", "beats"),
    [
        pytest.param(0, 1, 0.5, 0.5, 2, id="alone: both micro-batches"),
        pytest.param(1, 2, 0.25, 0.5, 1, id="half of the loss, scaled by the ranks whose gradients are averaged"),
        pytest.param(2, 3, 0.0, 0.0, 1, id="a dummy weighs nothing"),
    ],
)
def test_a_rank_adds_its_share_of_the_loss(scripted, rank, world_size, loss, gradient, beats):
    report, found = step_of(scripted([0.5], warmup=2), rank=rank, world_size=world_size)
    assert (report.loss, report.grad_norm, found) == (pytest.approx(loss), pytest.approx(gradient), beats)
    assert report.learning_rate == pytest.approx(0.0005)
    assert report.input_seconds > 0
    assert (report.forward_seconds > 0) is (gradient > 0)


@pytest.mark.parametrize("world_size", [1, 2])
def test_one_rank_is_enough_to_stop_or_to_save_but_all_must_be_ready(scripted, world_size):
    def flags_of(**flags: bool) -> tuple[bool, bool, bool]:
        report, _ = step_of(scripted([0.5]), world_size=world_size, **flags)
        return report.stop, report.save, report.saves_ready

    assert flags_of() == (False, False, False)
    assert flags_of(stop=True) == (True, False, False)
    assert flags_of(save=True) == (False, True, False)
    assert flags_of(save_ready=True) == (False, False, world_size == 1)


def test_each_rank_tells_the_time_of_its_step_before(scripted):
    before = StepReport(loss=1, grad_norm=1, learning_rate=1, stop=False, save=False, forward_seconds=2.5)
    assert step_of(scripted([0.5]), rank=1, world_size=3, before=before)[0].ranks_before == (0.0, 2.5, 0.0)
    assert step_of(scripted([0.5]))[0].ranks_before == (0.0,)


@pytest.mark.parametrize(("step", "epoch"), [(0, 0), (9, 0), (10, 1), (25, 2)])
def test_a_task_that_draws_targets_anew_is_asked_with_seed_and_epoch(scripted, step, epoch):
    made = scripted([0.5] * 30)
    asked = []

    def collate(split, rows, pad_id, *, seed, epoch):
        asked.append((seed, epoch))
        return made.run.task.collate(split, rows, pad_id)

    made.run.task.collate_for_training = collate
    make_step(made.run, step, stop=False, save=False, save_ready=False, beat=lambda: None)
    assert asked == [(made.run.training.seed, epoch)] * 2
