"""The task text2text-generation: what a row becomes, and that its loss is that of plain transformers for every family of models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from run_configs import run_config
from tiny_writers import END, SIZES, reversed_words, tiny_writer, word_tokenizer
from transformers import AutoModelForSeq2SeqLM

from tuneloop_trainer.dataset.sequences import Sequences, ShardSequence
from tuneloop_trainer.dataset.shards import IGNORED, LABELS, TokenizedSplit
from tuneloop_trainer.evaluation.intervals import Bootstrap
from tuneloop_trainer.evaluation.predictions import Predictions
from tuneloop_trainer.evaluation.written_texts import sums_of_rows
from tuneloop_trainer.tasks import TASKS, task_of
from tuneloop_trainer.tasks.text2text_generation import TARGET_BYTES, first_sentences, with_end

TASK = TASKS["text2text-generation"]
ROWS = [
    {"source": "ant bee cat", "target": "cat bee ant"},
    {"source": "dog", "target": "dog"},
    {"source": "eel fox gnu hen ibis", "target": "ibis"},
]


def split_of(rows, *, task=TASK) -> TokenizedSplit:
    encoded = task.encode(word_tokenizer(), rows, {})
    ids, targets = [row.input_ids for row in encoded], [row.sequences[LABELS] for row in encoded]
    lengths = np.array(list(map(len, ids)))
    sequence = ShardSequence(values=np.concatenate(targets), offsets=np.cumsum([0, *map(len, targets)]))
    first_rows = np.array([0, len(rows)])
    return TokenizedSplit(
        name="train", lengths=lengths, rows=np.arange(len(rows)), targets=np.array(list(map(len, targets))),
        row_columns={TARGET_BYTES: np.array([row.row_columns[TARGET_BYTES] for row in encoded])},
        ids=(np.concatenate(ids),), token_columns={}, first_rows=first_rows, starts=np.cumsum([0, *lengths[:-1]]),
        sequences={LABELS: Sequences(shards=(sequence,), first_rows=first_rows)},
    )  # fmt: skip


def tensors(batch):
    return {name: torch.from_numpy(array) for name, array in batch.inputs.items()}


def test_a_row_is_read_without_its_target_and_learned_with_its_end():
    (row,) = TASK.encode(word_tokenizer(), ROWS[:1], {})
    assert word_tokenizer().decode(row.input_ids) == "ant bee cat </s>"
    assert word_tokenizer().decode(row.sequences[LABELS]) == "cat bee ant </s>"
    assert row.row_columns == {TARGET_BYTES: len("cat bee ant")}


@pytest.mark.parametrize(
    ("target", "end", "whole"),
    [([5, 6], 1, [5, 6, 1]), ([5, 1], 1, [5, 1]), ([5, 1, 9], 1, [5, 1, 9]), ([5], None, [5])],
)
def test_a_target_ends_with_the_token_for_an_end_or_with_what_the_tokenizer_puts_behind_it(target, end, whole):
    assert with_end(target, end) == whole


def test_the_prefix_of_the_job_stands_before_each_source_and_before_no_target(tmp_path):
    options = {"sourcePrefix": "reverse : ", "maxTargetTokens": 9, "numBeams": 3}
    task = task_of(run_config(tmp_path, task=TASK.name, taskOptions=options).settings)
    (row,) = task.encode(word_tokenizer(), ROWS[:1], {})
    assert task.text_of(ROWS[0]) == "reverse : ant bee cat"
    assert word_tokenizer().decode(row.input_ids) == "reverse : ant bee cat </s>"
    assert word_tokenizer().decode(row.sequences[LABELS]) == "cat bee ant </s>"
    assert (task.generation.max_tokens, task.generation.num_beams) == (9, 3)
    assert 'tokenizer(["reverse : Your text"]' in task.card.loading(1.0)


def test_sources_and_targets_are_padded_each_to_their_own_longest():
    batch = TASK.collate(split_of(ROWS), np.array([2, 1]), 0)
    assert batch.inputs["input_ids"].shape == batch.inputs["attention_mask"].shape == (2, 6)
    assert batch.labels.tolist() == batch.inputs["labels"].tolist()
    assert batch.labels.shape == (2, 2)
    assert batch.inputs["input_ids"][1].tolist()[2:] == [0, 0, 0, 0]
    batch = TASK.collate(split_of(ROWS), np.array([0, 1]), 0)
    assert batch.labels[1].tolist()[1:] == [END, IGNORED, IGNORED]


@pytest.fixture(scope="module", params=[*SIZES, "encoder-decoder"])
def model(request, tmp_path_factory):
    if request.param == "encoder-decoder":
        return encoder_decoder()
    folder = tiny_writer(tmp_path_factory.mktemp(request.param), request.param)
    return AutoModelForSeq2SeqLM.from_pretrained(folder).eval()


def encoder_decoder():
    from transformers import BertConfig, EncoderDecoderConfig, EncoderDecoderModel

    sizes = {
        "vocab_size": 18,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    config = EncoderDecoderConfig.from_encoder_decoder_configs(BertConfig(**sizes), BertConfig(**sizes))
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 3, 0, END
    torch.manual_seed(0)
    return EncoderDecoderModel(config).eval()


def test_the_loss_is_that_of_transformers_and_a_row_of_any_batch_counts_alike(model):
    split = split_of(ROWS)
    whole = TASK.collate(split, np.arange(3), 0)
    with torch.no_grad():
        output = model(**tensors(whole))
        found = TASK.loss_sum(output, torch.from_numpy(whole.labels), 0.0)
        apart = [
            TASK.loss_sum(model(**tensors(batch)), torch.from_numpy(batch.labels), 0.0)
            for batch in (TASK.collate(split, np.array(rows), 0) for rows in ([1], [2, 0]))
        ]
    assert float(found) / split.targets.sum() == pytest.approx(float(output.loss), rel=1e-5)
    assert float(sum(apart)) == pytest.approx(float(found), rel=1e-5)


def test_what_is_kept_of_a_row_is_its_loss_and_its_right_tokens(model):
    split = split_of(ROWS)
    batch = TASK.collate(split, np.arange(3), 0)
    with torch.no_grad():
        output = model(**tensors(batch))
        kept = TASK.target_values(output, torch.from_numpy(batch.labels)).numpy()
        likeliest = output.logits.argmax(dim=-1).numpy()
        total = float(TASK.loss_sum(output, torch.from_numpy(batch.labels), 0.0))
    assert kept.shape == (3, TASK.values_per_line([]))
    assert kept[:, 0].sum() == pytest.approx(total, rel=1e-5)
    assert kept[:, 1].tolist() == [(likeliest[row] == batch.labels[row]).sum() for row in range(3)]
    assert TASK.target_labels(split).tolist() == [[4, 11], [2, 3], [2, 4]]


def test_label_smoothing_is_that_of_torch(model):
    batch = TASK.collate(split_of(ROWS), np.arange(3), 0)
    with torch.no_grad():
        output, labels = model(**tensors(batch)), torch.from_numpy(batch.labels)
        expected = torch.nn.functional.cross_entropy(
            output.logits.flatten(0, 1), labels.flatten(), label_smoothing=0.1, reduction="sum", ignore_index=IGNORED
        )
        assert float(TASK.loss_sum(output, labels, 0.1)) == pytest.approx(float(expected), rel=1e-5)


def test_the_prior_knows_how_often_each_token_is_a_target():
    split = split_of([{"source": "ant", "target": "ant"}, {"source": "bee", "target": "bee"}])  # ant, bee, two ends
    assert TASK.prior_loss(split) == pytest.approx(1.5 * np.log(2))


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One. Two! Three? Four.", "One. Two! Three?"),
        ("It costs 3.5 dollars. Cheap", "It costs 3.5 dollars. Cheap"),
        ("A headline\nThen text. And more. And more.", "A headline Then text. And more."),
        ("一。二。三。四。", "一。 二。 三。"),
        ("no end", "no end"),
    ],
)
def test_the_lead_of_a_text_is_its_first_three_sentences(text, first):
    assert first_sentences(text) == first


def predictions(written: list[str], wanted: list[str]) -> Predictions:
    rows = len(wanted)
    kept = np.concatenate([np.ones((rows, 2)), sums_of_rows(written, wanted)], axis=1).astype(np.float32)
    labels = np.full((rows, 2), 4, dtype=np.int64)
    return Predictions(values=kept, labels=labels, rows=np.arange(rows), offsets=np.arange(rows + 1))


def test_a_model_that_wrote_no_texts_yet_has_the_metrics_of_tokens_alone():
    found = predictions(["a b"], ["a b"])
    alone = Predictions(values=found.values[:, :2], labels=found.labels, rows=found.rows, offsets=found.offsets)
    assert TASK.metrics(alone, []) == pytest.approx(
        {"loss": 0.25, "perplexity": np.exp(0.25), "bits_per_byte": 0.25 / np.log(2), "accuracy": 0.25}
    )
    assert TASK.metrics(found, []).items() > TASK.metrics(alone, []).items()
    assert TASK.metrics(found, [])["exact_match"] == 1


def test_the_results_of_texts_stand_beside_those_of_tokens_with_intervals_over_rows():
    wanted = [row["target"] for row in reversed_words(40)]
    written = [text if number % 4 else "lark" for number, text in enumerate(wanted)]
    test = predictions(written, wanted)
    found = TASK.evaluate(validation=test, test=test, labels=[], bootstrap=Bootstrap(resamples=300))
    values = {metric.name: metric for metric in found.metrics}
    assert values["exact_match"].value == pytest.approx(np.mean([a == b for a, b in zip(written, wanted, strict=True)]))
    assert values.keys() >= {"chrf", "bleu", "rouge1", "rouge2", "rougeL", "length_ratio", "loss", "perplexity"}
    for name in ("chrf", "bleu", "rougeL", "exact_match"):
        assert values[name].low < values[name].value < values[name].high, name
    gain = TASK.gain(test, sums_of_rows(["lark"] * 40, wanted), [], Bootstrap(resamples=300))
    score = TASK.score(test, sums_of_rows(["lark"] * 40, wanted), [], Bootstrap(resamples=300))
    assert gain.value == pytest.approx(values["chrf"].value - score.value)
    assert gain.low > 0
