"""Training, evaluation, export and the server give a model the same inputs, whatever the tokenizer of the base model names."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from artifact import write_manifest
from prepared_runs import write_dataset
from run_configs import run_config
from server_process import configuration
from tiny_taggers import ARCHITECTURES, tagger_tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification, FNetConfig, FNetForSequenceClassification

from tuneloop_server.runtimes.torch_model import load
from tuneloop_server.tasks.text_classification import TEXT_CLASSIFICATION as SERVED_TASK
from tuneloop_trainer.dataset.shards import open_split
from tuneloop_trainer.errors import ModelAccessError
from tuneloop_trainer.export.exporters.exporter import ExportInputs
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.models.tokenizer import load_tokenizer
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION

OWN = ("model_inputs", "first_type_id", "prefix_space", "special", "padding_side")
ENCODER_DECODERS: dict[str, dict[str, Any]] = {
    "bart": {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16},
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2},
}  # fmt: skip
LABELS = ("bad", "good")
TEXTS = [
    "London",
    "",
    "a </s> b</s>",
    "<s>",
    "Ada met <pad> Charles </s> in London , near St. James's Square",
    "x<unk>y",
    "東京は",
]
MAX_TOKENS = 24


@pytest.fixture(scope="module", params=[*ARCHITECTURES, *ENCODER_DECODERS])
def base(request, tmp_path_factory) -> Path:
    """A model whose tokenizer names `token_type_ids`, and gives the first token another type where the architecture's own does."""
    kind, folder = request.param, tmp_path_factory.mktemp(request.param)
    options = (ARCHITECTURES | ENCODER_DECODERS)[kind]
    tokenizer = tagger_tokenizer(
        kind if kind in ARCHITECTURES else "xlm-roberta",
        max_tokens=MAX_TOKENS,
        model_inputs=["input_ids", "token_type_ids", "attention_mask"],
        first_type_id=2 if kind == "xlnet" else 0,
        prefix_space=options.get("prefix_space", False),
        special=kind != "qwen2",
        padding_side=options.get("padding_side", "right"),
    )
    end = tokenizer.sep_token_id
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=end if kind in ENCODER_DECODERS else None,
        decoder_start_token_id=end,
        **{name: value for name, value in options.items() if name not in OWN},
    )
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dataset(base, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "d1"
    texts = [text or "a" for text in TEXTS]
    write_dataset(folder, {"test": list(zip(texts, LABELS * 4, strict=False))}, model=base, max_tokens=MAX_TOKENS)
    return folder


@pytest.fixture(scope="module")
def artifact(base, dataset, tmp_path_factory) -> Path:
    """The model as export publishes it."""
    folder = tmp_path_factory.mktemp("artifact")
    model = load_model(base, task=TEXT_CLASSIFICATION, labels=LABELS, pad_token_id=0, dropout=None, seed=0)
    model.save_pretrained(folder / "model")
    prepared: Any = SimpleNamespace(dataset_path=str(dataset), resolved=SimpleNamespace(max_tokens=MAX_TOKENS))
    settings = run_config(folder, model=base).settings
    ExportInputs(settings=settings, prepared=prepared, trained=None).tokenizer().save_pretrained(folder / "model")  # type: ignore[arg-type]
    write_manifest(folder, LABELS, name="m", max_tokens=MAX_TOKENS, temperature=1.0)
    return folder


def as_lists(inputs: Any) -> dict[str, list[list[int]]]:
    return {name: values.tolist() for name, values in inputs.items()}


def test_the_model_gets_the_same_inputs_in_training_export_and_serving(dataset, artifact, manifest_of_artifact):
    split = open_split(dataset, "test")
    tokenizer = load_tokenizer(artifact / "model")
    texts = [text or "a" for text in TEXTS]
    trained = TEXT_CLASSIFICATION.collate(split, np.arange(len(texts)), tokenizer.pad_token_id).inputs
    exported = tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
    model = load(configuration(artifact), manifest_of_artifact, SERVED_TASK)
    windows = [window for (window,) in model.encode(texts)]
    assert list(trained) == ["input_ids", "attention_mask"]
    assert as_lists(exported) == as_lists(trained)
    assert as_lists(model._padded(windows)) == as_lists(trained)
    inputs = {name: torch.from_numpy(values) for name, values in trained.items()}
    loaded: Any = AutoModelForSequenceClassification.from_pretrained(artifact / "model")
    with torch.no_grad():
        expected = loaded.eval()(**inputs).logits.numpy()
    np.testing.assert_allclose(np.stack(model.predict(windows)), expected, atol=1e-5)


@pytest.fixture(scope="module")
def manifest_of_artifact(artifact):
    from tuneloop_server.artifact import read_manifest

    return read_manifest(configuration(artifact))


def test_a_model_that_takes_no_attention_mask_is_refused(tmp_path):
    config = FNetConfig(vocab_size=40, hidden_size=8, num_hidden_layers=1, intermediate_size=8)
    FNetForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(ModelAccessError, match=r"FNetForSequenceClassification takes no attention_mask, so padding"):
        load_model(tmp_path, task=TEXT_CLASSIFICATION, labels=LABELS, pad_token_id=0, dropout=None, seed=0)
