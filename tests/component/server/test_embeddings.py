"""Embeddings: those of plain transformers for encoders of several architectures, and a sentence for models that make none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from artifacts_of_architectures import MAX_TOKENS, save_artifact
from server_process import configuration, word_salads
from transformers import AutoModel, AutoTokenizer

from tuneloop_server.runtimes.torch_model import load
from tuneloop_server.tasks import TASKS

TEXTS = [*word_salads(10, longest=40), "", "a", "¿Qué tal? 😀"]
ENCODERS = ("albert", "bert", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta", "xlnet")
OTHERS = {
    "bart": "reads a text and writes another (encoder-decoder)",
    "t5": "reads a text and writes another (encoder-decoder)",
    "gpt2": "reads from left to right (decoder)",
    "llama": "reads from left to right (decoder)",
    "qwen2": "reads from left to right (decoder)",
    "funnel": "has no hidden state for each token",
}


def loaded(folder, model_type, *, task="text-classification", **options):
    manifest = save_artifact(folder, model_type, task=task, **options)
    return load(configuration(folder), manifest, TASKS[task])


def embed(model, texts):
    return model.predict([replace(window, output="embedding") for (window,) in model.encode(texts)])


def plain_embeddings(folder, texts):
    """The mean of the last hidden state over the attention mask, divided by its norm; one text a pass."""
    encoder = AutoModel.from_pretrained(folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    embeddings = []
    for text in texts:
        encoded = tokenizer(text, truncation=True, max_length=MAX_TOKENS, padding="max_length", return_tensors="pt")
        with torch.inference_mode():
            states = encoder(**encoded).last_hidden_state[0]
        mean = states[encoded["attention_mask"][0].bool()].mean(0)
        embeddings.append((mean / mean.norm()).numpy())
    return embeddings


@pytest.mark.parametrize("model_type", ENCODERS)
def test_an_encoder_gives_what_plain_transformers_pools(tmp_path, model_type):
    model = loaded(tmp_path, model_type)
    assert model.embeddings.refusal == ""
    for found, plain in zip(embed(model, TEXTS), plain_embeddings(tmp_path, TEXTS), strict=True):
        assert found.dtype == np.float32
        assert found.shape == (model.embeddings.size,)
        assert found == pytest.approx(plain, abs=1e-5)


def test_a_tagger_gives_them_too(tmp_path):
    model = loaded(tmp_path, "bert", task="token-classification")
    np.testing.assert_allclose(embed(model, TEXTS), plain_embeddings(tmp_path, TEXTS), atol=1e-5)


def test_an_encoder_that_pads_on_the_left_gives_them_too(tmp_path):
    model = loaded(tmp_path, "roberta", padding_side="left")
    alone = [embed(model, [text])[0] for text in TEXTS]
    np.testing.assert_allclose(embed(model, TEXTS), alone, atol=1e-5)


@pytest.mark.parametrize("model_type", OTHERS)
def test_what_is_no_encoder_makes_none_and_says_why(tmp_path, model_type):
    model = loaded(tmp_path, model_type)
    assert model.embeddings.size == 0
    assert model.embeddings.refusal == (
        f"this model makes no embeddings: {model_type} {OTHERS[model_type]}; encoders make them, for example BERT or RoBERTa"
    )


def test_an_encoder_that_is_set_up_as_a_decoder_makes_none(tmp_path):
    assert "reads from left to right" in loaded(tmp_path, "bert", is_decoder=True).embeddings.refusal


def test_logits_and_embeddings_of_one_batch_are_those_of_two(tmp_path):
    model = loaded(tmp_path, "bert")
    windows = [window for (window,) in model.encode(TEXTS[:6])]
    mixed = model.predict(
        [replace(window, output="embedding") if place % 2 else window for place, window in enumerate(windows)]
    )
    np.testing.assert_allclose(mixed[1::2], embed(model, TEXTS[1:6:2]), atol=1e-6)
    np.testing.assert_allclose(mixed[0::2], model.predict(windows[0::2]), atol=1e-6)
