"""The gain of one model over another on the same rows, where rows count more than one answer or belong together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from tuneloop_api.statistics.challenger import Rules, Verdict, gain_of_pairs, non_inferiority
from tuneloop_trainer.evaluation.classification import paired_macro_f1, paired_rows
from tuneloop_trainer.evaluation.intervals import Bootstrap
from tuneloop_trainer.evaluation.paired_scores import compare_scores
from tuneloop_trainer.evaluation.predictions import Predictions
from tuneloop_trainer.evaluation.spans import f1, paired_spans, span_f1

CLASSES = ["negative", "positive"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC"]
BOOTSTRAP = Bootstrap(resamples=4000)


def predictions(labels, predicted, *, lengths=None, classes=2) -> Predictions:
    values = np.eye(classes, dtype=np.float32)[np.array(predicted)]
    lengths = [1] * len(labels) if lengths is None else lengths
    return Predictions(
        values=values,
        labels=np.array(labels),
        rows=np.arange(len(lengths)),
        offsets=np.cumsum([0, *lengths]),
    )


def answers(seed: int, rows: int = 300, *, wrong: float = 0.2):
    """Truth, and the answers of two models that are wrong on different rows."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 2, rows)
    return truth, *(np.where(generator.random(rows) < share, 1 - truth, truth) for share in (wrong / 2, wrong))


def test_rows_of_one_answer_each_have_the_exact_limits():
    truth, challenger, champion = answers(1)
    whole, *_ = paired_rows(predictions(truth, challenger), champion, CLASSES)
    found = compare_scores(whole, groups=None, bootstrap=BOOTSTRAP, level=0.05)
    better, worse = (
        ((challenger == truth) & (champion != truth)).sum(),
        ((champion == truth) & (challenger != truth)).sum(),
    )
    assert found.method == "paired-exact"
    assert (found.challenger_only, found.champion_only) == (better, worse)
    assert found.gain == gain_of_pairs(better, worse, len(truth))


def test_slices_are_the_classes_that_occur():
    truth = [1, 1, 1]
    slices = paired_rows(predictions(truth, [1, 0, 1]), np.array([1, 1, 1]), CLASSES)[1:]
    assert [(part.name, part.rows.tolist()) for part in slices] == [("positive", [0, 1, 2])]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_to_swap_the_models_mirrors_the_gain(seed):
    truth, challenger, champion = answers(seed, 60)
    groups = np.arange(60) // 3
    one, other = (
        compare_scores(
            paired_rows(predictions(truth, first), second, CLASSES)[0],
            groups=groups,
            bootstrap=Bootstrap(resamples=200),
            level=0.05,
        )
        for first, second in ((challenger, champion), (champion, challenger))
    )
    assert one.gain.value == pytest.approx(-other.gain.value)
    assert (one.challenger_only, one.champion_only) == (other.champion_only, other.challenger_only)
    assert one.gain.discordant == other.gain.discordant


def test_groups_are_drawn_whole_so_that_copies_of_a_row_add_no_evidence():
    truth, challenger, champion = answers(2, 100)
    copies = 10
    single = compare_scores(
        paired_rows(predictions(truth, challenger), champion, CLASSES)[0],
        groups=np.repeat(np.arange(50), 2),
        bootstrap=BOOTSTRAP,
        level=0.05,
    )
    repeated = compare_scores(
        paired_rows(
            predictions(np.tile(truth, copies), np.tile(challenger, copies)), np.tile(champion, copies), CLASSES
        )[0],
        groups=np.tile(np.repeat(np.arange(50), 2), copies),
        bootstrap=BOOTSTRAP,
        level=0.05,
    )
    assert repeated.method == "clustered-bca"
    assert (repeated.gain.low, repeated.gain.high) == pytest.approx((single.gain.low, single.gain.high))


@pytest.mark.parametrize("rows", [20, 60])
def test_the_bootstrap_is_that_of_scipy(rows):
    """Few and skewed rows: there the correction for bias and the acceleration move the limits by a third of their distance."""
    generator = np.random.default_rng(4)
    sums = np.stack([generator.geometric(0.1, rows) ** 2, np.ones(rows, dtype=np.int64)], axis=1)
    low, high = Bootstrap(resamples=20_000).bca_of_sums(sums, lambda of: of[..., 0] / of[..., 1], level=0.05)
    expected = stats.bootstrap(
        (sums[:, 0],), np.mean, n_resamples=20_000, confidence_level=0.9, method="BCa", rng=np.random.default_rng(5)
    ).confidence_interval
    width = expected.high - expected.low
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.02 * width)


def test_rows_that_all_agree_give_no_limits():
    assert BOOTSTRAP.bca_of_sums(np.ones((20, 2)), lambda sums: sums[..., 0] / sums[..., 1], level=0.05) == (None, None)


@pytest.mark.parametrize("rows", [6, 12, 24, 25])
def test_rounding_makes_no_limits_of_rows_that_all_agree(rows):
    sums = np.tile([3, 3, 3, 1, 3, 3], (rows, 1))
    limits = BOOTSTRAP.bca_of_sums(sums, lambda of: f1(of[..., :3]) - f1(of[..., 3:]), level=0.05)
    assert limits == (None, None)


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        pytest.param(4, Verdict.INCONCLUSIVE, id="four say nothing"),
        pytest.param(5, Verdict.WORSE, id="five do"),
        pytest.param(50, Verdict.WORSE, id="fifty do"),
    ],
)
def test_a_type_that_the_challenger_never_finds_and_the_champion_always_does_blocks(rows, verdict):
    truth, challenger = [3] * rows, [0] * rows
    _, places = paired_spans(predictions(truth, challenger, lengths=[1] * rows, classes=4), np.array(truth), TAGS)
    found = compare_scores(places, groups=None, bootstrap=BOOTSTRAP, level=0.05)
    assert (found.challenger, found.champion) == (0.0, 1.0)
    assert non_inferiority(found.gain, Rules(margin=0.03, min_improvement=0.0)) is verdict


@pytest.mark.parametrize("groups", [5, 30, 200])
def test_limits_of_groups_that_all_agree_are_no_closer_than_those_of_as_many_rows(groups):
    truth = np.zeros(groups, dtype=np.int64)
    rows = paired_rows(predictions(truth, truth), truth + 1, CLASSES)[0]
    twice = paired_rows(predictions(np.repeat(truth, 2), np.repeat(truth, 2)), np.repeat(truth, 2) + 1, CLASSES)[0]
    swapped = paired_rows(predictions(np.repeat(truth, 2), np.repeat(truth, 2) + 1), np.repeat(truth, 2), CLASSES)[0]
    exact = compare_scores(rows, groups=None, bootstrap=BOOTSTRAP, level=0.05).gain
    grouped, mirrored = (
        compare_scores(scores, groups=np.repeat(np.arange(groups), 2), bootstrap=BOOTSTRAP, level=0.05).gain
        for scores in (twice, swapped)
    )
    assert (grouped.value, grouped.high) == (1.0, 1.0)
    assert -1.0 < grouped.low <= exact.low
    assert (grouped.low > 0) == (exact.low > 0)
    assert (mirrored.low, mirrored.high) == (-grouped.high, -grouped.low)


def test_a_slice_keeps_the_groups_of_its_own_rows():
    truth, challenger, champion = np.repeat([0, 1], 40), np.zeros(80, dtype=np.int64), np.ones(80, dtype=np.int64)
    groups = np.r_[np.arange(40), np.repeat(np.arange(10), 4)]
    positive = paired_rows(predictions(truth, challenger), champion, CLASSES)[2]
    found = compare_scores(positive, groups=groups, bootstrap=BOOTSTRAP, level=0.05)
    assert (positive.name, found.champion_only, found.method) == ("positive", 10, "clustered-bca")


@pytest.mark.parametrize(("group_size", "noise"), [(5, 0.3)])
def test_an_equal_challenger_is_found_better_no_more_often_than_the_level_allows(group_size, noise):
    """Answers of a group are right or wrong together: limits that took rows alone would be wrong far more often."""
    generator, groups = np.random.default_rng(6), np.repeat(np.arange(100), group_size)
    truth, found = np.zeros(len(groups), dtype=np.int64), []
    for _ in range(400):
        models = [np.repeat(generator.random(100) < noise, group_size).astype(np.int64) for _ in range(2)]
        whole = paired_rows(predictions(truth, models[0]), models[1], CLASSES)[0]
        found.append(compare_scores(whole, groups=groups, bootstrap=Bootstrap(resamples=300), level=0.05).gain.low > 0)
    assert sum(found) <= stats.binom.ppf(0.999, len(found), 0.06)


def test_spans_are_compared_row_by_row_and_type_by_type():
    truth = [1, 2, 0, 3, 0, 0]
    challenger = [1, 2, 0, 3, 0, 0]
    champion = np.array([1, 0, 0, 3, 0, 3])
    lengths = [3, 1, 2]
    whole, *types = paired_spans(predictions(truth, challenger, lengths=lengths, classes=4), champion, TAGS)
    found = compare_scores(whole, groups=None, bootstrap=BOOTSTRAP, level=0.05)
    assert (found.challenger, found.champion) == pytest.approx((1.0, 0.4))
    assert (found.challenger_only, found.champion_only, found.gain.discordant) == (2, 0, 2)
    assert {part.name: part.rows.tolist() for part in types} == {"LOC": [1, 2], "PER": [0]}


def test_the_metric_of_spans_is_that_of_the_evaluation():
    generator = np.random.default_rng(8)
    truth, challenger, champion = (generator.integers(0, 4, 400) for _ in range(3))
    made = predictions(truth, challenger, lengths=[10] * 40, classes=4)
    whole = paired_spans(made, champion, TAGS)[0]
    found = compare_scores(whole, groups=None, bootstrap=BOOTSTRAP, level=0.05)
    assert found.challenger == pytest.approx(span_f1(made, challenger, TAGS, BOOTSTRAP).value)
    assert found.champion == pytest.approx(span_f1(made, champion, TAGS, BOOTSTRAP).value)
    assert found.gain.low < found.gain.value < found.gain.high


def rare(seed: int, rows: int = 600, *, share: float = 0.1):
    """Truth with a rare class, and two models: one finds half of it, one most of it for some false alarms."""
    generator = np.random.default_rng(seed)
    truth = (generator.random(rows) < share).astype(np.int64)
    answers = [
        np.where(truth == 1, generator.random(rows) < found, generator.random(rows) < alarms).astype(np.int64)
        for found, alarms in RARE
    ]
    return truth, *answers


RARE = ((0.8, 0.04), (0.5, 0.02))
"""(share of the rare class that is found, share of the other that is taken for it): challenger, champion."""


def true_macro_f1(found: float, alarms: float, *, share: float = 0.1) -> float:
    right = share * found, (1 - share) * (1 - alarms)
    wrong = share * (1 - found) + (1 - share) * alarms
    return sum(2 * part / (2 * part + wrong) for part in right) / 2


def test_the_macro_f1_of_both_is_that_of_scikit_learn():
    truth, challenger, champion = rare(3)
    whole, *slices = paired_macro_f1(predictions(truth, challenger), champion, CLASSES)
    found = compare_scores(whole, groups=None, bootstrap=BOOTSTRAP, level=0.05)
    assert found.challenger == pytest.approx(f1_score(truth, challenger, average="macro"))
    assert found.champion == pytest.approx(f1_score(truth, champion, average="macro"))
    assert found.challenger_only == ((challenger == truth) & (champion != truth)).sum()
    assert [part.name for part in slices] == CLASSES
    assert all(part.zero_one for part in slices)


def test_a_rare_class_counts_in_macro_f1_as_much_as_a_common_one():
    truth, challenger, champion = rare(4, rows=4000)
    gains = []
    for pairs in (paired_rows, paired_macro_f1):
        whole = pairs(predictions(truth, challenger), champion, CLASSES)[0]
        gains.append(compare_scores(whole, groups=None, bootstrap=BOOTSTRAP, level=0.05).gain)
    by_accuracy, by_macro_f1 = gains
    assert by_accuracy.high < 0.03 < by_macro_f1.low


def test_the_limits_of_macro_f1_are_rarely_on_the_wrong_side_of_the_true_gain():
    true = true_macro_f1(*RARE[0]) - true_macro_f1(*RARE[1])
    bootstrap, draws, wrong = Bootstrap(resamples=400), 200, [0, 0]
    for seed in range(draws):
        truth, challenger, champion = rare(1000 + seed)
        whole = paired_macro_f1(predictions(truth, challenger), champion, CLASSES)[0]
        gain = compare_scores(whole, groups=None, bootstrap=bootstrap, level=0.05).gain
        wrong[0] += gain.low > true
        wrong[1] += gain.high < true
    # with a share of 5 % more than 22 of 200 would be an accident of one in 10,000
    assert max(wrong) <= 22
    assert min(wrong) >= 1
