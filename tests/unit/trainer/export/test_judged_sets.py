"""What the predictions of both models on a set of rows say."""

from __future__ import annotations

import numpy as np
import pytest

from tuneloop_api.statistics.challenger import LEVEL, Rules, Verdict, gain_of_pairs
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.evaluation.intervals import Bootstrap
from tuneloop_trainer.evaluation.predictions import Predictions
from tuneloop_trainer.export.champion.encode import cuts_of, require_same_tokens
from tuneloop_trainer.export.champion.judge import Judging, Model, compared_metric, judge_set
from tuneloop_trainer.export.champion.rows import GOLDEN, RECENT, RowSet
from tuneloop_trainer.tasks.task import EncodedRow
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION

LABELS = ["negative", "positive"]
TRUTH = np.arange(400) % 2


def model(wrong: range, *, temperature: float = 1.0) -> Model:
    """A model that is sure, and wrong on some rows."""
    predicted = TRUTH.copy()
    predicted[list(wrong)] = 1 - predicted[list(wrong)]
    values = 4 * np.eye(2, dtype=np.float32)[predicted]
    rows = np.arange(len(TRUTH))
    return Model(
        predictions=Predictions(values=values, labels=TRUTH, rows=rows, offsets=np.arange(len(TRUTH) + 1)),
        temperature=temperature,
    )


def judged(
    challenger: Model,
    champion: Model,
    *,
    is_decisive: bool = True,
    groups=None,
    margin: float = 0.03,
    slice_margin: float | None = None,
    name: str = GOLDEN,
    metric: str = "accuracy",
):
    rows = [{"text": f"text {number}", "label": LABELS[label]} for number, label in enumerate(TRUTH)]
    judging = Judging(
        task=TEXT_CLASSIFICATION,
        labels=LABELS,
        rules=Rules(margin=margin, min_improvement=0.0, slice_margin=slice_margin),
        bootstrap=Bootstrap(resamples=500),
        metric=metric,
    )
    row_set = RowSet(name=name, rows=rows, groups=groups, left_out=0)
    return judge_set(row_set, challenger=challenger, champion=champion, judging=judging, is_decisive=is_decisive)


@pytest.mark.parametrize(
    ("is_decisive", "verdict"), [(True, Verdict.BETTER), (False, Verdict.NOT_INFERIOR)], ids=["decisive", "beside"]
)
def test_the_decisive_set_says_better_and_the_other_not_inferior(is_decisive, verdict):
    found, overall = judged(model(range(10)), model(range(40)), is_decisive=is_decisive)
    assert found.verdict == overall.verdict == verdict
    assert (found.challenger_only, found.champion_only, found.rows) == (30, 0, 400)
    assert (found.challenger_interval.value, found.champion_interval.value) == (0.975, 0.9)


def test_a_class_on_which_the_challenger_is_proven_worse_is_named():
    lost = range(1, 120, 2)  # rows of the class positive
    found, overall = judged(model(lost), model(range(0, 240, 2)))
    assert overall.worse_slices == ("positive",)
    assert {part.name: part.verdict for part in found.slices} == {"negative": "NotInferior", "positive": "Worse"}


def test_a_class_of_the_recent_window_is_listed_and_blocks_nothing():
    """A champion that the world has left leans to a class: no better model finds as much of it."""
    champion, challenger = model(range(0, 240, 2)), model(range(1, 120, 2))
    found, verdict = judged(challenger, champion, name=RECENT)
    assert verdict.worse_slices == ()
    assert {part.name: part.verdict for part in found.slices} == {"negative": "NotInferior", "positive": "Worse"}


@pytest.mark.parametrize(
    ("slice_margin", "verdict", "words"),
    [
        pytest.param(None, "Inconclusive", "margin 0.06", id="twice the margin"),
        pytest.param(0.03, "Worse", "margin 0.03", id="the margin itself"),
        pytest.param(0.2, "NotInferior", "margin 0.2", id="a wide one"),
    ],
)
def test_a_class_has_a_margin_of_its_own(slice_margin, verdict, words):
    found, overall = judged(model(range(1, 40, 2)), model(range(0, 240, 2)), slice_margin=slice_margin)
    positive = found.slices[1]
    assert (positive.name, positive.gain, positive.verdict) == ("positive", -0.1, verdict)
    assert f"{words}, " in positive.message
    assert "margin 0.03, " in found.message
    assert overall.worse_slices == (("positive",) if verdict == "Worse" else ())


def test_a_set_is_judged_in_macro_f1_and_its_classes_by_their_right_answers():
    found, overall = judged(model(range(10)), model(range(40)), metric="macro_f1")
    assert (found.method, overall.verdict) == ("clustered-bca", Verdict.BETTER)
    assert "macro_f1 +0.07" in found.message
    assert found.challenger_interval.value == pytest.approx(0.975, abs=1e-3)
    assert {part.name for part in found.slices} == set(LABELS)
    assert all("accuracy +" in part.message for part in found.slices)


@pytest.mark.parametrize(
    ("best_metric", "metric"), [("loss", "accuracy"), ("mcc", "accuracy"), ("macro_f1", "macro_f1")]
)
def test_models_are_compared_in_the_metric_that_chooses_the_checkpoint_where_they_can(best_metric, metric):
    assert compared_metric(TEXT_CLASSIFICATION, best_metric) == metric


def test_slices_share_their_level():
    found, _ = judged(model(range(10)), model(range(40)))
    negative = found.slices[0]
    expected = gain_of_pairs(negative.challenger_only, negative.champion_only, negative.rows, level=LEVEL / 2)
    assert (negative.low, negative.high) == (expected.low, expected.high)


@pytest.mark.parametrize(
    ("groups", "method", "count"),
    [
        (None, "paired-exact", None),
        (np.arange(400), "paired-exact", None),
        (np.arange(400) // 4, "clustered-bca", 100),
    ],
    ids=["no groups", "groups of one row", "groups of four rows"],
)
def test_rows_that_belong_together_are_drawn_together(groups, method, count):
    found, _ = judged(model(range(10, 24)), model(range(40)), groups=groups)
    assert (found.method, found.groups) == (method, count)


def test_each_model_is_calibrated_by_its_own_temperature():
    found, _ = judged(model(range(40)), model(range(40), temperature=4.0))
    assert found.challenger_calibration_error != found.champion_calibration_error


def row(ids, **columns) -> EncodedRow:
    return EncodedRow(input_ids=np.array(ids), token_columns={name: np.array(v) for name, v in columns.items()})


def test_each_model_reads_a_text_as_far_as_it_does_when_it_is_served():
    assert cuts_of([row([1, 2])], challenger=64, champion=32) == (64, 32)


def test_words_that_one_model_does_not_read_are_compared_for_neither():
    assert cuts_of([row([1, 2], labels=[0, 1])], challenger=64, champion=32) == (32, 32)


def test_a_row_that_the_tokenizers_read_unlike_is_named():
    same, other = row([1, 2, 3]), row([1, 2, 4, 5])
    require_same_tokens([same], [same], name="golden")
    with pytest.raises(ConfigError, match="reads row 2 of the golden set otherwise: 4 tokens, 3 are expected"):
        require_same_tokens([same, same], [same, other], name="golden")


def test_the_digest_of_a_set_is_that_of_its_rows_in_order():
    one, two = ({"text": text, "label": "positive"} for text in ("a", "b"))
    digests = {
        RowSet(name=GOLDEN, rows=rows, groups=None, left_out=0).digest for rows in ([one, two], [two, one], [one])
    }
    assert len(digests) == 3
