"""LoRA: what the model's files did not hold is trained whole, for every architecture; the rest of the base stays frozen."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel, DistilBertConfig, DistilBertModel

from tuneloop_api.contract.settings import MethodSettings
from tuneloop_trainer.methods.lora import LORA
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.models.load_trained import load_trained
from tuneloop_trainer.models.trained import TrainedModel, write_trained
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION

TINY = {"vocab_size": 60, "max_position_embeddings": 32}
BERT = TINY | {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
DISTILBERT = TINY | {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
LABELS = ["negative", "positive"]
SETTINGS = MethodSettings(type="lora", rank=4)
TASK = TEXT_CLASSIFICATION

MODELS = [
    pytest.param(lambda: BertModel(BertConfig(**BERT)), {"classifier"}, id="BERT"),
    pytest.param(
        lambda: BertForMaskedLM(BertConfig(**BERT)), {"bert.pooler.dense", "classifier"}, id="BERT without a pooler"
    ),
    pytest.param(
        lambda: DistilBertModel(DistilBertConfig(**DISTILBERT)), {"pre_classifier", "classifier"}, id="DistilBERT"
    ),
]


@pytest.mark.parametrize(("make", "new"), MODELS)
def test_new_modules_are_trained_and_old_weights_stay(tmp_path, make, new: set[str]) -> None:
    make().save_pretrained(tmp_path / "model")
    base = load_model(tmp_path / "model", task=TASK, labels=LABELS, pad_token_id=0, dropout=None, seed=1)
    assert set(base.new_modules) == new
    model = LORA.build(base, SETTINGS, task=TASK, seed=1)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    inputs = {"input_ids": torch.randint(1, 60, (4, 12)), "attention_mask": torch.ones(4, 12, dtype=torch.int64)}
    model(**inputs).logits.square().sum().backward()
    torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1).step()
    trained = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert all("lora_" in name or "modules_to_save" in name for name in trained)
    assert all(any(f"{module}.modules_to_save" in name for name in trained) for module in new)
    assert any("lora_" in name for name in trained)


@pytest.mark.parametrize(("make", "new"), MODELS)
def test_the_trained_model_is_rebuilt_on_another_process(tmp_path, make, new: set[str]) -> None:
    del new
    make().save_pretrained(tmp_path / "model")
    base = load_model(tmp_path / "model", task=TASK, labels=LABELS, pad_token_id=0, dropout=None, seed=7)
    trained = LORA.build(base, SETTINGS, task=TASK, seed=7).eval()
    weights = {name: torch.randn_like(p) * 0.1 for name, p in trained.named_parameters() if p.requires_grad}
    trained.load_state_dict(weights, strict=False)
    description = TrainedModel(method=SETTINGS, labels=LABELS, pad_token_id=0, step=1)
    write_trained(tmp_path / "weights", weights, description)
    merged = LORA.merge(load_trained(tmp_path / "model", tmp_path / "weights", task=TASK))
    inputs = {"input_ids": torch.randint(1, 60, (4, 12)), "attention_mask": torch.ones(4, 12, dtype=torch.int64)}
    with torch.no_grad():
        assert torch.allclose(merged(**inputs).logits, trained(**inputs).logits, atol=1e-5)
