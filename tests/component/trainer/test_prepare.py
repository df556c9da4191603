"""The whole stage, on a real (tiny) model: what it writes, what it finds again, how it refuses."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from run_configs import run_config
from tiny_models import sentences, write_csv
from transformers import AutoTokenizer

from tuneloop_api.contract.results import PrepareResult
from tuneloop_api.wire.model import changed
from tuneloop_trainer.data import folder as dataset_folder
from tuneloop_trainer.dataset.shards import GROUPS, open_split, read_manifest, read_texts
from tuneloop_trainer.errors import ConfigError, DataError, StorageError
from tuneloop_trainer.prepare import prepare
from tuneloop_trainer.report import Reporter

FULL = {"type": "full"}
"""Prepare plans the memory of the run each time, and that of adapters takes twice as long."""


def run(tmp_path: Path, model: Path, rows: list[tuple[str, str]] | None = None, **settings: Any) -> PrepareResult:
    write_csv(tmp_path / "train.csv", sentences(400) if rows is None else rows)
    return again(tmp_path, model, **settings)


def again(tmp_path: Path, model: Path, **settings: Any) -> PrepareResult:
    config = run_config(tmp_path, model=model, **{"method": FULL} | settings)
    return prepare(config, Reporter(config))


@dataclass(frozen=True)
class Prepared:
    """A data set that was prepared once for the tests here."""

    folder: Path
    result: PrepareResult


@pytest.fixture(scope="module")
def prepared(model, tmp_path_factory) -> Prepared:
    """400 sentences with the usual settings, for tests that leave them as they are."""
    folder = tmp_path_factory.mktemp("prepared")
    return Prepared(folder, run(folder, model))


def report_of(result: PrepareResult) -> dict[str, Any]:
    return json.loads(Path(result.report_path).read_text())


def test_every_row_lies_in_one_split_as_its_tokens_and_its_text(prepared, model):
    result = prepared.result
    tokenizer = AutoTokenizer.from_pretrained(model)
    dataset, stored = Path(result.dataset_path), {}
    for name in ("train", "validation", "test"):
        split = open_split(dataset, name)
        texts = list(read_texts(dataset, name))
        assert split.rows.tolist() == [row for row, _, _ in texts] == sorted(split.rows.tolist())
        for index, (row, text, label) in enumerate(texts):
            assert split.tokens(index).tolist() == tokenizer(text)["input_ids"]
            assert result.resolved.labels[split.row_column("labels")[index]] == label
            stored[row] = (text, label)
    assert [stored[row] for row in range(400)] == sentences(400)


def test_the_result_says_what_was_found_and_chosen(prepared, model):
    result = prepared.result
    assert result.counts.rows == sum(result.counts.splits.values()) == 400
    assert result.resolved.labels == ["class-0", "class-1"]
    assert result.resolved.max_tokens <= 16
    assert (result.model_type, result.model_path) == ("bert", str(model))
    assert result.model_revision.startswith("sha256:")
    assert Path(result.dataset_path).name == result.dataset_digest
    assert (Path(result.dataset_path) / "tokenizer" / "tokenizer.json").is_file()
    assert report_of(result)["leakage"] == {
        "sharedTexts": {"train+validation": 0, "train+test": 0, "validation+test": 0},
        "passed": True,
    }


def test_the_same_inputs_are_prepared_once(prepared, model):
    first = prepared.result
    written = {path: path.stat().st_mtime_ns for path in Path(first.dataset_path).rglob("*")}
    second = again(prepared.folder, model, training={"epochs": 5})
    assert (first.cache_hit, second.cache_hit) == (False, True)
    assert second.dataset_digest == first.dataset_digest
    assert second.resolved.total_steps == 5 * first.resolved.total_steps
    assert {path: path.stat().st_mtime_ns for path in Path(first.dataset_path).rglob("*")} == written


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"data": {"maxTokens": 8}}, id="the cut"),
        pytest.param({"data": {"split": {"seed": 7}}}, id="the seed"),
        pytest.param({"model_source": {"labels": ["class-1", "class-0"]}}, id="the order of the classes"),
    ],
)
def test_another_setting_makes_another_data_set(prepared, model, settings):
    assert again(prepared.folder, model, **settings).dataset_digest != prepared.result.dataset_digest


def test_other_contents_make_another_data_set(tmp_path, model):
    assert run(tmp_path, model).dataset_digest != run(tmp_path, model, sentences(401)).dataset_digest


@pytest.mark.parametrize("name", ["train-00000.safetensors", "test-00000.parquet", "tokenizer/tokenizer.json"])
def test_a_damaged_data_set_is_prepared_again(prepared, model, name):
    shard = Path(prepared.result.dataset_path) / name
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    second = again(prepared.folder, model)
    assert not second.cache_hit
    assert shard.read_bytes() == whole


def test_rows_that_repeat_are_dropped_or_bad_are_counted(tmp_path, model):
    rows = [*((text, "1" if label == "class-1" else "-1") for text, label in sentences(400))]
    extra = [(rows[0][0].upper(), "1"), ("a film", "0.1"), ("", "1"), ("the story", "many")]
    source = {
        "uri": f"file://{tmp_path / 'train.csv'}",
        "labelRule": {"above": 0, "names": ["bad", "good"], "dropWithin": 0.5},
    }
    result = run(tmp_path, model, rows + extra, sources=[source], data={"validateRows": {"maxBadFraction": 0.01}})
    assert (result.counts.rows, result.counts.duplicates, result.counts.bad) == (400, 1, 2)
    report = report_of(result)
    assert report["dropped"] == 1
    assert report["bad"]["reasons"] == {"missing text": 1, "label is not a number": 1}
    assert [sample["place"] for sample in report["bad"]["samples"]] == [
        f"file://{tmp_path}/train.csv line {n}" for n in (404, 405)
    ]
    assert report["duplicates"]["conflictingLabels"] == 1


def test_a_format_that_the_task_does_not_learn_from_is_refused(tmp_path, model):
    with pytest.raises(ConfigError, match="the task text-classification does not learn from tokens-tags") as refused:
        run(tmp_path, model, data={"format": "tokens-tags"})
    assert "data.format: text-label" in refused.value.hint


def test_words_with_tags_are_refused_where_a_text_is_to_be_classified(tmp_path, model):
    (tmp_path / "a.conll").write_text("Ada B-PER\n")
    with pytest.raises(DataError, match="a CoNLL file holds tokens and tags") as refused:
        again(tmp_path, model, sources=[tmp_path / "a.conll"])
    assert "token-classification" in refused.value.hint


def test_long_rows_are_cut_and_counted(tmp_path, model):
    long = [(f"{text} " + "the film is a very long tale " * 30, label) for text, label in sentences(200)]
    result = run(tmp_path, model, [*long, *((f"fresh {text}", label) for text, label in sentences(200))])
    assert result.resolved.max_tokens == 64
    assert result.counts.truncated == 200
    assert max(open_split(Path(result.dataset_path), "train").lengths) == 64
    assert report_of(result)["tokens"]["percentiles"]["train"]["100"] > 200


def test_a_text_of_which_the_tokenizer_makes_nothing_is_named(tmp_path, model):
    bare = shutil.copytree(model, tmp_path / "bare")
    for name, change in (
        ("tokenizer.json", {"post_processor": None}),
        ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"}),
    ):
        (bare / name).write_text(json.dumps(json.loads((bare / name).read_text()) | change))
    with pytest.raises(
        DataError, match=r"train.csv line 402: the model's tokenizer makes no token of the text: it begins with U\+0001"
    ):
        run(tmp_path, bare, [*sentences(400), ("\x01", "class-0")])
    assert list((tmp_path / "datasets").iterdir()) == []


def test_names_of_a_label_rule_that_are_no_classes_are_refused(tmp_path, model):
    rule = {"above": 0, "names": ["bad", "good"]}
    source = {"uri": f"file://{tmp_path / 'train.csv'}", "labelRule": rule}
    with pytest.raises(ConfigError, match=r"data.train\[0\].labelRule.names: bad, good are not all in model.labels"):
        run(tmp_path, model, [("a film", "1")], sources=[source], model_source={"labels": ["negative", "positive"]})


def test_given_splits_are_used_as_they_are(tmp_path, model):
    rows = sentences(120)
    for name, part in (("validation", rows[60:80]), ("test", rows[80:])):
        write_csv(tmp_path / f"{name}.csv", part)
    data = {name: [{"uri": f"file://{tmp_path / name}.csv"}] for name in ("validation", "test")}
    result = run(tmp_path, model, rows[:60], data=data)
    assert result.counts.splits == {"train": 60, "validation": 20, "test": 40}
    assert [text for _, text, _ in read_texts(Path(result.dataset_path), "test")] == [text for text, _ in rows[80:]]


def test_a_data_set_with_groups_says_which_rows_belong_together(tmp_path, model):
    rows = sentences(120)
    with (tmp_path / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label", "user"), *((*row, index // 3) for index, row in enumerate(rows))])
    result = again(tmp_path, model, data={"split": {"groupBy": "user"}})
    split = open_split(Path(result.dataset_path), "test")
    users = split.rows // 3
    assert [list(split.row_column(GROUPS) == group) for group in split.row_column(GROUPS)] == [
        list(users == user) for user in users
    ]


def test_a_champion_that_is_not_there_is_refused_before_training(tmp_path, model):
    with pytest.raises(ConfigError, match="evaluation.compareWith: file:///gone is no whole artifact"):
        run(tmp_path, model, evaluation={"compareWith": {"uri": "file:///gone"}})


def test_a_refused_run_leaves_no_files(tmp_path, model):
    with pytest.raises(DataError, match="1 of 401 rows cannot be used: 1 missing label") as refused:
        run(tmp_path, model, [*sentences(400), ("a film", "")])
    assert refused.value.hint.startswith("mend these rows")
    assert list((tmp_path / "datasets").iterdir()) == []


def test_a_header_without_rows_is_refused(tmp_path, model):
    with pytest.raises(DataError, match=r"data.train\[0\]: file://.*train.csv has no rows"):
        run(tmp_path, model, [])


def test_more_tokens_than_the_model_reads_are_refused(tmp_path, model):
    with pytest.raises(ConfigError, match="data.maxTokens: 65 is more than the model can read: 64 tokens"):
        run(tmp_path, model, data={"maxTokens": 65})


def test_a_draft_of_a_killed_run_is_deleted(tmp_path, model):
    uid = run_config(tmp_path).job.uid
    left = tmp_path / "datasets" / f".{'0' * 64}.{uid}.draft"
    left.mkdir(parents=True)
    result = run(tmp_path, model)
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == [result.dataset_digest]


def test_of_two_runs_at_once_the_first_folder_stays(prepared):
    folder, copy = Path(prepared.result.dataset_path), prepared.folder / "datasets" / ".copy"
    shutil.copytree(folder, copy)
    before = (folder / "dataset.json").stat().st_ino
    dataset_folder.publish(copy, read_manifest(folder), folder=folder)
    assert (folder / "dataset.json").stat().st_ino == before


def test_too_little_space_is_an_error_before_any_work(tmp_path, model, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    message = r"job: no space left: the job needs about 17 MiB \(data set 16 MiB, checkpoints .*\), 1 MiB are free"
    with pytest.raises(StorageError, match=message):
        run(tmp_path, model)
    assert not any((tmp_path / "datasets").iterdir())


def test_ranks_that_do_not_fit_into_their_pod_are_refused_with_what_would(tmp_path, model):
    gang = {"gpusPerNode": 0, "processesPerNode": 2, "memoryBytes": 2**30}
    with pytest.raises(ConfigError, match=r"resources.memory: 1.0 GiB is too little: 2 ranks need 1.6 GiB") as refused:
        run(tmp_path, model, gang=gang)
    assert refused.value.hint == "set resources.memory: at least 2Gi"


def test_the_plan_of_memory_is_part_of_the_result(tmp_path, model):
    plan = run(tmp_path, model, method=FULL).memory
    assert plan.weights == plan.gradients == plan.optimizer // 2
    assert plan.total == plan.weights + plan.gradients + plan.optimizer + plan.activations + plan.framework


def test_a_run_that_begins_again_removes_the_checkpoints_of_earlier_runs_and_never_its_own(tmp_path, model):
    write_csv(tmp_path / "train.csv", sentences(400))
    config = run_config(tmp_path, model=model, method=FULL)
    checkpoint = Path(config.paths.job_dir) / "checkpoints" / "step-00000010-a1"
    left = []
    for run in (None, "first", "first", "second"):
        checkpoint.mkdir(parents=True, exist_ok=True)
        prepare(changed(config, fresh_run_id=run), Reporter(config))
        left.append(checkpoint.exists())
    assert left == [True, False, True, False]


def test_rows_that_were_left_out_and_labels_that_look_alike_are_noted_also_for_data_from_the_cache(tmp_path, model):
    rows = [(text, ("True", "true", "false")[index % 3]) for index, (text, _) in enumerate(sentences(600))]
    rows += [(text, "false") for text, _ in rows[:300]]
    first = run(tmp_path, model, rows)
    assert first.notes == [
        "300 of 900 rows were left out: 300 repeat the text of an earlier row (data.deduplicate.exact)",
        (
            "200 rows have the text of an earlier row and another label, for example "
            f"file://{tmp_path}/train.csv line 602: the first label stays; give each text one label"
        ),
        (
            "labels that look alike are different classes: 'True' (200 rows) and 'true' (200 rows): "
            "write each class in one way, or name the classes in model.labels"
        ),
    ]
    second = again(tmp_path, model)
    assert (second.cache_hit, second.notes) == (True, first.notes)
