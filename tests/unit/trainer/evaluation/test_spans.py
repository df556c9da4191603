"""Spans, counted as CoNLL's evaluation counts them, against a slow reading of its rules word by word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop_trainer.evaluation.intervals import Bootstrap
from tuneloop_trainer.evaluation.predictions import Predictions
from tuneloop_trainer.evaluation.spans import (
    count_spans,
    evaluate_spans,
    f1,
    find_spans,
    precision,
    read_tags,
    recall,
    span_f1,
    span_f1_gain,
    span_metrics,
)

LABELS = ["O", *(f"{position}-{type_}" for position in "BIES" for type_ in ("LOC", "PER"))]
IDS = {label: index for index, label in enumerate(LABELS)}
TAGS = read_tags(LABELS)
BOOTSTRAP = Bootstrap(resamples=400)
ROWS = st.lists(st.lists(st.sampled_from(LABELS), max_size=8), min_size=1, max_size=5)


def starts(before: str, tag: str) -> bool:
    """`startOfChunk` of conlleval, with the tags of BIOES."""
    position, type_ = tag[0], tag[2:]
    if position in "BS":
        return True
    if before[0] in "ESO" and position in "EI":
        return True
    return position != "O" and before[2:] != type_


def ends(before: str, tag: str) -> bool:
    """`endOfChunk` of conlleval, with the tags of BIOES."""
    if before[0] in "ES":
        return True
    if before[0] in "BI" and tag[0] in "BSO":
        return True
    return before[0] != "O" and before[2:] != tag[2:]


def slow_spans(row: list[str]) -> set[tuple[int, int, str]]:
    """Return (first word, last word, type) of the spans of a sentence."""
    found, first, before = set(), 0, "O"
    for index, tag in enumerate([*row, "O"]):
        if ends(before, tag):
            found.add((first, index - 1, before[2:]))
        if starts(before, tag):
            first = index
        before = tag
    return found


def flat(rows: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the class ids of all words, and where the rows begin."""
    classes = np.array([IDS[tag] for row in rows for tag in row], dtype=np.int64)
    return classes, np.cumsum([0, *map(len, rows)], dtype=np.int64)


def fast_spans(rows: list[list[str]]) -> set[tuple[int, int, str]]:
    found = find_spans(*flat(rows), TAGS)
    return {
        (first, last, TAGS.types[type_])
        for first, last, type_ in zip(found.first.tolist(), found.last.tolist(), found.type.tolist(), strict=True)
    }


@given(ROWS)
def test_spans_are_those_of_conlleval_and_end_with_their_row(rows):
    offsets = flat(rows)[1]
    expected = {
        (first + offset, last + offset, type_)
        for row, offset in zip(rows, offsets.tolist(), strict=False)
        for first, last, type_ in slow_spans(row)
    }
    assert fast_spans(rows) == expected


@given(ROWS, st.randoms())
def test_counts_are_those_of_sets_of_spans(rows, source):
    other = [[source.choice([tag, source.choice(LABELS)]) for tag in row] for row in rows]
    (truth, offsets), (predicted, _) = flat(rows), flat(other)
    found = count_spans(truth, predicted, offsets, TAGS)
    sets = [(slow_spans(theirs), slow_spans(ours)) for theirs, ours in zip(rows, other, strict=True)]
    assert found.by_row.tolist() == [[len(true & ours), len(ours), len(true)] for true, ours in sets]
    for index, type_ in enumerate(TAGS.types):
        of_type = [({s for s in true if s[2] == type_}, {s for s in ours if s[2] == type_}) for true, ours in sets]
        expected = [
            sum(len(a & b) for a, b in of_type),
            sum(len(b) for _, b in of_type),
            sum(len(a) for a, _ in of_type),
        ]
        assert found.by_type[:, index].tolist() == expected


@pytest.mark.parametrize(
    ("scheme", "row"),
    [
        pytest.param("IOB1", ["I-PER", "I-PER", "B-PER", "O", "I-LOC"], id="IOB1: B only between two of a type"),
        pytest.param("IOB2", ["B-PER", "I-PER", "B-PER", "O", "B-LOC"], id="IOB2"),
        pytest.param("BIOES", ["B-PER", "E-PER", "S-PER", "O", "S-LOC"], id="BIOES"),
    ],
)
def test_the_same_spans_are_read_from_every_scheme(scheme, row):
    assert fast_spans([row]) == {(0, 1, "PER"), (2, 2, "PER"), (4, 4, "LOC")}, scheme


def test_tags_without_positions_join_as_hugging_face_joins_them():
    tags = read_tags(["O", "PER", "T-SHIRT"])
    found = find_spans(np.array([1, 1, 0, 2, 1]), np.array([0, 5]), tags)
    assert tags.types == ("PER", "T-SHIRT")
    assert list(zip(found.first.tolist(), found.last.tolist(), found.type.tolist(), strict=True)) == [
        (0, 1, 0), (3, 3, 1), (4, 4, 0),
    ]  # fmt: skip


def test_precision_recall_and_f1_are_ratios_and_zero_without_a_denominator():
    sums = np.array([[3, 4, 6], [0, 0, 5], [0, 5, 0], [0, 0, 0]])
    assert precision(sums).tolist() == [0.75, 0, 0, 0]
    assert recall(sums).tolist() == [0.5, 0, 0, 0]
    assert f1(sums).tolist() == pytest.approx([0.6, 0, 0, 0])


def sentence_predictions(rows: int, *, right: float, seed: int) -> Predictions:
    """Sentences of three to eight words; each word's tag is predicted right with this probability."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(3, 9, rows)
    labels = generator.integers(0, len(LABELS), lengths.sum())
    predicted = np.where(generator.random(len(labels)) < right, labels, generator.integers(0, len(LABELS), len(labels)))
    values = generator.normal(size=(len(labels), len(LABELS))).astype(np.float32)
    values[np.arange(len(labels)), predicted] = 4
    return Predictions(values=values, labels=labels, rows=np.arange(rows), offsets=np.cumsum([0, *lengths]))


def test_metrics_in_training_are_those_of_the_evaluation():
    test = sentence_predictions(200, right=0.8, seed=1)
    found = evaluate_spans(validation=test, test=test, labels=LABELS, bootstrap=BOOTSTRAP)
    values = {metric.name: metric.value for metric in found.metrics}
    trained = span_metrics(test, LABELS)
    assert trained.pop("loss") == pytest.approx(values["log_loss"])
    assert trained == pytest.approx({name: values[name] for name in trained})
    assert trained.keys() == {"accuracy", "span_f1", "span_precision", "span_recall"}


def test_the_scores_of_the_types_add_up_to_all_spans():
    test = sentence_predictions(200, right=0.8, seed=1)
    found = evaluate_spans(validation=test, test=test, labels=LABELS, bootstrap=BOOTSTRAP)
    counts = count_spans(test.labels, test.predicted, test.offsets, TAGS)
    assert list(found.classes) == ["LOC", "PER"]
    assert [score.support for score in found.classes.values()] == counts.by_type[2].tolist()
    assert found.confusion.sum() == len(test.labels)


def test_intervals_draw_whole_sentences():
    """Twenty copies of each sentence make the words twenty times as many, and say nothing new: an interval over words would shrink."""
    few = sentence_predictions(50, right=0.8, seed=2)
    words = np.concatenate([np.tile(np.arange(*few.offsets[row : row + 2]), 20) for row in range(50)])
    copied = Predictions(
        values=few.values[words],
        labels=few.labels[words],
        rows=few.rows,
        offsets=few.offsets * 20,
    )
    widths = []
    for test in (few, copied):
        found = evaluate_spans(validation=few, test=test, labels=LABELS, bootstrap=BOOTSTRAP)
        (accuracy,) = (metric for metric in found.metrics if metric.name == "accuracy")
        widths.append(accuracy.high - accuracy.low)
    assert widths[1] == pytest.approx(widths[0], rel=1e-6)


def test_the_gain_is_paired_and_the_difference_of_the_two_scores():
    test = sentence_predictions(300, right=0.9, seed=3)
    baseline = np.where(np.arange(len(test.labels)) % 5 == 0, 0, test.predicted)
    better = span_f1_gain(test, baseline, LABELS, BOOTSTRAP)
    ours, theirs = (span_f1(test, predicted, LABELS, BOOTSTRAP) for predicted in (test.predicted, baseline))
    assert better.value == pytest.approx(ours.value - theirs.value)
    assert 0 < better.low < better.value < better.high
    assert better.high - better.low < 0.8 * (ours.high - ours.low + theirs.high - theirs.low)


def test_rows_without_a_word_are_rows_all_the_same():
    test = Predictions(
        values=np.eye(len(LABELS), dtype=np.float32)[[1, 3]],
        labels=np.array([1, 3]),
        rows=np.arange(3),
        offsets=np.array([0, 0, 2, 2]),
    )
    assert span_f1(test, test.predicted, LABELS, BOOTSTRAP).value == 1.0
