"""Text generation on a dozen architectures of decoders: its loss is that of plain transformers, and what a method trains is published in the model's own weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_language_models import FAMILIES, conversations, pairs, tiny_decoder
from transformers import AutoModelForCausalLM, BertConfig, BertModel, GPT2Model

from tuneloop_api.contract.settings import MethodSettings
from tuneloop_trainer.dataset.shard_writer import count_targets
from tuneloop_trainer.dataset.shards import IGNORED, LABELS, TokenizedSplit
from tuneloop_trainer.errors import ModelAccessError
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.models.tokenizer import load_tokenizer
from tuneloop_trainer.tasks import TASKS

TASK = TASKS["text-generation"]


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    return tiny_decoder(tmp_path_factory.mktemp("model"), family=request.param)


def loaded(folder, **how: Any) -> Any:
    return load_model(folder, task=TASK, labels=[], pad_token_id=0, dropout=0.0, seed=1, **how).eval()


def split_of(folder, rows) -> TokenizedSplit:
    encoded = TASK.encode(load_tokenizer(folder, as_text=False), rows, {})
    lengths = np.array([len(row.input_ids) for row in encoded])
    return TokenizedSplit(
        name="train",
        lengths=lengths,
        rows=np.arange(len(rows)),
        targets=np.array([count_targets(row.token_columns) for row in encoded]),
        row_columns={},
        ids=(np.concatenate([row.input_ids for row in encoded]),),
        token_columns={
            name: (np.concatenate([row.token_columns[name] for row in encoded]),) for name in encoded[0].token_columns
        },
        first_rows=np.array([0, len(rows)]),
        starts=np.cumsum([0, *lengths[:-1]]),
    )


@pytest.mark.parametrize("rows", [pairs(5), conversations(5)], ids=["prompts", "conversations"])
def test_the_loss_is_that_of_plain_transformers_on_the_same_tokens(folder, rows):
    split = split_of(folder, rows)
    batch = TASK.collate(split, np.arange(len(rows)), 0)
    inputs = {name: torch.from_numpy(values) for name, values in batch.inputs.items()}
    labels = torch.from_numpy(batch.labels)
    with torch.no_grad():
        ours = TASK.loss_sum(loaded(folder)(**inputs), labels, 0.0) / int(split.targets.sum())
        shifted = torch.cat([torch.full((len(rows), 1), IGNORED), labels[:, :-1]], dim=1)
        plain = AutoModelForCausalLM.from_pretrained(folder).eval()(**inputs, labels=shifted).loss
    assert float(ours) == pytest.approx(float(plain), abs=1e-5)


def test_padding_changes_no_loss(folder):
    split, model = split_of(folder, pairs(4) + pairs(1, seed=9)), loaded(folder)
    sums = []
    for rows in (np.arange(5), *(np.array([row]) for row in range(5))):
        batch = TASK.collate(split, rows, 0)
        with torch.no_grad():
            output = model(**{name: torch.from_numpy(values) for name, values in batch.inputs.items()})
            sums.append(TASK.target_values(output, torch.from_numpy(batch.labels))[:, 0])
    assert sums[0].tolist() == pytest.approx(torch.cat(sums[1:]).tolist(), abs=1e-4)


@pytest.mark.parametrize("method", ["lora", "ia3", "full"])
def test_what_a_method_trains_is_published_in_the_models_own_weights(folder, method, tmp_path):
    settings = MethodSettings(type=method)
    built = method_of(settings).build(loaded(folder), settings, task=TASK, seed=1)
    trained = [name for name, parameter in built.named_parameters() if parameter.requires_grad]
    assert trained
    assert method == "full" or not any("lm_head" in name or "embed" in name for name in trained)
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    ids = torch.arange(3, 43).reshape(2, 20)
    with torch.no_grad():
        expected = built.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        merge = method_of(settings).merge
        (built if merge is None else merge(built)).save_pretrained(tmp_path)
        found = AutoModelForCausalLM.from_pretrained(tmp_path).eval()(input_ids=ids).logits
        before = AutoModelForCausalLM.from_pretrained(folder).eval()(input_ids=ids).logits
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
    assert (found - before).abs().max() > 1e-2 * before.abs().max()


def test_tied_weights_stay_tied(tmp_path):
    model = loaded(tiny_decoder(tmp_path, family="smollm"))
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert model.head_modules == ()


def test_a_checkpoint_without_an_output_layer_is_refused(tmp_path):
    tiny_decoder(tmp_path, family="llama")
    whole = AutoModelForCausalLM.from_pretrained(tmp_path)
    whole.model.save_pretrained(tmp_path)
    with pytest.raises(ModelAccessError, match="lacks 1 weights of LlamaForCausalLM, for example lm_head.weight"):
        loaded(tmp_path)


def test_a_body_alone_of_a_model_with_tied_weights_has_all_that_is_needed(tmp_path):
    tiny_decoder(tmp_path, family="gpt2")
    GPT2Model.from_pretrained(tmp_path).save_pretrained(tmp_path)
    assert loaded(tmp_path).head_origin == "the output layer of the model's files"


def test_targets_count_the_tokens_that_the_loss_is_taken_over(folder):
    split = split_of(folder, conversations(4))
    for row in range(4):
        assert split.targets[row] == (split.token_column(LABELS, row) != IGNORED).sum() > 0


def test_an_encoder_writes_no_text(tmp_path):
    tiny_decoder(tmp_path)
    BertModel(
        BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=300)
    ).save_pretrained(tmp_path)
    with pytest.raises(ModelAccessError):
        loaded(tmp_path)
