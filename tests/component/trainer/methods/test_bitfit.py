"""BitFit: exactly the bias terms and what is new are trained, in every architecture that has bias terms."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    Qwen2Config,
    Qwen2Model,
    RobertaConfig,
    RobertaModel,
)

from tuneloop_api.contract.settings import MethodSettings
from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.methods.bitfit import BITFIT, is_bias
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.models.load_trained import load_trained
from tuneloop_trainer.models.trained import TrainedModel, write_trained
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION

SETTINGS = MethodSettings(type="bitfit")
LABELS = ["negative", "positive"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 60, "max_position_embeddings": 40}  # fmt: skip
GROUPED = SIZES | {"num_key_value_heads": 2}

# how many bias terms the pre-trained part of each model has, by their number in a layer of the architecture
MODELS = [
    pytest.param(lambda: BertModel(BertConfig(**SIZES)), 1 + 2 * 8 + 1, id="BERT"),
    pytest.param(lambda: RobertaModel(RobertaConfig(**SIZES, pad_token_id=1), add_pooling_layer=False), 1 + 2 * 8, id="RoBERTa"),
    pytest.param(
        lambda: DistilBertModel(DistilBertConfig(vocab_size=60, max_position_embeddings=40, dim=16, n_layers=2, n_heads=2, hidden_dim=32)),
        1 + 2 * 8,
        id="DistilBERT",
    ),
    pytest.param(lambda: ElectraModel(ElectraConfig(**SIZES, embedding_size=16)), 1 + 2 * 8, id="ELECTRA"),
    pytest.param(lambda: GPT2Model(GPT2Config(vocab_size=60, n_positions=40, n_embd=16, n_layer=2, n_head=2)), 2 * 6 + 1, id="GPT-2"),
    pytest.param(lambda: Qwen2Model(Qwen2Config(**GROUPED)), 2 * 3, id="Qwen2: of the queries, keys and values alone"),
]  # fmt: skip


def built(folder, make):
    """Return the model as BitFit trains it, in evaluation mode so that dropout changes nothing."""
    make().save_pretrained(folder)
    model = load_model(folder, task=TEXT_CLASSIFICATION, labels=LABELS, pad_token_id=0, dropout=None, seed=1)
    return BITFIT.build(model, SETTINGS, task=TEXT_CLASSIFICATION, seed=1).eval()


def inputs() -> dict[str, torch.Tensor]:
    ids = torch.randint(2, 60, (4, 12), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def make_steps(model, *, steps: int = 3) -> None:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1.0)
    for _ in range(steps):
        loss = cross_entropy(model(**inputs()).logits, torch.tensor([0, 1, 0, 1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize(("make", "biases"), MODELS)
def test_exactly_the_bias_terms_and_the_new_modules_change(tmp_path, make, biases):
    model = built(tmp_path, make)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    make_steps(model)
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    new = {name for name in before if any(name.startswith(f"{module}.") for module in model.new_modules)}
    expected = {name for name in before if name.endswith("bias")} - new
    assert len(expected) == biases
    assert new
    # the gradient of a key's bias is zero: it shifts all scores of a query alike, and the softmax takes no notice
    without_gradient = {name for name in expected - changed if "key" in name or "k_lin" in name or "k_proj" in name}
    assert changed == (expected | new) - without_gradient


@pytest.mark.parametrize(
    ("name", "bias"),
    [
        pytest.param("encoder.layer.0.output.dense.bias", True, id="of a linear layer"),
        pytest.param("deberta.encoder.layer.0.attention.self.q_bias", True, id="a parameter of its own"),
        pytest.param("encoder.relative_attention_bias.weight", False, id="an embedding of distances"),
        pytest.param("encoder.layer.0.output.dense.weight", False, id="a weight"),
    ],
)
def test_a_bias_term_is_known_by_its_name(name, bias):
    assert is_bias(name) == bias


@pytest.mark.parametrize(("make", "biases"), MODELS)
def test_only_bias_terms_and_new_modules_are_trainable(tmp_path, make, biases):
    model = built(tmp_path, make)
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    old = [name for name in trainable if not any(name.startswith(f"{module}.") for module in model.new_modules)]
    assert len(old) == biases
    assert all(name.endswith("bias") for name in old)


def test_a_model_without_bias_terms_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"spec\.method\.type: bitfit trains the bias terms of a model, and llama has none"
    ) as refused:
        built(tmp_path, lambda: LlamaModel(LlamaConfig(**GROUPED)))
    assert "method.type: lora" in refused.value.hint


def test_the_trained_model_is_rebuilt_on_another_process(tmp_path):
    model = built(tmp_path / "model", lambda: BertModel(BertConfig(**SIZES)))
    make_steps(model)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}
    description = TrainedModel(method=SETTINGS, labels=LABELS, pad_token_id=0, step=1)
    write_trained(tmp_path / "weights", weights, description)
    again = load_trained(tmp_path / "model", tmp_path / "weights", task=TEXT_CLASSIFICATION)
    with torch.no_grad():
        assert torch.equal(again(**inputs()).logits, model(**inputs()).logits)
