"""Words with tags through the whole stage: every word keeps its tag, and what the cut takes is counted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from run_configs import run_config
from tiny_models import WORDS, tiny_bert

from tuneloop_api.contract.results import PrepareResult
from tuneloop_trainer.check import plan
from tuneloop_trainer.dataset.shards import open_split, read_rows
from tuneloop_trainer.errors import DataError
from tuneloop_trainer.prepare import prepare
from tuneloop_trainer.report import Reporter
from tuneloop_trainer.tasks.token_classification import TOKEN_CLASSIFICATION


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("model"))


@pytest.fixture
def from_the_left(tmp_path, model) -> Path:
    """Return a model whose tokenizer cuts the beginning of a text."""
    copy = shutil.copytree(model, tmp_path / "from-the-left")
    config = copy / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"truncation_side": "left"}))
    return copy


def report_of(result: PrepareResult) -> dict[str, Any]:
    return json.loads(Path(result.report_path).read_text())


def tagged_sentences(count: int) -> list[list[tuple[str, str]]]:
    """Return sentences of known words, each with a person of one or two words, or a place."""
    sentences = []
    for index in range(count):
        person = [("smart", "B-PER"), ("joy", "I-PER")][: 1 + index % 2]
        spans = person if index % 3 else [("poor", "B-LOC")]
        numbered = [(f"{WORDS[index % 50]}{WORDS[index // 50 % 50]}", "O")]
        sentences.append([*numbered, ("the", "O"), *spans, ("is", "O"), ("good", "O")])
    return sentences


def prepared_tags(
    tmp_path: Path, model: Path, sentences: list[list[tuple[str, str]]], **settings: Any
) -> PrepareResult:
    lines = ["\n".join(f"{word} {tag}" for word, tag in sentence) for sentence in sentences]
    (tmp_path / "train.conll").write_text("\n\n".join(lines) + "\n")
    config = run_config(
        tmp_path, model=model, task="token-classification", sources=[tmp_path / "train.conll"], **settings
    )
    return prepare(config, Reporter(config))


def test_every_word_of_a_sentence_has_its_tag_at_its_first_token(tmp_path, model):
    sentences = tagged_sentences(300)
    result = prepared_tags(tmp_path, model, sentences)
    dataset, found = Path(result.dataset_path), {}
    assert result.resolved.labels == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    for name in ("train", "validation", "test"):
        split = open_split(dataset, name)
        for index, (_, row) in enumerate(read_rows(dataset, name)):
            labels, words = split.token_column("labels", index), split.token_column("words", index)
            first = [words.tolist().index(word) for word in range(len(row["tokens"]))]
            assert [result.resolved.labels[label] for label in labels[first]] == row["tags"]
            assert split.targets[index] == (labels != -100).sum() == len(row["tokens"])
            found[split.rows[index]] = list(zip(row["tokens"], row["tags"], strict=True))
    assert [found[row] for row in range(300)] == sentences
    report = report_of(result)
    assert report["format"] == {"name": "tokens-tags", "tagSchemes": ["iob2"], "writtenAs": "iob2"}
    assert sum(classes["LOC"] for classes in report["classes"].values()) == 100


def test_all_tokens_of_a_word_are_targets_of_training_alone(tmp_path, model):
    sentences = tagged_sentences(300)
    words, tokens = (
        prepared_tags(tmp_path, model, sentences, taskOptions={"labelAllTokens": every}) for every in (False, True)
    )
    assert (tokens.counts, tokens.resolved) == (words.counts, words.resolved)
    assert tokens.dataset_digest != words.dataset_digest
    for name in ("validation", "test"):
        before, after = (open_split(Path(result.dataset_path), name) for result in (words, tokens))
        assert (after.targets == before.targets).all()
        for index in range(len(before.rows)):
            assert (after.token_column("labels", index) == before.token_column("labels", index)).all()
    before, after = (open_split(Path(result.dataset_path), "train") for result in (words, tokens))
    assert (after.rows == before.rows).all()
    assert after.targets.sum() > before.targets.sum()
    for index in range(len(before.rows)):
        labels, of_words = after.token_column("labels", index), before.token_column("labels", index)
        assert after.targets[index] == (labels != -100).sum()
        assert (labels[of_words != -100] == of_words[of_words != -100]).all()


def test_the_baselines_count_words_also_where_training_counts_tokens(tmp_path, model):
    sentences = [[("the." * 8 + word, "B-PER"), ("is", "O"), (f"{word}{WORDS[index // 50]}", "O")] for index, word in enumerate(WORDS[:50] * 6)]  # fmt: skip
    results = [
        prepared_tags(tmp_path, model, sentences, taskOptions={"labelAllTokens": every}) for every in (False, True)
    ]
    words, tokens = (
        TOKEN_CLASSIFICATION.fit_baselines(Path(result.dataset_path), seed=0, beat=lambda _done: None)
        for result in results
    )
    assert [baseline.name for baseline in tokens] == ["majority", "most-frequent-tag"]
    for of_words, of_tokens in zip(words, tokens, strict=True):
        assert (of_tokens.predicted == of_words.predicted).all()


def test_a_row_whose_words_all_fall_to_the_cut_is_left_out_and_counted(tmp_path, from_the_left):
    long_word = [("the." * 20, "B-PER")]
    result = prepared_tags(tmp_path, from_the_left, [*tagged_sentences(300), long_word], data={"maxTokens": 8})
    report, dataset = report_of(result), Path(result.dataset_path)
    assert sum(report["tokens"]["withoutTarget"].values()) == 1
    assert result.counts.rows == sum(report["rows"].values()) == 300
    assert sum(len(list(read_rows(dataset, name))) for name in ("train", "validation", "test")) == 300
    assert all((open_split(dataset, name).targets > 0).all() for name in ("train", "validation", "test"))
    assert sum(classes["PER"] for classes in report["classes"].values()) == 200


def test_a_cut_that_leaves_a_split_without_any_word_is_refused(tmp_path, from_the_left):
    sentences = [[("the." * 20 + WORDS[index % 50] + WORDS[index // 50], "B-PER")] for index in range(300)]
    with pytest.raises(DataError, match="data.maxTokens: 8 tokens hold nothing to learn of any row of the train split"):
        prepared_tags(tmp_path, from_the_left, sentences, data={"maxTokens": 8})


def test_a_plan_has_the_labels_and_rows_that_prepare_would_find(tmp_path, model):
    result = prepared_tags(tmp_path, model, tagged_sentences(300))
    config = run_config(tmp_path, model=model, task="token-classification", sources=[tmp_path / "train.conll"])
    found = plan(config)
    assert found.resolved == result.resolved
    assert found.rows == result.counts.splits
    assert found.sampled == result.counts.splits["train"]
    assert found.problems == []
