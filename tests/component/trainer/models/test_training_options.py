"""Noise at the embeddings, and layers that are computed again: what they change in training, and that they leave all else as it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from run_configs import run_config
from tiny_architectures import inputs, tiny_config
from transformers import AutoModelForSequenceClassification, set_seed
from transformers.integrations.neftune import neftune_post_forward_hook

from tuneloop_trainer.errors import ConfigError
from tuneloop_trainer.models.build import build_for_training
from tuneloop_trainer.models.depth import rate_factors
from tuneloop_trainer.models.embedding_noise import add_embedding_noise
from tuneloop_trainer.models.gradient_checkpointing import checkpoint_gradients
from tuneloop_trainer.models.head import head_modules
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION

ARCHITECTURES = (
    "albert", "bart", "bert", "deberta-v2", "distilbert", "electra", "gpt2", "llama", "modernbert", "mpnet", "qwen2", "roberta", "t5", "xlnet",
)  # fmt: skip


COMPUTED_ONCE = ("albert", "mpnet", "xlnet")
"""Architectures whose layers transformers does not compute again."""


def model_of(model_type: str, *, training: bool = True) -> Any:
    set_seed(0)
    config = tiny_config(model_type, ["a", "b"])
    config.use_cache = False
    return AutoModelForSequenceClassification.from_config(config).train(training)


def logits(model: Any, *, seed: int = 1) -> torch.Tensor:
    torch.manual_seed(seed)
    return model(**inputs()).logits


def gradients(model: Any) -> dict[str, torch.Tensor]:
    logits(model).square().sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_noise_changes_what_a_model_computes_in_training_alone(model_type):
    plain, noisy = (model_of(model_type, training=False) for _ in range(2))
    add_embedding_noise(noisy, 5.0)
    assert torch.equal(logits(noisy), logits(plain))
    for table in (module for module in noisy.modules() if module._forward_hooks):  # the tables alone: no dropout
        table.train()
    assert not torch.allclose(logits(noisy), logits(plain), atol=1e-6)
    assert torch.equal(logits(noisy), logits(noisy))
    assert not torch.equal(logits(noisy), logits(noisy, seed=2))


def test_the_noise_is_that_of_transformers():
    model = model_of("bert")
    embeddings, ids = model.get_input_embeddings(), inputs()["input_ids"]
    plain = embeddings(ids)
    add_embedding_noise(model, 7.0)
    torch.manual_seed(3)
    noisy = embeddings(ids)
    torch.manual_seed(3)
    expected = neftune_post_forward_hook(SimpleNamespace(training=True, neftune_noise_alpha=7.0), None, plain)
    assert torch.equal(noisy, expected)
    assert 0 < (noisy - plain).abs().max() <= 7.0 / (12 * 16) ** 0.5


def test_without_alpha_there_is_no_noise():
    model = model_of("bert")
    add_embedding_noise(model, 0.0)
    assert not model.get_input_embeddings()._forward_hooks


def test_a_model_without_a_plain_table_of_embeddings_is_refused():
    with pytest.raises(
        ConfigError, match=r"spec\.training\.neftuneAlpha: ibert has no plain table of input embeddings"
    ):
        add_embedding_noise(model_of("ibert"), 5.0)


@pytest.mark.parametrize("model_type", sorted({*ARCHITECTURES} - {*COMPUTED_ONCE}))
def test_layers_that_are_computed_again_have_the_same_gradients(model_type):
    """With dropout: the second pass draws the same numbers."""
    plain, again = (model_of(model_type) for _ in range(2))
    checkpoint_gradients(again, "always")
    assert any(getattr(module, "gradient_checkpointing", False) for module in again.modules())
    expected, found = gradients(plain), gradients(again)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_adapters_of_layers_that_are_computed_again_have_the_same_gradients():
    """All inputs of the first layer are frozen."""
    settings = LoraConfig(r=4, target_modules=["query", "value"], task_type="SEQ_CLS", init_lora_weights=False)
    plain, again = (get_peft_model(model_of("bert"), settings) for _ in range(2))
    again.load_state_dict(plain.state_dict())
    checkpoint_gradients(again, "always")
    expected, found = gradients(plain), gradients(again)
    assert (
        found.keys()
        == expected.keys()
        > {"base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.default.weight"}
    )
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("asked", [True, False])
def test_a_model_is_built_with_the_options_that_are_asked_for(tmp_path, asked):
    training = {"neftuneAlpha": 5.0, "gradientCheckpointing": "always", "layerwiseLrDecay": 0.5} if asked else {}
    settings = run_config(tmp_path, method={"type": "full"}, training=training).settings
    model = model_of("bert")
    model.head_modules = head_modules(model, ())
    built, factors = build_for_training(model, settings, task=TEXT_CLASSIFICATION, seed=0)
    assert bool(built.get_input_embeddings()._forward_hooks) is asked
    assert any(getattr(module, "gradient_checkpointing", False) for module in built.modules()) is asked
    assert factors == (rate_factors(model, 0.5) if asked else {})


def test_layers_are_computed_once_unless_it_is_asked_for():
    model = model_of("bert")
    checkpoint_gradients(model, "never")
    assert not any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


@pytest.mark.parametrize("model_type", COMPUTED_ONCE)
def test_an_architecture_that_cannot_compute_its_layers_again_is_refused(model_type):
    with pytest.raises(ConfigError, match=rf"spec\.training\.gradientCheckpointing: {model_type} cannot compute"):
        checkpoint_gradients(model_of(model_type), "always")
