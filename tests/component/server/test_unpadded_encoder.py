"""Encoders whose layers compute no padding answer as plain transformers does with padding."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import transformers
from tiny_architectures import VOCABULARY, tiny_config

from tuneloop_server.runtimes.unpadded_encoder import ENCODERS, leave_out_padding, pads

LABELS = ("negative", "neutral", "positive")
HEADS = ("AutoModelForSequenceClassification", "AutoModelForTokenClassification", "AutoModelForMaskedLM")
LENGTHS = (3, 11, 1, 7)


def tiny(model_type, head="AutoModelForSequenceClassification", **changes):
    """Return a model whose every weight is far from its first value."""
    config = tiny_config(model_type, LABELS)
    for name, value in changes.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    model = getattr(transformers, head).from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def texts_of(lengths, *, on_left=False):
    """Return the inputs of texts of these lengths."""
    draws = torch.Generator().manual_seed(1)
    ids = torch.randint(4, VOCABULARY, (len(lengths), max(lengths)), generator=draws)
    places = torch.arange(max(lengths)).expand_as(ids)
    limits = torch.tensor(lengths).unsqueeze(1)
    mask = (places >= max(lengths) - limits if on_left else places < limits).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


@torch.inference_mode()
def logits(model, inputs):
    """Return the logits of texts, or of their tokens without padding."""
    found = model(**inputs).logits
    return found if found.ndim == 2 else found[inputs["attention_mask"].bool()]


@torch.inference_mode()
def rows_of_the_layers(model, inputs):
    """Return [rows, tokens] of what the layers of a model get in a pass."""
    shapes = []
    layers = getattr(model.base_model, ENCODERS[model.config.model_type])
    note = layers.register_forward_pre_hook(
        lambda _, given, named: shapes.append((*given, *named.values())[0].shape[:2]), with_kwargs=True
    )
    model(**inputs)
    note.remove()
    return [list(shape) for shape in shapes]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("model_type", ENCODERS)
def test_an_encoder_without_padding_answers_as_transformers_does(model_type, head):
    model, inputs = tiny(model_type, head), texts_of(LENGTHS)
    expected = logits(copy.deepcopy(model), inputs)
    leave_out_padding(model)
    assert not pads(model)
    torch.testing.assert_close(logits(model, inputs), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model_type", ENCODERS)
def test_the_layers_get_the_tokens_alone(model_type):
    model = tiny(model_type)
    leave_out_padding(model)
    assert rows_of_the_layers(model, texts_of(LENGTHS)) == [[1, sum(LENGTHS)]]


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param(texts_of((5,)), id="a text alone"),
        pytest.param(texts_of((4, 4, 4)), id="texts of one length"),
        pytest.param(texts_of(LENGTHS, on_left=True), id="padding on the left, whose first place the head reads"),
        pytest.param({"input_ids": texts_of((5, 5))["input_ids"]}, id="no mask"),
    ],
)
def test_other_passes_stay_as_they_are(inputs):
    model = tiny("bert")
    with torch.inference_mode():
        expected = copy.deepcopy(model)(**inputs).logits
        leave_out_padding(model)
        model(**texts_of(LENGTHS))  # the pass before had padding that was left out
        torch.testing.assert_close(model(**inputs).logits, expected)
    assert rows_of_the_layers(model, inputs) == [list(inputs["input_ids"].shape)]


def test_the_body_alone_has_zeros_at_padding():
    model, inputs = tiny("bert"), texts_of(LENGTHS)
    leave_out_padding(model)
    with torch.inference_mode():
        states = model.base_model(**inputs).last_hidden_state
    assert states.shape[:2] == inputs["input_ids"].shape
    assert not states[inputs["attention_mask"] == 0].any()


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        pytest.param("modernbert", {}, id="layers that look at neighbours only"),
        pytest.param("deberta-v2", {}, id="attention by distance"),
        pytest.param("gpt2", {"pad_token_id": 0}, id="a decoder"),
        pytest.param("bert", {"is_decoder": True}, id="a BERT that reads from left to right"),
        pytest.param("bert", {"chunk_size_feed_forward": 4}, id="layers that compute four tokens at a time"),
    ],
)
def test_a_model_that_needs_padding_keeps_it(model_type, changes):
    model = tiny(model_type, **changes)
    inputs = texts_of((4, 8, 1))
    expected = logits(copy.deepcopy(model), inputs)
    leave_out_padding(model)
    assert pads(model)
    torch.testing.assert_close(logits(model, inputs), expected)


def test_a_damaged_model_keeps_its_padding_so_that_its_own_error_is_reported():
    model = tiny("bert")
    with torch.no_grad():
        model.base_model.encoder.layer[0].output.dense.bias.fill_(math.nan)
    leave_out_padding(model)
    assert pads(model)
