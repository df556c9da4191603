"""Feedback as the recent window of a comparison: of texts that nobody trains on, and of the last days."""

from __future__ import annotations

import json

import pytest
from feedback_files import CUTOFF, HOUR, NOON, of_side, row, rows_of, taken, write
from hypothesis import given, settings
from hypothesis import strategies as st
from run_configs import run_config

from tuneloop_api.wire.model import changed
from tuneloop_trainer.data.locate_source import snapshots_of
from tuneloop_trainer.data.notes import feedback_notes
from tuneloop_trainer.data.row_table import TEST, TRAIN, VALIDATION
from tuneloop_trainer.errors import ConfigError, DataError
from tuneloop_trainer.export.champion.rows import recent_sources
from tuneloop_trainer.prepare import locate_sources

DAY = 24 * HOUR


def config_of(folder, *, reached: bool = True, run: str | None = None, **source):
    """A job that trains on the feedback of a deployment and compares on its newest rows."""
    feedback = {"uri": "feedback://reviews", "cutoff": CUTOFF}
    beside = {"uri": "file:///champion", "recent": [feedback | source]}
    config = run_config(folder, data={"train": [feedback]}, evaluation={"compareWith": beside})
    paths = changed(config.paths, feedback={"reviews": str(folder / "rows")} if reached else None)
    return changed(config, paths=paths, fresh_run_id=run)


def texts_of(sources) -> set[str]:
    lines = (line for source in sources for file in source.files for line in file.path.read_text().splitlines())
    return {json.loads(line)["text"] for line in lines}


def recent_texts(config) -> set[str]:
    return texts_of(recent_sources(config, snapshots=snapshots_of(config)))


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        pytest.param({}, {"today", "six days ago"}, id="a week, where nothing is said"),
        pytest.param({"window": "1d"}, {"today"}, id="a day"),
        pytest.param({"window": "30d"}, {"today", "six days ago", "last week"}, id="a month"),
    ],
)
def test_recent_rows_are_of_predictions_in_the_window_before_the_cutoff(tmp_path, source, kept):
    ages = {"today": 0, "six days ago": 6, "last week": 8}
    texts = {name: of_side(TEST, number) for number, name in enumerate(ages)}
    write(
        tmp_path / "rows",
        [row(name, text=texts[name], predicted_at=NOON - days * DAY, at=NOON - 1) for name, days in ages.items()],
    )
    assert recent_texts(config_of(tmp_path, **source)) == {texts[name] for name in kept}


def test_the_window_begins_with_its_last_second(tmp_path):
    begin = NOON + HOUR - 7 * DAY
    inside, outside = of_side(TEST, 1), of_side(TEST, 2)
    write(
        tmp_path / "rows", [row("a", text=inside, predicted_at=begin), row("b", text=outside, predicted_at=begin - 1)]
    )
    assert recent_texts(config_of(tmp_path)) == {inside}


DAYS = st.sampled_from([0, 3, 9, 40])
ROWS = st.builds(
    lambda number, side, age, source: row(
        f"{side}-{number}-{age}-{source}",
        text=of_side(side, number),
        predicted_at=NOON - age * DAY,
        at=NOON - age * DAY + 1,
        source=source,
    ),
    st.integers(0, 2),
    st.sampled_from([TRAIN, VALIDATION, TEST]),
    DAYS,
    st.sampled_from(["client", "audit"]),
)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=12), window=st.sampled_from(["1d", "7d", "60d"]), later=st.booleans())
def test_no_text_is_both_trained_on_and_recent_whatever_windows_and_cutoffs_two_jobs_have(
    tmp_path_factory, rows, window, later
):
    folder = tmp_path_factory.mktemp("feedback")
    write(folder / "rows", rows)
    cutoff = "2026-12-30T00:00:00Z" if later else CUTOFF

    def texts(split: int, **how: str) -> set[str]:
        try:
            return {text for text, _ in rows_of(folder, split=split, field=f"{split}", **how)}
        except DataError:
            return set()

    recent = texts(TEST, window=window)
    assert not recent & (texts(TRAIN, cutoff=cutoff) | texts(VALIDATION, cutoff=cutoff))
    assert recent <= texts(TEST, cutoff=cutoff)


def test_an_audit_before_the_window_still_keeps_its_text_from_training(tmp_path):
    audited = of_side(TRAIN, 1)
    write(
        tmp_path / "rows",
        [row("a", text=audited, source="audit", at=NOON - 30 * DAY, predicted_at=NOON - 31 * DAY)],
        [row("b", text=audited), row("c", text=of_side(TRAIN, 2))],
    )
    config = config_of(tmp_path)
    assert recent_texts(config) == {audited}
    assert texts_of(locate_sources(config, snapshots=tmp_path / "job")) == {of_side(TRAIN, 2)}


@pytest.mark.parametrize("run", [None, "2026-11-30T12:00:00Z"], ids=["first run", "begun anew"])
def test_export_reads_the_rows_that_prepare_took_though_it_cannot_reach_the_feedback(tmp_path, run):
    write(tmp_path / "rows", [row("a", text=of_side(TEST))])
    prepared = config_of(tmp_path, run=run)
    kept = recent_texts(prepared)
    if run is not None:  # what `prepare` leaves last
        (snapshots_of(prepared).parent / "RUN").write_text(run)
    write(tmp_path / "rows", [row("b", text=of_side(TEST, 1))])
    assert recent_texts(config_of(tmp_path, reached=False)) == kept


def test_feedback_that_was_never_taken_cannot_be_read_by_export(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"^evaluation.compareWith.recent\[0\].uri: feedback://reviews: the rows of feedback of reviews cannot",
    ):
        recent_texts(config_of(tmp_path, reached=False))


def test_a_window_without_a_row_is_named(tmp_path):
    write(tmp_path / "rows", [row("a", text=of_side(TEST), predicted_at=NOON - 8 * DAY)])
    with pytest.raises(
        DataError,
        match=r"recent\[0\].uri: feedback://reviews has no row for test up to .*, of predictions of the last 7d: 1 pred",
    ):
        recent_texts(config_of(tmp_path))


def test_the_notes_say_how_many_rows_are_recent(tmp_path):
    write(tmp_path / "rows", [row("a", text=of_side(TEST)), row("b", text=of_side(TRAIN))])
    (note,) = feedback_notes(recent_sources(config_of(tmp_path), snapshots=tmp_path / "job"))
    assert note.startswith(
        "feedback://reviews for evaluation.compareWith.recent: feedback up to 2026-11-30T13:00:00.000Z for 2 "
    )
    assert note.endswith("; 1 rows are of this side and of the last 7d")


def test_a_window_takes_a_snapshot_of_its_own(tmp_path):
    write(tmp_path / "rows", [row("a"), row("b", text=of_side(TRAIN, 1), predicted_at=NOON - 2 * DAY)])
    assert len(rows_of(tmp_path)) == 2
    assert len(rows_of(tmp_path, window="1d")) == 1
    assert "window" not in taken(tmp_path).facts
