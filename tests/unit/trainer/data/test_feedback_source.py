"""Feedback as a source: one row a prediction, whatever files hold it, on the side where it always was."""

from __future__ import annotations

import json

import numpy as np
import pytest
from feedback_files import CUTOFF, HOUR, NOON, of_side, row, rows_of, taken, write
from hypothesis import given, settings
from hypothesis import strategies as st
from run_configs import run_config

from tuneloop_api.wire.model import changed
from tuneloop_trainer.data.collect import collect
from tuneloop_trainer.data.digest import dataset_digest
from tuneloop_trainer.data.feedback.snapshot import sides_of
from tuneloop_trainer.data.formats.text_label import TEXT_LABEL
from tuneloop_trainer.data.notes import feedback_notes
from tuneloop_trainer.data.pipeline import STEPS
from tuneloop_trainer.data.row_table import TEST, TRAIN, VALIDATION
from tuneloop_trainer.data.steps import keep_splits_apart
from tuneloop_trainer.data.steps.step import StepContext
from tuneloop_trainer.data.text_key import text_key
from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.prepare import locate_sources


@pytest.mark.parametrize(
    ("shards", "labels"),
    [
        pytest.param([[row("a", "good")], [row("a", "bad", at=NOON + 5)]], ["bad"], id="a later label"),
        pytest.param([[row("a", "bad", at=NOON + 5)], [row("a", "good")]], ["bad"], id="whatever file comes first"),
        pytest.param([[row("a"), row("a")], [row("a")]], ["good"], id="sent again"),
        pytest.param([[row("a", "good"), row("b", "bad", at=NOON + 5)]], ["bad", "good"], id="two predictions"),
        pytest.param(
            [[row("a"), row("a", "bad", text=None, at=NOON + 5)]], ["bad"], id="a correction without its text"
        ),
        pytest.param([[row("a"), row("b", text=None)]], ["good"], id="no text"),
        pytest.param([[row("a"), row("b", None)]], ["good"], id="wrong, and nobody says what is right"),
        pytest.param([[row("a"), row("b"), row("b", None, at=NOON + 5)]], ["good"], id="a label that was taken back"),
        pytest.param([[row("a", at=NOON - 99 * HOUR), row("b", at=NOON + 2 * HOUR)]], ["good"], id="after the cutoff"),
        pytest.param(
            [[row("a", "good"), row("a", "bad", at=NOON + 2 * HOUR)]], ["good"], id="corrected after the cutoff"
        ),
    ],
)
def test_each_prediction_is_a_row_with_its_last_label_up_to_the_cutoff(tmp_path, shards, labels):
    write(tmp_path / "rows", *shards)
    assert [label for _, label in rows_of(tmp_path)] == labels


ROWS = st.builds(
    row,
    st.sampled_from("abcd"),
    st.sampled_from(["good", "bad", None]),
    text=st.sampled_from([None, *(of_side(TRAIN, number) for number in range(3))]),
    at=st.sampled_from([NOON, NOON + 1, NOON + 2, NOON + 2 * HOUR]),
    source=st.sampled_from(["client", "audit"]),
)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=12), order=st.randoms(use_true_random=False), parts=st.integers(1, 4))
def test_the_same_feedback_is_the_same_file_whatever_its_order_and_the_number_of_shards(
    tmp_path_factory, rows, order, parts
):
    contents = []
    for number in (1, parts):
        folder = tmp_path_factory.mktemp("feedback")
        order.shuffle(rows)
        write(folder / "rows", *(rows[start::number] for start in range(number)))
        try:
            contents.append(taken(folder).path.read_bytes())
        except DataError:
            contents.append(b"")
    assert contents[0] == contents[1]


def test_a_text_is_for_one_side_alone_and_each_side_has_its_part(tmp_path):
    texts = [f"film {number}" for number in range(2000)]
    write(tmp_path / "rows", [row(f"{number}", text=text) for number, text in enumerate(texts)])
    sides = {
        side: {text for text, _ in rows_of(tmp_path, split=side, field=f"{side}")} for side in (TRAIN, VALIDATION, TEST)
    }
    assert sorted(text for found in sides.values() for text in found) == sorted(texts)
    assert [round(len(sides[side]) / 2000, 1) for side in (TRAIN, VALIDATION, TEST)] == [0.8, 0.1, 0.1]


def test_the_side_of_a_text_is_the_same_in_every_release():
    keys = [text_key(f"film {number}") for number in range(24)]
    held_out = {10: VALIDATION, 14: TEST, 19: TEST, 20: TEST}
    assert sides_of(keys, [False] * 24) == [held_out.get(number, TRAIN) for number in range(24)]


@settings(max_examples=30, deadline=None)
@given(early=st.lists(ROWS, min_size=1, max_size=8), late=st.lists(ROWS, max_size=8))
def test_a_text_that_was_judged_on_never_trains_later_nor_the_other_way_round(tmp_path_factory, early, late):
    folder = tmp_path_factory.mktemp("feedback")
    later = [found.model_copy(update={"labelled_at": NOON + 24 * HOUR}) for found in late]
    write(folder / "rows", [found for found in early if found.labelled_at <= NOON + HOUR], later)

    def texts(split: int, cutoff: str) -> set[str]:
        try:
            return {text for text, _ in rows_of(folder, split=split, field=f"{split}", cutoff=cutoff)}
        except DataError:
            return set()

    trained, judged = texts(TRAIN, CUTOFF), texts(TEST, CUTOFF)
    assert not trained & judged
    assert not judged & texts(TRAIN, "2026-12-30T00:00:00Z")
    assert not trained & texts(TEST, "2026-12-30T00:00:00Z")


def test_a_text_of_a_random_audit_is_for_testing_unless_a_client_has_labelled_it_before(tmp_path):
    drawn, known = of_side(TRAIN, 1), of_side(TRAIN, 2)
    write(
        tmp_path / "rows",
        [row("a", text=drawn, source="audit"), row("b", text=drawn, at=NOON + 1)],
        [row("c", text=known), row("d", text=known, at=NOON + 1, source="audit")],
    )
    assert {text for text, _ in rows_of(tmp_path, split=TEST)} == {drawn}
    assert {text for text, _ in rows_of(tmp_path, split=TRAIN, field="other")} == {known}


def test_a_job_takes_its_rows_once_and_keeps_them_when_the_files_are_gone(tmp_path):
    write(tmp_path / "rows", [row("a")])
    first = taken(tmp_path, cutoff=None, clock=NOON + 60)
    write(tmp_path / "rows", [row("a", "bad", at=NOON + 70)])
    assert taken(tmp_path, cutoff=None, clock=NOON + 90) == first
    assert first.facts["cutoff"] == "2026-11-30T12:01:00.000Z"
    assert taken(tmp_path, cutoff=None, clock=NOON + 90, run="again").facts != first.facts


@pytest.mark.parametrize("rows", [[], [row("a", text=None)], [row("a", None)], [row("a", text=of_side(TEST))]])
def test_a_source_without_a_row_says_what_became_of_the_feedback(tmp_path, rows):
    write(tmp_path / "rows", rows)
    with pytest.raises(
        DataError, match=r"feedback://reviews has no row for train up to 2026-11-30T13:00:00.000Z: \d pred"
    ):
        taken(tmp_path)
    assert not list((tmp_path / "job").iterdir())


def test_a_deployment_that_has_kept_nothing_yet_has_no_row(tmp_path):
    with pytest.raises(DataError, match="0 predictions have feedback"):
        taken(tmp_path)


def test_a_cutoff_that_is_no_time_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"data.train\[0\].cutoff: 2026-02-30T00:00:00Z is no time"):
        taken(tmp_path, cutoff="2026-02-30T00:00:00Z")


def test_a_later_cutoff_without_a_later_row_is_the_same_data_set(tmp_path):
    write(tmp_path / "rows", [row("a"), row("b", "bad", text=of_side(TRAIN, 1))])
    names = []
    for cutoff in (CUTOFF, "2026-12-01T00:00:00Z"):
        config = with_feedback(tmp_path, train=[{"uri": "feedback://reviews", "cutoff": cutoff}])
        sources = locate_sources(config, snapshots=tmp_path / "job")
        assert sources[0].feedback["cutoff"][:19] == cutoff[:19]
        names.append(
            dataset_digest(
                sources, settings=config.settings, steps=STEPS, tokenizer_digest="t", limit=1, progress=lambda _: None
            )
        )
    assert names[0] == names[1]


def test_a_deployment_whose_rows_are_not_mounted_is_named(tmp_path):
    config = with_feedback(tmp_path, train=[{"uri": "feedback://films"}])
    with pytest.raises(
        ConfigError, match=r"data.train\[0\].uri: feedback://films: the rows of feedback of films cannot be"
    ):
        locate_sources(config, snapshots=tmp_path / "job")


def with_feedback(folder, *, evaluation=None, **data):
    blocks = {"data": data} if evaluation is None else {"data": data, "evaluation": evaluation}
    config = run_config(folder, **blocks)
    return changed(config, paths=changed(config.paths, feedback={"reviews": str(folder / "rows")}))


def test_rows_of_feedback_are_read_and_those_of_the_golden_set_never_train(tmp_path):
    golden, own = of_side(TRAIN, 1), of_side(TRAIN, 2)
    write(
        tmp_path / "rows", [row("a", text=golden), row("b", "bad", text=own), row("c", "good", text=of_side(TRAIN, 3))]
    )
    (tmp_path / "golden.jsonl").write_text(json.dumps({"text": golden.upper(), "label": "good"}) + "\n")
    sources = {
        "train": [{"uri": "feedback://reviews", "cutoff": CUTOFF}],
        "test": [{"uri": f"file://{tmp_path}/golden.jsonl"}],
    }
    config = with_feedback(tmp_path, **sources)
    located = locate_sources(config, snapshots=tmp_path / "job")
    found = collect(
        located,
        row_format=TEXT_LABEL,
        settings=config.settings,
        contents=tmp_path / "contents",
        progress=lambda _: None,
    )
    context = StepContext(settings=config.settings, folder=tmp_path, progress=lambda _: None)
    table = keep_splits_apart.STEP.run(found.table, context).table
    texts = np.array([content["text"] for batch in table.read() for content in batch])
    assert set(texts[found.table.splits == TRAIN]) == {golden, own, of_side(TRAIN, 3)}
    assert set(texts[table.splits == TRAIN]) == {own, of_side(TRAIN, 3)}
    assert found.sources[0].feedback["predictions"] == 3
    (note,) = feedback_notes(located)
    assert note == (
        "feedback://reviews for data.train: feedback up to 2026-11-30T13:00:00.000Z for 3 predictions, 0 of them without a text, "
        "0 with a text and without a label; 3 rows are of this side"
    )
