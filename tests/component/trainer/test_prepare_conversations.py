"""What cannot be learned from is refused in `prepare`, in one message with counts; what is cut is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from run_configs import run_config
from tiny_language_models import ALTERNATES, CHATML, conversations, pairs, tiny_byte_tokenizer, tiny_decoder, write_rows
from transformers import BertConfig, BertLMHeadModel

from tuneloop_api.contract.results import PrepareResult
from tuneloop_trainer.errors import ConfigError, DataError, StageError
from tuneloop_trainer.export.champion.rows import recent_rows
from tuneloop_trainer.prepare import prepare
from tuneloop_trainer.report import Reporter

BEHIND_PROMPTS = [{"prompt": "x" * 300 + str(number), "completion": "yes"} for number in range(30)]
ASKED = {"messages": [{"role": "user", "content": "sure?"}]}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("model"))


def prepared(folder: Path, model: Path, rows: list[dict[str, Any]], **settings: Any) -> PrepareResult:
    source = write_rows(folder / "train.jsonl", rows)
    config = run_config(folder, task="text-generation", sources=[source], model=model, **settings)
    return prepare(config, Reporter(config))


@pytest.mark.parametrize(
    ("rows", "settings", "error", "message", "hint"),
    [
        ([*conversations(8), ASKED, ASKED], {}, DataError, "2 of 10 rows cannot be used: 2 conversation without a turn of the assistant", "give each conversation an answer"),
        ([*pairs(8), {"prompt": "a", "completion": " "}], {"data": {"format": "prompt-completion"}}, DataError, "1 of 9 rows cannot be used: 1 empty completion", "give each prompt the text that follows it"),
        (conversations(30), {"model_source": {"chatTemplate": ALTERNATES}}, DataError, "the chat template fails for 10 of 30 conversations; the first: roles must alternate", "model.chatTemplate"),
        (pairs(8), {"data": {"format": "text-label"}}, ConfigError, "the task text-generation does not learn from text-label", "messages or prompt-completion or text"),
        (BEHIND_PROMPTS, {"data": {"format": "prompt-completion"}}, DataError, "256 tokens hold nothing to learn of any row of the train split", "the model reads no more"),
        (BEHIND_PROMPTS, {"data": {"format": "prompt-completion", "maxTokens": 64}}, DataError, "64 tokens hold nothing to learn of any row of the train split", "set data.maxTokens higher"),
    ],
    ids=["no answer", "an empty completion", "a template that fails", "another format", "prompts that fill the model", "prompts that fill the cut"],
)  # fmt: skip
def test_rows_that_cannot_be_learned_from_are_refused(
    tmp_path: Path, model: Path, rows: Any, settings: Any, error: type[StageError], message: str, hint: str
) -> None:
    with pytest.raises(error, match=message) as refused:
        prepared(tmp_path, model, rows, **settings)
    assert hint in refused.value.hint


def test_bad_rows_that_are_tolerated_are_left_out_and_counted(tmp_path, model):
    found = prepared(tmp_path, model, [*conversations(60), ASKED], data={"validateRows": {"maxBadFraction": 0.1}})
    assert (found.counts.rows, found.counts.bad) == (60, 1)


def test_a_cut_is_counted_and_rows_whose_answers_it_takes_are_left_out(tmp_path, model):
    long = [{"prompt": "what colour is snow? " * 20, "completion": f" white {number}."} for number in range(5)]
    tail = [{"prompt": f"{number}?", "completion": " white" * 60} for number in range(7)]
    found = prepared(tmp_path, model, [*pairs(60), *long, *tail], data={"format": "prompt-completion", "maxTokens": 48})
    assert found.counts.truncated == 12
    assert found.counts.rows == 67
    assert any("5 have nothing to learn before the cut" in note for note in found.notes)


def test_recent_rows_of_a_comparison_have_no_classes_either(tmp_path, model):
    found = prepared(tmp_path, model, pairs(60), data={"format": "prompt-completion"})
    recent = write_rows(tmp_path / "recent.jsonl", [*pairs(60)[:5], *pairs(20, seed=9)])
    beside = {"uri": "file:///champion", "recent": [{"uri": f"file://{recent}"}]}
    data, evaluation = {"format": "prompt-completion"}, {"compareWith": beside}
    config = run_config(tmp_path, task="text-generation", model=model, data=data, evaluation=evaluation)
    rows = recent_rows(config, Path(found.dataset_path), labels=[])
    assert rows is not None
    assert 0 < len(rows.rows) <= 20


def test_a_model_that_reads_both_ways_is_refused(tmp_path):
    tokenizer = tiny_byte_tokenizer(template=CHATML)
    tokenizer.save_pretrained(tmp_path / "bert")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertLMHeadModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(tmp_path / "bert")
    with pytest.raises(ConfigError, match="text-generation works with decoders alone"):
        prepared(tmp_path, tmp_path / "bert", conversations(60))
