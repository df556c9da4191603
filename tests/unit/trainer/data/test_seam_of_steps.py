"""What a data step may do: leave rows out, change their contents, add rows; and what of it names the data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_configs import run_config

from tuneloop_api.contract.data_settings import DataSettings, SplitSettings
from tuneloop_api.contract.settings import ModelSettings, Settings
from tuneloop_api.wire.model import changed
from tuneloop_trainer.data.digest import dataset_digest
from tuneloop_trainer.data.formats import FORMATS
from tuneloop_trainer.data.pipeline import STEPS, run_steps
from tuneloop_trainer.data.row_table import OUT, TEST, TRAIN, RowTable, TableBuilder
from tuneloop_trainer.data.steps.step import DataStep, StepContext, StepResult
from tuneloop_trainer.locate import DataFile
from tuneloop_trainer.prepare import locate_sources

FILE = DataFile(path=Path("/a.csv"), format="csv", name="a.csv")


def table(folder: Path, texts: list[str]) -> RowTable:
    with TableBuilder(folder / ".rows.arrow", row_format=FORMATS["text-label"], grouped=True) as builder:
        for row, text in enumerate(texts):
            builder.add(
                {"text": text, "label": f"c{row % 2}"},
                group_key=bytes([row]) * 16,
                source_split=TEST if row % 10 == 9 else TRAIN,
                split=TEST if row % 10 == 9 else TRAIN,
                row_id=row,
                file_id=0,
                number=row + 2,
            )
    return builder.finish([FILE])


def numbered(folder: Path, labels: list[str]) -> RowTable:
    """Return a table with a row of each label in each split."""
    with TableBuilder(folder / ".rows.arrow", row_format=FORMATS["text-label"], grouped=False) as builder:
        for split in range(3):
            for row, label in enumerate(labels):
                builder.add(
                    {"text": f"{split} {label}", "label": label},
                    group_key=None,
                    source_split=split,
                    split=split,
                    row_id=row,
                    file_id=0,
                    number=row,
                )
    return builder.finish([FILE])


def without_stars(before: RowTable, context: StepContext) -> StepResult:
    """Take the stars out of all texts."""
    with TableBuilder(context.new_contents("without-stars"), row_format=before.row_format, grouped=True) as builder:
        index = 0
        for batch in before.read():
            for row in batch:
                builder.copy(before, index, row | {"text": row["text"].replace("*", "")})
                index += 1
    return StepResult(table=builder.finish(before.files), facts={"rows": index})


def shouted(before: RowTable, context: StepContext) -> StepResult:
    """Add a copy of each training row with an exclamation mark."""
    with TableBuilder(context.new_contents("shouted"), row_format=before.row_format, grouped=True) as builder:
        index = 0
        for batch in before.read():
            for row in batch:
                builder.copy(before, index, row)
                if before.splits[index] == TRAIN:
                    builder.copy(before, index, row | {"text": f"{row['text']}!"})
                index += 1
    return StepResult(table=builder.finish(before.files), facts={"added": len(before.indexes(TRAIN))})


def step(name: str, run: Any, *, version: int = 1, settings: dict[str, Any] | None = None) -> DataStep:
    return DataStep(name=name, version=version, settings=lambda _: settings or {}, run=run)


def run(folder: Path, before: RowTable, *steps: DataStep) -> tuple[RowTable, dict[str, dict[str, Any]]]:
    settings = Settings(
        model=ModelSettings(uri="file:///m"),
        task="text-classification",
        data=DataSettings(train=[], test=[], validation=[], split=SplitSettings(group_by="g")),
    )
    return run_steps(before, steps, settings=settings, folder=folder, progress=lambda _done: None)


def facts_of_labels(folder: Path, labels: list[str], *, given: bool) -> dict[str, Any]:
    settings = Settings(
        model=ModelSettings(uri="file:///m", labels=list(dict.fromkeys(labels)) if given else None),
        task="text-classification",
        data=DataSettings(train=[]),
    )
    before = numbered(folder, labels)
    _, facts = run_steps(before, [STEPS[3]], settings=settings, folder=folder, progress=lambda _done: None)
    return facts["label-ids"]


@pytest.mark.parametrize(("given", "are_numbers"), [(False, True), (True, False)])
def test_numbers_that_were_named_as_classes_are_no_measured_numbers(tmp_path, given, are_numbers):
    facts = facts_of_labels(tmp_path, [f"{number}.5" for number in range(20)], given=given)
    assert facts == {"labels": 20, "classes": 20, "alike": [], "missing": {}, "numbers": are_numbers}


@pytest.mark.parametrize(("given", "alike"), [(False, [["True", "true"]]), (True, [])])
def test_labels_that_look_alike_are_no_surprise_where_they_were_named(tmp_path, given, alike):
    assert facts_of_labels(tmp_path, ["True", "true"] * 5, given=given)["alike"] == alike


def texts_of(found: RowTable) -> list[str]:
    return [row["text"] for batch in found.read() for row in batch]


def test_a_step_may_change_texts_and_later_steps_see_the_changed_ones(tmp_path):
    before = table(tmp_path, ["a film", "a *film*", "a tale", "an end"])
    after, facts = run(tmp_path, before, step("without-stars", without_stars), STEPS[0])
    assert texts_of(after) == ["a film", "a film", "a tale", "an end"]
    assert after.splits.tolist() == [TRAIN, OUT, TRAIN, TRAIN]
    assert facts["without-stars"] == {"rows": 4}
    assert facts["exact-duplicates"]["firstConflict"] == "a.csv line 3"


def test_a_row_that_an_earlier_step_left_out_takes_no_other_row_with_it(tmp_path):
    def without_the_first(before: RowTable, context: StepContext) -> StepResult:
        splits = before.splits.copy()
        splits[0] = OUT
        return StepResult(table=replace(before, splits=splits))

    before = table(tmp_path, ["a film", "a film", "a tale"])
    after, facts = run(tmp_path, before, step("without-the-first", without_the_first), STEPS[0])
    assert after.splits.tolist() == [OUT, TRAIN, TRAIN]
    assert facts["exact-duplicates"] == {"withinSplit": 0, "conflictingLabels": 0, "firstConflict": None}


def test_a_step_may_add_rows_that_keep_split_group_id_and_place_of_their_origin(tmp_path):
    before = table(tmp_path, [f"text {index}" for index in range(10)])
    after, _ = run(tmp_path, before, step("shouted", shouted))
    added = [index for index, text in enumerate(texts_of(after)) if text.endswith("!")]
    assert len(added) == 9
    for index in added:
        origin = index - 1
        assert after.row_ids[index] == after.row_ids[origin]
        assert after.place(index) == after.place(origin)
        assert after.splits[index] == after.splits[origin] == TRAIN
        assert after.group_keys[index] == after.group_keys[origin]


def test_a_text_that_a_step_makes_and_that_stands_in_test_leaves_the_training_rows(tmp_path):
    before = table(tmp_path, [*(f"text {index}" for index in range(9)), "text 0!"])
    after, facts = run(tmp_path, before, step("shouted", shouted), STEPS[2])
    assert [text for text, split in zip(texts_of(after), after.splits, strict=True) if split == OUT] == ["text 0!"]
    assert facts["keep-splits-apart"]["acrossSplits"] == 1


def test_contents_that_a_step_replaced_are_deleted(tmp_path):
    before = table(tmp_path, ["a *film*", "a tale"])
    after, _ = run(tmp_path, before, step("without-stars", without_stars), step("shouted", shouted))
    assert [path.name for path in tmp_path.iterdir()] == [after.contents.name]


def test_progress_of_steps_goes_from_nothing_to_all(tmp_path):
    def halves(before: RowTable, context: StepContext) -> StepResult:
        context.progress(0.5)
        context.progress(1.0)
        return StepResult(table=before)

    reported: list[float] = []
    before, settings = table(tmp_path, ["a", "b"]), run_config(tmp_path).settings
    run_steps(
        before, [step("x", halves), step("y", halves)], settings=settings, folder=tmp_path, progress=reported.append
    )
    assert reported == [0.25, 0.5, 0.75, 1.0]


def digest(
    tmp_path: Path, *, steps: Any = STEPS, tokenizer: str = "t", limit: int | None = 512, **settings: Any
) -> str:
    (tmp_path / "train.csv").write_text("text,label\na,b\n")
    config = run_config(tmp_path, **settings)
    return dataset_digest(
        locate_sources(config, snapshots=Path()),
        settings=config.settings,
        steps=steps,
        tokenizer_digest=tokenizer,
        limit=limit,
        progress=lambda _done: None,
    )


def test_a_data_set_keeps_its_name_over_releases(tmp_path):
    """Where the stored data changes, `FORMAT_VERSION` is counted up and the name is another. Without a change all data would be prepared again."""
    settings = {"data": {"maxTokens": 64}, "taskOptions": {"tagScheme": "iob2"}, "model_source": {"labels": ["a", "b"]}}
    assert (
        digest(tmp_path, sources=[{"uri": "pvc://work/train.csv"}], **settings)
        == "7fb0aab835e66ca26868bf797dc105571e50f087a853a7a442865df9ff2e4b18"
    )


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"tokenizer": "other"}, id="tokenizer"),
        pytest.param({"limit": 64}, id="longest input of the model"),
        pytest.param({"limit": None}, id="no longest input"),
        pytest.param({"task": "token-classification"}, id="task"),
        pytest.param({"taskOptions": {"tagScheme": "iob2"}}, id="scheme of tags"),
        pytest.param({"data": {"maxTokens": 64}}, id="cut"),
        pytest.param({"data": {"format": "tokens-tags"}}, id="format"),
        pytest.param({"data": {"validateRows": {"maxBadFraction": 0.5}}}, id="tolerated bad rows"),
        pytest.param({"data": {"split": {"seed": 7}}}, id="seed of the split"),
        pytest.param({"data": {"split": {"groupBy": "g"}}}, id="groups"),
        pytest.param({"data": {"deduplicate": {"exact": False}}}, id="duplicates"),
        pytest.param({"data": {"deduplicate": {"acrossSplits": False}}}, id="overlap of splits"),
        pytest.param({"data": {"allowMissingClasses": True}}, id="classes that splits may lack"),
        pytest.param({"model_source": {"labels": ["a", "b"]}}, id="labels"),
        pytest.param({"steps": STEPS[1:]}, id="a step less"),
        pytest.param({"steps": STEPS[::-1]}, id="another order of steps"),
    ],
)  # fmt: skip
def test_all_that_the_data_depends_on_names_it(tmp_path, settings):
    assert digest(tmp_path, **settings) != digest(tmp_path)


@pytest.mark.parametrize(
    "source",
    [
        {"columns": {"text": "body"}},
        {"labelRule": {"above": 1, "names": ["a", "b"]}},
        {"limit": 3},
    ],
)
def test_how_a_source_is_read_names_the_data_too(tmp_path, source):
    assert digest(tmp_path, sources=[{"uri": f"file://{tmp_path / 'train.csv'}", **source}]) != digest(tmp_path)


def test_a_source_for_another_split_makes_other_data(tmp_path):
    source = {"uri": f"file://{tmp_path / 'train.csv'}"}
    assert digest(tmp_path, data={"test": [source]}) != digest(tmp_path, data={"validation": [source]})


@pytest.mark.parametrize("settings", [{"training": {"seed": 7}}, {"method": {"type": "full"}}, {"gang": {"nodes": 2}}])
def test_what_the_data_does_not_depend_on_does_not_name_it(tmp_path, settings):
    assert digest(tmp_path, **settings) == digest(tmp_path)


def test_a_default_that_is_written_out_names_the_same_data(tmp_path):
    assert digest(tmp_path, data={"split": {"seed": 42, "method": "hash"}, "format": "auto"}) == digest(tmp_path)


def test_the_next_version_of_a_step_makes_other_data(tmp_path):
    for index, old in enumerate(STEPS):
        steps = [*STEPS[:index], replace(old, version=old.version + 1), *STEPS[index + 1 :]]
        assert digest(tmp_path, steps=steps) != digest(tmp_path)


def test_a_new_field_with_a_default_changes_no_digest(tmp_path):
    class NextSplit(SplitSettings):
        shuffle_first: bool = False

    class NextData(DataSettings):
        split: NextSplit = NextSplit()
        language: str = "any"

    config = run_config(tmp_path, data={"split": {"seed": 7}})
    wire = config.settings.data.model_dump(mode="json", by_alias=True, exclude_unset=True)
    later = config.settings.model_copy(update={"data": NextData.from_wire(wire)})
    (tmp_path / "train.csv").write_text("text,label\na,b\n")
    names = {
        dataset_digest(
            locate_sources(config, snapshots=Path()),
            settings=settings,
            steps=STEPS,
            tokenizer_digest="t",
            limit=1,
            progress=lambda _: None,
        )
        for settings in (config.settings, later)
    }
    assert len(names) == 1
    shuffled = later.model_copy(update={"data": changed(later.data, split=NextSplit(seed=7, shuffle_first=True))})
    assert STEPS[1].settings(shuffled) != STEPS[1].settings(later)


def test_every_step_has_a_name_of_its_own():
    assert len({known.name for known in STEPS}) == len(STEPS)
    assert np.array([known.version for known in STEPS]).min() >= 1
