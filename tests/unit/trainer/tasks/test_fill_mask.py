"""The rows and batches of fill-mask: which tokens may be masked, that batches do not depend on the batch, and what the baseline predicts."""

from __future__ import annotations

import math
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_masked import MASKED, masked_tokenizer
from tiny_models import WORDS, tiny_tokenizer, tiny_tokenizers

from tuneloop_api.contract.settings import TaskOptionSettings
from tuneloop_trainer.data.pipeline import _tokenizer_facts
from tuneloop_trainer.data.tokenize import wrap
from tuneloop_trainer.dataset.shards import IGNORED, LABELS, TokenizedSplit, TokenizerFacts
from tuneloop_trainer.errors import ConfigError, ModelAccessError
from tuneloop_trainer.evaluation.masked_language import unigram_sums
from tuneloop_trainer.tasks.fill_mask import FILL_MASK as TASK
from tuneloop_trainer.tasks.fill_mask import UNITS
from tuneloop_trainer.tasks.language_model import BYTES
from tuneloop_trainer.tasks.masking import NO_UNIT
from tuneloop_trainer.tasks.task import EncodedRow

MASK, PAD = 4, 0
TOKENIZERS = cache(masked_tokenizer)
TEXTS = st.lists(st.sampled_from(["Ada", "Lovelace", "Zugspitze", "Österreich,", "東京は日本の首都です。", "—"]), min_size=1, max_size=9).map(" ".join)  # fmt: skip


def task(**options):
    return TASK.with_options(TASK, SimpleNamespace(task_options=TaskOptionSettings(**options)))


def encoded(architecture: str, text: str, **options) -> EncodedRow:
    (row,) = task(**options).encode(TOKENIZERS(architecture), [{"text": text}], {})
    return row


@pytest.mark.parametrize("architecture", MASKED)
@settings(max_examples=15, deadline=None)
@given(text=TEXTS, whole_word=st.booleans())
def test_all_tokens_may_be_masked_but_the_special_ones(architecture, text, whole_word):
    row = encoded(architecture, text, whole_word=whole_word)
    special = np.isin(row.input_ids, TOKENIZERS(architecture).all_special_ids)
    assert ((row.token_columns[UNITS] == NO_UNIT) == special).all()
    assert special[[0, -1]].all()


@pytest.mark.parametrize("architecture", MASKED)
@settings(max_examples=15, deadline=None)
@given(text=TEXTS)
def test_the_bytes_of_the_tokens_are_those_of_the_text(architecture, text):
    total = int(encoded(architecture, text).token_columns[BYTES].sum())
    assert len(text.strip().encode()) <= total <= len(text.encode())


@pytest.mark.parametrize("architecture", MASKED)
def test_the_tokens_of_a_word_are_one_unit_only_if_that_is_asked_for(architecture):
    words = encoded(architecture, "Zugspitze Lovelace Zugspitze", whole_word=True).token_columns[UNITS]
    alone = encoded(architecture, "Zugspitze Lovelace Zugspitze").token_columns[UNITS]
    assert len(set(words[words != NO_UNIT].tolist())) == 3
    assert len(set(alone[alone != NO_UNIT].tolist())) == (alone != NO_UNIT).sum() > 3


def test_a_run_of_tokens_without_spaces_is_no_word():
    units = encoded("xlm-roberta", "Ada " + "東京は日本の首都" * 6, whole_word=True).token_columns[UNITS]
    assert len(set(units.tolist())) > 16


def test_a_tokenizer_that_knows_no_words_cannot_mask_them_whole():
    tokenizer = tiny_tokenizers()["BPE, spaces as letters"]
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    task().encode(tokenizer, [{"text": "fine film"}], {})
    with pytest.raises(ConfigError, match="wholeWord: the tokenizer of model.uri does not divide a text into words"):
        task(whole_word=True).encode(tokenizer, [{"text": "fine film"}], {})


def test_a_tokenizer_without_a_mask_token_is_refused():
    tokenizer = tiny_tokenizers()["words"]
    with pytest.raises(ModelAccessError, match="has no mask token"):
        TASK.encode(tokenizer, [{"text": "fine"}], {})


def test_unknown_tokens_are_never_targets():
    tokenizer = tiny_tokenizer()
    (row,) = TASK.encode(tokenizer, [{"text": f"{WORDS[0]} 日"}], {})
    units = dict(zip(tokenizer.convert_ids_to_tokens(row.input_ids), row.token_columns[UNITS].tolist(), strict=True))
    assert units["[UNK]"] == NO_UNIT != units[WORDS[0]]


def test_a_row_of_unknown_tokens_alone_has_no_target():
    row = EncodedRow(input_ids=np.array([1, 2], dtype=np.int32), token_columns={UNITS: np.array([NO_UNIT, NO_UNIT])})
    assert (TASK.with_targets(row, 3).token_columns[LABELS] == IGNORED).all()


@pytest.mark.parametrize(("probability", "targets"), [(0.15, 3), (0.5, 10), (0.01, 1)])
def test_the_share_of_the_targets_is_the_mask_probability_of_the_row_after_the_cut(probability, targets):
    row = EncodedRow(
        input_ids=np.arange(10, 32, dtype=np.int32),
        token_columns={UNITS: np.array([NO_UNIT, *range(20), NO_UNIT], dtype=np.int32)},
    )
    labels = task(mask_probability=probability).with_targets(row, 3).token_columns[LABELS]
    assert (labels != IGNORED).sum() == targets


def split_of(lengths: list[int], *, seed: int = 0) -> TokenizedSplit:
    """Rows of random words, as `prepare` writes them; the first and the last token of each are special."""
    generator = np.random.default_rng(seed)
    rows = []
    for number, length in enumerate(lengths):
        ids = np.array([1, *generator.integers(10, 50, length), 2], dtype=np.int32)
        units = np.array([NO_UNIT, *np.sort(generator.integers(0, length, length)), NO_UNIT], dtype=np.int32)
        row = EncodedRow(input_ids=ids, token_columns={UNITS: units, BYTES: np.full(length + 2, 2, dtype=np.int32)})
        rows.append(TASK.with_targets(row, 100 + number))
    return TokenizedSplit(
        name="train",
        lengths=np.array(lengths) + 2,
        rows=100 + np.arange(len(lengths)),
        targets=np.array([(row.token_columns[LABELS] != IGNORED).sum() for row in rows]),
        row_columns={},
        ids=(np.concatenate([row.input_ids for row in rows]),),
        token_columns={name: (np.concatenate([row.token_columns[name] for row in rows]),) for name in rows[0].token_columns},
        first_rows=np.array([0, len(lengths)]),
        starts=np.cumsum([0, *(length + 2 for length in lengths[:-1])]),
        tokenizer=TokenizerFacts(files_digest="", pad_token_id=PAD, special_tokens=2, size=50, mask_token_id=MASK, special_token_ids=[0, 1, 2, 3, MASK]),
    )  # fmt: skip


LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=8)


@settings(deadline=None)
@given(LENGTHS, st.integers(0, 9))
def test_measurements_have_the_targets_that_prepare_has_written(lengths, seed):
    split = split_of(lengths, seed=seed)
    rows = np.arange(len(lengths))
    batch = TASK.collate(split, rows, PAD)
    for line, row in enumerate(rows):
        length = split.lengths[row]
        assert (batch.labels[line, :length] == split.token_column(LABELS, row)).all()
        assert (batch.labels[line, length:] == IGNORED).all()
        assert (batch.inputs["input_ids"][line, length:] == PAD).all()


@settings(deadline=None)
@given(LENGTHS, st.integers(0, 9), st.integers(0, 5), st.data())
def test_what_a_row_is_in_an_epoch_does_not_depend_on_the_batch_that_it_is_in(lengths, seed, epoch, data):
    split = split_of(lengths, seed=seed)
    rows = np.array(data.draw(st.permutations(range(len(lengths)))))
    together = TASK.collate_for_training(split, rows, PAD, seed=seed, epoch=epoch)
    for line, row in enumerate(rows):
        alone = TASK.collate_for_training(split, np.array([row]), PAD, seed=seed, epoch=epoch)
        length = split.lengths[row]
        assert (together.labels[line, :length] == alone.labels[0]).all()
        assert (together.inputs["input_ids"][line, :length] == alone.inputs["input_ids"][0]).all()


@settings(deadline=None)
@given(LENGTHS, st.integers(0, 9), st.integers(0, 5))
def test_a_row_has_as_many_targets_in_every_epoch_as_the_schedule_counts(lengths, seed, epoch):
    split = split_of(lengths, seed=seed)
    batch = TASK.collate_for_training(split, np.arange(len(lengths)), PAD, seed=seed, epoch=epoch)
    assert ((batch.labels != IGNORED).sum(axis=1) == split.targets).all()


def test_epochs_have_masks_of_their_own_and_no_special_token_is_read_for_another():
    split = split_of([5000])
    first, second = (TASK.collate_for_training(split, np.array([0]), PAD, seed=1, epoch=epoch) for epoch in (0, 1))
    assert (first.labels != second.labels).any()
    changed = first.inputs["input_ids"][0] != split.tokens(0)
    assert changed.any()
    assert not set(first.inputs["input_ids"][0][changed].tolist()) & {0, 1, 2, 3}


@pytest.mark.parametrize("architecture", MASKED)
def test_no_token_is_read_for_another_that_the_model_has_no_embedding_for(architecture):
    tokenizer = masked_tokenizer(architecture)
    embeddings = len(tokenizer)
    tokenizer.add_tokens([f"added{number}" for number in range(40)])
    model = SimpleNamespace(tokenizer_digest="", max_tokens=None)
    plain = _tokenizer_facts(model, wrap(tokenizer, vocabulary=embeddings)).plain_ids
    expected = (
        set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids) - set(range(embeddings, len(tokenizer)))
    )
    assert set(plain.tolist()) == expected


def test_the_baseline_knows_how_often_each_token_stands_in_the_training_rows():
    sums = unigram_sums(np.array([3, 1, 0]), [np.array([0, 0, 2]), np.array([1])])
    assert sums[:, 0] == pytest.approx([-2 * math.log(4 / 7) - math.log(1 / 7), -math.log(2 / 7)])
    assert sums[:, 1].tolist() == [2, 0]
