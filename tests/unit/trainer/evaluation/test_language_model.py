"""A language model is measured by sums over the targets of each row: the numbers are those of all targets together."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_trainer.evaluation.intervals import Bootstrap
from tuneloop_trainer.evaluation.language_model import (
    comparable_losses,
    evaluate_language,
    language_gain,
    language_metrics,
    language_score,
    paired_language,
)
from tuneloop_trainer.evaluation.masked_language import evaluate_masked
from tuneloop_trainer.evaluation.paired_scores import compare_scores
from tuneloop_trainer.evaluation.predictions import Predictions
from tuneloop_trainer.tasks.fill_mask import FILL_MASK
from tuneloop_trainer.tasks.text_generation import TEXT_GENERATION

BOOTSTRAP = Bootstrap(resamples=500)


def predictions(losses, right, tokens, sizes) -> Predictions:
    return Predictions(
        values=np.stack([losses, right], axis=1).astype(np.float32),
        labels=np.stack([tokens, sizes], axis=1).astype(np.int64),
        rows=np.arange(len(losses)),
        offsets=np.arange(len(losses) + 1),
    )


THREE = predictions([4.0, 2.0, 6.0], [1, 2, 0], [2, 2, 4], [8, 4, 12])


def drawn(seed: int, rows: int = 200, *, per_token: float = 2.0) -> Predictions:
    generator = np.random.default_rng(seed)
    tokens = generator.integers(1, 50, rows)
    return predictions(tokens * per_token * generator.uniform(0.5, 1.5, rows), tokens // 2, tokens, tokens * 4)


def test_metrics_are_means_over_all_targets_and_not_over_rows():
    assert language_metrics(THREE, []) == {
        "loss": pytest.approx(12 / 8),
        "perplexity": pytest.approx(math.exp(12 / 8)),
        "bits_per_byte": pytest.approx(12 / 24 / math.log(2)),
        "accuracy": pytest.approx(3 / 8),
    }


def test_intervals_are_over_texts_and_not_over_the_blocks_in_which_they_are_read():
    """Blocks of a text are alike: as many rows, they would make an interval narrower than it is."""
    texts = drawn(3, rows=40)
    in_blocks = Predictions(
        values=np.repeat(texts.values, 4, axis=0),
        labels=np.repeat(texts.labels, 4, axis=0),
        rows=texts.rows,
        offsets=np.arange(41) * 4,
    )
    found = language_score(in_blocks, in_blocks.values, [], BOOTSTRAP)
    expected = language_score(texts, texts.values, [], BOOTSTRAP)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert paired_language(in_blocks, in_blocks.values, [])[0].challenger.shape == (40, 4)


@given(st.integers(0, 50), st.integers(1, 60))
def test_metrics_do_not_depend_on_how_targets_are_divided_into_rows(seed, rows):
    made = drawn(seed, rows)
    together = predictions(
        *(column.sum(keepdims=True) for column in (*made.values.T.astype(np.float64), *made.labels.T))
    )
    assert language_metrics(made, []) == {
        name: pytest.approx(value, rel=1e-5) for name, value in language_metrics(together, []).items()
    }


def test_the_perplexity_of_a_model_that_has_diverged_is_a_number():
    assert math.isfinite(language_metrics(predictions([1e6], [0], [10], [40]), [])["perplexity"])


def test_every_metric_has_an_interval_over_rows_that_holds_it():
    found = evaluate_language(validation=THREE, test=drawn(1), labels=[], bootstrap=BOOTSTRAP).metrics
    assert [metric.name for metric in found] == ["bits_per_byte", "loss", "perplexity", "accuracy"]
    assert all(metric.low < metric.value < metric.high for metric in found if metric.name != "accuracy")


@pytest.mark.parametrize(
    ("evaluate", "task"), [(evaluate_language, TEXT_GENERATION), (evaluate_masked, FILL_MASK)], ids=["next", "masked"]
)
def test_the_metric_that_baselines_are_measured_in_comes_first(evaluate, task):
    """The command line names baselines by it."""
    found = evaluate(validation=THREE, test=drawn(1), labels=[], bootstrap=BOOTSTRAP).metrics
    assert found[0].name == task.primary_metric


def test_texts_that_differ_more_give_a_wider_interval():
    alike = predictions(*(np.full(50, value) for value in (20.0, 5, 10, 40)))
    interval = language_score(alike, alike.values, [], BOOTSTRAP)
    assert interval.low == interval.high
    wide = language_score(drawn(2), drawn(2).values, [], BOOTSTRAP)
    assert wide.low < wide.high


def test_a_gain_is_how_many_bits_less_the_model_takes():
    made = drawn(3)
    worse = made.values * np.array([2.0, 1.0], dtype=np.float32)
    gain = language_gain(made, worse, [], BOOTSTRAP)
    assert gain.value == pytest.approx(language_score(made, made.values, [], BOOTSTRAP).value, rel=1e-5)
    assert gain.low > 0


def test_a_gain_over_the_same_model_is_nothing():
    made = drawn(4)
    assert language_gain(made, made.values, [], BOOTSTRAP) == language_gain(made, made.values.copy(), [], BOOTSTRAP)
    assert language_gain(made, made.values, [], BOOTSTRAP).value == 0


@pytest.mark.parametrize(("factor", "sign"), [(1.2, 1), (0.8, -1)])
def test_of_two_models_the_one_with_fewer_bits_gains(factor, sign):
    made = drawn(5)
    champion = made.values * np.array([factor, 1.0], dtype=np.float32)
    (whole,) = paired_language(made, champion, [])
    found = compare_scores(whole, groups=None, bootstrap=BOOTSTRAP, level=0.05)
    assert sign * found.gain.value > 0
    assert found.challenger == pytest.approx(language_metrics(made, [])["bits_per_byte"])
    assert (found.challenger_only if sign > 0 else found.champion_only) == len(made.rows)


def test_the_limits_of_a_gain_lie_on_both_sides_of_it():
    made, other = drawn(6), drawn(7)
    (whole,) = paired_language(
        made, np.stack([other.values[:, 0] / other.labels[:, 0] * made.labels[:, 0], made.values[:, 1]], axis=1), []
    )
    found = compare_scores(whole, groups=None, bootstrap=BOOTSTRAP, level=0.05).gain
    assert found.low < found.value < found.high


def test_rows_of_one_group_are_drawn_together():
    made = drawn(8)
    (whole,) = paired_language(made, made.values * np.array([1.5, 1.0], dtype=np.float32), [])
    groups = np.arange(len(made.rows)) // 10
    alone, together = (compare_scores(whole, groups=given, bootstrap=BOOTSTRAP, level=0.05) for given in (None, groups))
    assert together.gain.value == pytest.approx(alone.gain.value)
    assert together.challenger_only == len(made.rows) // 10


def test_losses_are_compared_as_means_of_a_target_beside_one():
    assert comparable_losses(THREE.values, THREE.labels).tolist() == [[3.0], [2.0], [2.5]]
