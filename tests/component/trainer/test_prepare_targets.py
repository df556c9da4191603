"""Rows with a text to write, prepared with a real (tiny) model: what is stored, and which targets the model cannot make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from run_configs import run_config
from tiny_writers import reversed_words, tiny_writer, word_tokenizer, write_rows

from tuneloop_api.contract.results import PrepareResult
from tuneloop_trainer.dataset.shards import LABELS, open_split, read_rows
from tuneloop_trainer.errors import ConfigError, DataError, ModelAccessError
from tuneloop_trainer.prepare import prepare
from tuneloop_trainer.report import Reporter


@pytest.fixture(scope="module")
def bart(tmp_path_factory) -> Path:
    return tiny_writer(tmp_path_factory.mktemp("bart"), "bart")


def prepared(folder: Path, model: Path, rows: list[dict[str, str]], **settings: Any) -> PrepareResult:
    sources = [write_rows(folder / "rows.jsonl", rows)]
    options = {"taskOptions": {"maxTargetTokens": 8}, "method": {"type": "full"}} | settings
    config = run_config(folder, model=model, task="text2text-generation", sources=sources, **options)
    return prepare(config, Reporter(config))


def test_each_row_is_stored_as_the_tokens_of_its_source_and_of_its_target(tmp_path, bart):
    rows, tokenizer = reversed_words(60), word_tokenizer()
    result = prepared(tmp_path, bart, rows, preflight={"rehearsal": True})
    assert result.rehearsal is not None
    assert result.rehearsal.startswith("trained, saved, exported and loaded this model")
    assert result.memory is not None
    assert (result.counts.rows, result.counts.bad, result.resolved.labels) == (60, 0, [])
    for name in ("train", "validation", "test"):
        split = open_split(Path(result.dataset_path), name)
        for index, (_, row) in enumerate(read_rows(Path(result.dataset_path), name)):
            assert split.tokens(index).tolist() == tokenizer(row["source"])["input_ids"]
            assert split.sequences[LABELS].of_row(index).tolist() == tokenizer(row["target"])["input_ids"]
            assert split.targets[index] == len(row["target"].split()) + 1


LONG = [{"source": f"lark {row['source']}", "target": " ".join(["lark"] * 8)} for row in reversed_words(3)]


def test_targets_that_are_too_long_are_refused_at_once_with_their_number_their_places_and_what_to_do(tmp_path, bart):
    with pytest.raises(DataError) as refused:
        prepared(tmp_path, bart, [*reversed_words(57), *LONG])
    assert "3 of 60 rows cannot be used: 3 target has more tokens than taskOptions.maxTargetTokens" in str(
        refused.value
    )
    assert "rows.jsonl line 58" in str(refused.value)
    assert "9 tokens" in str(refused.value)
    assert "set taskOptions.maxTargetTokens to at least" in str(refused.value.hint)
    assert "data.validate.maxBadFraction: 0.05" in str(refused.value.hint)
    assert list((tmp_path / "datasets").iterdir()) == []


def test_targets_that_are_too_long_are_left_out_and_counted_where_that_is_tolerated(tmp_path, bart):
    rows = [*reversed_words(57), *LONG]
    result = prepared(tmp_path, bart, rows, data={"validateRows": {"maxBadFraction": 0.05}})
    report = json.loads(Path(result.report_path).read_text())
    assert (result.counts.rows, result.counts.bad) == (57, 3)
    assert report["bad"]["reasons"] == {"target has more tokens than taskOptions.maxTargetTokens": 3}
    assert sum(report["tokens"]["withoutTarget"].values()) == 0


@pytest.mark.parametrize("given", [{}, {"maxTokens": 16}], ids=["the cut is chosen", "the cut is given"])
@pytest.mark.parametrize("empty", ["train", "test"])
def test_a_split_whose_targets_are_all_too_long_is_named(tmp_path, bart, empty, given):
    rows = {"train": reversed_words(40), "validation": reversed_words(70)[60:]} | {
        "test": reversed_words(60)[45:],
        empty: LONG,
    }
    files = {name: [{"uri": write_rows(tmp_path / f"{name}.jsonl", found).as_uri()}] for name, found in rows.items()}
    config = run_config(
        tmp_path,
        model=bart,
        task="text2text-generation",
        sources=[tmp_path / "train.jsonl"],
        data={
            "validateRows": {"maxBadFraction": 0.5},
            "validation": files["validation"],
            "test": files["test"],
            **given,
        },
        taskOptions={"maxTargetTokens": 8},
        method={"type": "full"},
    )
    with pytest.raises(DataError, match=f"maxTargetTokens: every target of the {empty} split has more than 8 tokens"):
        prepare(config, Reporter(config))


def test_memory_is_planned_for_targets_that_are_longer_than_their_sources(tmp_path, bart):
    planned = {}
    for length in (4, 40):
        folder = tmp_path / str(length)
        folder.mkdir()
        rows = [{"source": row["source"], "target": " ".join(["lark"] * length)} for row in reversed_words(60)]
        found = prepared(folder, bart, rows, data={"maxTokens": 8}, taskOptions={"maxTargetTokens": 48})
        planned[length] = found.memory.activations
    assert planned[40] > 4 * planned[4]  # 41 tokens with the end, where 8 are read


def test_targets_longer_than_the_decoder_has_positions_are_refused_before_any_row_is_read(tmp_path, bart):
    with pytest.raises(
        ConfigError, match=r"taskOptions.maxTargetTokens: 49 is more than the model can make: 48 tokens"
    ):
        prepared(tmp_path, bart, [], taskOptions={"maxTargetTokens": 49})


def test_a_model_that_writes_no_text_is_refused_by_its_type(tmp_path, model):
    with pytest.raises(
        ModelAccessError, match="models of type 'bert' cannot be used for text2text-generation"
    ) as refused:
        prepared(tmp_path, model, reversed_words(40))
    assert "t5, bart, mbart or pegasus" in str(refused.value.hint)


def test_a_model_whose_texts_begin_with_no_token_is_refused(tmp_path):
    folder = tiny_writer(tmp_path / "model", "t5", decoder_start_token_id=None)
    for name in ("config.json", "generation_config.json"):
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), "decoder_start_token_id": None}))
    with pytest.raises(ModelAccessError, match="config.json has no decoder_start_token_id"):
        prepared(tmp_path, folder, reversed_words(40), preflight={"rehearsal": True})
