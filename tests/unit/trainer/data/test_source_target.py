"""Rows with a text to write: which can be used, and why the others cannot."""

from __future__ import annotations

import pytest
from run_configs import run_config

from tuneloop_trainer.data.choose_format import choose_format
from tuneloop_trainer.data.formats.row_format import SourceToParse, Unusable
from tuneloop_trainer.data.formats.source_target import SOURCE_TARGET, parse
from tuneloop_trainer.data.sources.raw import BadReason, RawRow
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.tasks import task_of


@pytest.mark.parametrize(
    ("source", "target", "reason", "shown"),
    [
        (None, "kurz", BadReason.MISSING_TEXT, ""),
        ("", "kurz", BadReason.MISSING_TEXT, ""),
        (" \n", "kurz", BadReason.BLANK_TEXT, ""),
        (7, "kurz", BadReason.NOT_TEXT, "7"),
        ("\ud800", "kurz", BadReason.NOT_UNICODE, ""),
        ("short", None, BadReason.MISSING_TARGET, "short"),
        ("short", "", BadReason.MISSING_TARGET, "short"),
        ("short", "  ", BadReason.BLANK_TARGET, "short"),
        ("short", ["kurz"], BadReason.TARGET_NOT_TEXT, "kurz"),
        ("short", {"de": "kurz"}, BadReason.TARGET_NOT_TEXT, "kurz"),
        ("short", "\ud800", BadReason.TARGET_NOT_UNICODE, ""),
    ],
)
def test_a_row_without_a_text_or_a_target_says_which_is_wrong(source, target, reason, shown):
    found = parse(RawRow(1, (source, target)))
    assert isinstance(found, Unusable)
    assert found.reason is reason
    assert shown in str(found.excerpt)


def test_a_row_is_a_text_and_the_text_to_write_for_it():
    assert parse(RawRow(1, ("short ", " kurz"))) == {"source": "short ", "target": " kurz"}


def test_rows_with_one_source_repeat_each_other_and_contradict_each_other_unless_their_targets_are_equal():
    first, other = ({"source": "short", "target": target} for target in ("kurz", "knapp"))
    assert SOURCE_TARGET.texts(first) == SOURCE_TARGET.texts(other) == ("short",)
    assert SOURCE_TARGET.answer(first) != SOURCE_TARGET.answer(other)


def parsing(folder, **settings):
    config = run_config(folder, task="text2text-generation", **settings)
    source = SourceToParse(field="data.train[0]", settings=config.settings.data.train[0], rows=lambda: iter(()))
    return SOURCE_TARGET.parsing([source], config.settings)


def test_names_of_classes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"model.labels: a text to write has no classes"):
        parsing(tmp_path, model_source={"labels": ["a", "b"]})


def test_a_rule_for_labels_is_refused(tmp_path):
    config = run_config(tmp_path, task="text2text-generation")
    rule = {"above": 3, "names": ["low", "high"]}
    train = [{**config.settings.data.train[0].model_dump(by_alias=True, exclude_none=True), "labelRule": rule}]
    with pytest.raises(ConfigError, match=r"data.train\[0\].labelRule: a text to write is no number"):
        parsing(tmp_path, data={"train": train})


def test_the_format_of_the_task_is_found_without_being_named(tmp_path):
    config = run_config(tmp_path, task="text2text-generation")
    assert choose_format(config.settings, task=task_of(config.settings)) is SOURCE_TARGET
