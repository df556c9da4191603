"""A model's size without its weights, against the real model in training."""

from __future__ import annotations

import json
import resource
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from run_configs import run_config
from tiny_models import tiny_bert
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from tuneloop_api.combinations.table import PROMPTS
from tuneloop_trainer.dataset.shards import IGNORED
from tuneloop_trainer.methods import method_of
from tuneloop_trainer.models.gradient_checkpointing import checkpoint_gradients
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.models.targets import shift_targets
from tuneloop_trainer.models.trace import ModelShape, _Allocations, build_without_weights, shape_of
from tuneloop_trainer.tasks import task_of
from tuneloop_trainer.tasks.language_model import token_loss_sum
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION

LABELS = ["a", "b", "c"]
METHODS = [
    {"type": "full"},
    {"type": "full", "freeze": ["embeddings"]},
    {"type": "lora", "rank": 4},
    {"type": "ia3"},
    {"type": "bitfit"},
    *({"type": method, "virtualTokens": 8} for method in PROMPTS),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("model"))


def shape(tmp_path: Path, folder: Path, method: dict[str, Any], *, gpus: int = 0, **training: Any) -> ModelShape:
    settings = run_config(tmp_path, model=folder, method=method, gang={"gpusPerNode": gpus}, training=training).settings
    model = build_without_weights(folder, settings, labels=LABELS)
    longest = 64 - method_of(settings.method).reserves(settings.method)
    return shape_of(model, settings, longest=longest, precision="fp32")


def real(tmp_path: Path, folder: Path, method: dict[str, Any]) -> Any:
    model = load_model(folder, task=TEXT_CLASSIFICATION, labels=LABELS, pad_token_id=0, dropout=None, seed=0)
    settings = run_config(tmp_path, model=folder, method=method).settings.method
    return method_of(settings).build(model, settings, task=TEXT_CLASSIFICATION, seed=0).train()


def kept_bytes(model: Any, *, rows: int, tokens: int) -> int:
    """Run the model forward and sum what autograd keeps, without the parameters."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids, mask = torch.zeros(rows, tokens, dtype=torch.int64), torch.ones(rows, tokens, dtype=torch.int64)
    mask[0, tokens // 2 :] = 0
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(input_ids=ids, attention_mask=mask)
    assert output.logits.shape == (rows, len(LABELS))
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_parameters_are_counted_as_they_are_trained(tmp_path, folder, method):
    parameters = list(real(tmp_path, folder, method).parameters())
    found = shape(tmp_path, folder, method)
    assert found.parameters == sum(parameter.numel() for parameter in parameters)
    assert found.trainable == sum(parameter.numel() for parameter in parameters if parameter.requires_grad)


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize(("rows", "tokens"), [(2, 56), (8, 56), (5, 24)])
def test_what_the_forward_pass_keeps_is_what_autograd_keeps(tmp_path, folder, method, rows, tokens):
    planned = shape(tmp_path, folder, method).kept.bytes_for(rows=rows, tokens=tokens)
    assert planned == pytest.approx(kept_bytes(real(tmp_path, folder, method), rows=rows, tokens=tokens), rel=0.02)


@pytest.mark.parametrize("method", [{"type": "full"}, {"type": "lora", "rank": 4}], ids=str)
def test_with_gradient_checkpointing_the_insides_of_one_layer_alone_are_kept(tmp_path, folder, method):
    layers, size = 2, {"rows": 8, "tokens": 56}
    model = real(tmp_path, folder, method)
    whole = kept_bytes(model, **size)
    checkpoint_gradients(model, "always")
    between = kept_bytes(model, **size)
    planned = shape(tmp_path, folder, method, gradientCheckpointing="always").kept.bytes_for(**size)
    assert between < whole / 4
    expected = between + (whole - between) / layers
    assert planned == pytest.approx(
        expected, rel=0.1
    )  # autograd does not see the inputs of layers, which are kept, too


def test_the_fused_attention_of_a_gpu_keeps_no_probabilities(tmp_path, folder):
    on_cpu, on_gpu = (shape(tmp_path, folder, {"type": "full"}, gpus=gpus).kept.per_pair for gpus in (0, 1))
    heads, layers = 2, 2
    assert on_cpu - on_gpu >= 4 * heads * layers


class Peak(_Allocations):
    """The most bytes that exist at a time."""

    peak = 0

    def _count(self, storage: torch.UntypedStorage) -> None:
        super()._count(storage)
        self.peak = max(self.peak, self.alive)


WORDS = 8000
SIZES = {"vocab_size": WORDS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}  # fmt: skip
T5_SIZES = {"vocab_size": WORDS, "d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 2, "num_heads": 2}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("task", "model", "share"),
    [
        ("text-generation", LlamaForCausalLM(LlamaConfig(**SIZES)), 1.0),
        ("text2text-generation", T5ForConditionalGeneration(T5Config(**T5_SIZES, decoder_start_token_id=0)), 1.0),
        ("fill-mask", BertForMaskedLM(BertConfig(**SIZES)), 0.15),
    ],
    ids=["text-generation", "text2text-generation", "fill-mask"],
)
def test_the_loss_over_a_vocabulary_is_in_the_plan(tmp_path, task, model, share, precision):
    model.save_pretrained(tmp_path / "model")
    config = run_config(tmp_path, model=tmp_path / "model", task=task, method={"type": "full"})
    rows, tokens, dtype = 4, 64, {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    built = build_without_weights(tmp_path / "model", config.settings, labels=[])
    planned = shape_of(built, config.settings, longest=tokens, precision=precision).kept
    ids = torch.randint(5, WORDS, (rows, tokens))
    labels = ids.masked_fill(torch.arange(tokens) >= share * tokens, IGNORED)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    trained = load_model(tmp_path / "model", task=task_of(config.settings), labels=[], pad_token_id=0, dropout=None, seed=0).train().to(dtype)  # fmt: skip
    shift_targets(trained)
    with Peak([*trained.parameters(), *trained.buffers(), *inputs.values(), labels]) as measured:
        output = trained(**inputs, **({"labels": labels} if task == "text2text-generation" else {}))
        loss = token_loss_sum(output, labels, 0.0)
        del output
        loss.backward()
    gradients = sum(parameter.nbytes for parameter in trained.parameters())
    assert measured.peak - gradients <= planned.bytes_for(rows=rows, tokens=tokens) <= 1.25 * measured.peak


def test_the_weights_of_a_large_model_are_not_read(tmp_path, folder):
    large = tmp_path / "large"
    shutil.copytree(folder, large)
    config = BertConfig.from_pretrained(folder, hidden_size=8192, num_hidden_layers=2, intermediate_size=32768)
    config.save_pretrained(large)
    write_sparse(large / "model.safetensors", config)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert shape(tmp_path, large, {"type": "full"}).parameters > 1_600_000_000
    assert (
        (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        < 2**30
        < (large / "model.safetensors").stat().st_size
    )


def write_sparse(path: Path, config: BertConfig) -> None:
    """Write a safetensors file with all names and shapes of a model, and a hole in the place of its values."""
    with torch.device("meta"):
        tensors = BertModel(config).state_dict()
    header, end = {}, 0
    for name, tensor in tensors.items():
        start, end = end, end + 4 * tensor.numel()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
