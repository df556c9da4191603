"""Models that generate, in this process: rows that join and leave a batch have the logits that each has alone; what cannot be served is refused when it is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from generating_artifacts import tiny_decoder
from server_process import configuration

from tuneloop_api.contract.server_config import ServedAdapter
from tuneloop_server.errors import CannotServe
from tuneloop_server.runtimes import RUNTIMES, require_generator
from tuneloop_server.runtimes.rows_cache import RowsLayer
from tuneloop_server.runtimes.torch_decoder import TorchDecoder
from tuneloop_server.runtimes.torch_generator import load_generator, try_rows
from tuneloop_server.tasks.text_generation import TEXT_GENERATION

VOCABULARY, NEW = 60, 12
_SMALL = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64,
    "bos_token_id": 1, "eos_token_id": None, "pad_token_id": None,
}  # fmt: skip
_TWO_KINDS = {
    "sliding_window": 4,
    "layer_types": ["sliding_attention", "full_attention"],
    "head_dim": 8,
    "num_key_value_heads": 1,
}
ARCHITECTURES = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "llama": {"num_key_value_heads": 1},
    "qwen2": {"num_key_value_heads": 1},
    "mistral": {"num_key_value_heads": 1, "sliding_window": 4},
    "gemma3_text": _TWO_KINDS,
    "gpt_neox": {},
    "bloom": {"n_layer": 2, "n_head": 2},
    "opt": {"ffn_dim": 32, "word_embed_proj_dim": 16},
}
"""By the model type: what its configuration has besides. Windows, positions from the mask, positions with an offset, shared heads."""


def model_of(kind: str):
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **_SMALL | ARCHITECTURES[kind])
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@torch.inference_mode()
def alone(model, ids) -> np.ndarray:
    return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].numpy()


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_rows_that_join_and_leave_have_the_logits_that_each_has_alone(kind):
    model = model_of(kind)
    decoder = TorchDecoder(model)
    source = np.random.default_rng(0)
    rows = [source.integers(2, VOCABULARY, size).tolist() for size in (9, 2, 5)]

    def check(logits):
        for row, of_row in zip(rows, logits, strict=True):
            expected = alone(model, row)
            assert of_row == pytest.approx(expected, abs=1e-3 * float(np.abs(expected).max()))

    def step():
        tokens = source.integers(2, VOCABULARY, len(rows)).tolist()
        for row, token in zip(rows, tokens, strict=True):
            row.append(token)
        check(decoder.step(tokens))

    check(decoder.add(rows))
    step()
    rows.append(source.integers(2, VOCABULARY, 14).tolist())  # longer than those that grow
    decoder.add(rows[-1:])
    step()
    del rows[0], rows[-1]  # the longest rows leave, and their padding with them
    decoder.keep([1, 2])
    step()
    rows.append([7])
    decoder.add(rows[-1:])
    for _ in range(NEW):
        step()


def test_the_room_of_the_cache_is_enlarged_without_a_change():
    model = model_of("llama")
    decoder, row = TorchDecoder(model), [3]
    decoder.add([row])
    for token in range(2, 60):
        row.append(token)
        logits = decoder.step([token])
    assert logits[0] == pytest.approx(alone(model, row), abs=1e-3)


def test_a_token_for_other_rows_than_the_layer_holds_is_an_error_and_is_not_given_to_all_of_them():
    layer = RowsLayer()
    layer.update(torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 3, 4))
    with pytest.raises(ValueError, match="keys and values of 2 rows, and a token for 1"):
        layer.update(torch.ones(1, 1, 1, 4), torch.ones(1, 1, 1, 4))


def test_a_model_that_keeps_its_state_otherwise_is_refused_when_it_is_loaded(tmp_path):
    manifest = tiny_decoder(tmp_path, "mamba")
    with pytest.raises(CannotServe) as refused:
        load_generator(configuration(tmp_path), manifest, TEXT_GENERATION)
    assert (
        "mamba: two answers that grow together are not what each would be alone; allowed are decoders that keep keys and values alone"
        in str(refused.value)
    )


def test_a_model_that_takes_no_notice_of_the_rows_is_refused_though_it_computes():
    config = transformers.AutoConfig.for_model("mamba", vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(ValueError, match=r"mamba: two answers .* keep keys and values alone$"):
        try_rows(model, TorchDecoder(model))


def test_the_models_own_configuration_decides_how_it_is_decoded(tmp_path, caplog):
    manifest = tiny_decoder(tmp_path, "qwen2")
    path = Path(tmp_path, "model", "generation_config.json")
    path.write_text(
        '{"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.1, "eos_token_id": [0, 1], "max_new_tokens": 50, "num_beams": 3}'
    )
    loaded = load_generator(configuration(tmp_path), manifest, TEXT_GENERATION)
    sampling = loaded.defaults.sampling
    assert (sampling.temperature, sampling.top_k, sampling.top_p, sampling.repetition_penalty) == (0.6, 20, 0.95, 1.1)
    assert (loaded.defaults.max_new_tokens, loaded.meaning.ends, loaded.window) == (50, {0, 1}, 160)
    assert "generation_config.json: num_beams: not known to this server" in caplog.text


def test_memory_cuts_the_context_window(tmp_path, monkeypatch):
    monkeypatch.setattr("tuneloop_server.runtimes.torch_generator.free_memory", lambda: 2 * 100 * 256)
    loaded = load_generator(configuration(tmp_path), tiny_decoder(tmp_path, "llama"), TEXT_GENERATION)
    assert (loaded.window, loaded.most_tokens) == (100, 100)


ADAPTER = ServedAdapter(name="a", artifact_path="/a", artifact_uri="pvc://models/a")


WRITER = replace(TEXT_GENERATION, name="text2text-generation", auto_class="AutoModelForSeq2SeqLM")


@pytest.mark.parametrize(
    ("task", "runtime", "changes", "message"),
    [
        (TEXT_GENERATION, "onnx", {"engine": "onnx"}, "runtime.engine: onnx generates no text: its file has no keys and values of earlier tokens"),
        (WRITER, "torch", {"adapters": [ADAPTER]}, "spec.adapters: text2text-generation serves no adapters beside a base model"),
    ],
)  # fmt: skip
def test_what_a_generating_model_cannot_have_is_refused_by_its_name(task, runtime, changes, message):
    with pytest.raises(CannotServe) as refused:
        require_generator(configuration(Path("/artifact"), **changes), RUNTIMES[runtime], task)
    assert str(refused.value).startswith(message)


def test_a_decoder_may_have_adapters():
    require_generator(configuration(Path("/artifact"), adapters=[ADAPTER]), RUNTIMES["torch"], TEXT_GENERATION)
