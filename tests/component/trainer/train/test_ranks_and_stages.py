"""One manifest trains the same model on any number of ranks and any ZeRO stage, with dropout on."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from forked_gangs import run_gangs
from prepared_runs import training_run, write_run
from safetensors.numpy import load_file
from transformers import BertConfig, RobertaConfig, RobertaForSequenceClassification

from tuneloop_api.contract.run_config import RunConfig
from tuneloop_api.wire.model import changed

STEPS = 20
ALL_CELLS = [(ranks, zero_stage) for ranks in (1, 2, 3) for zero_stage in (0, 1, 2, 3)]


def write_cell(folder: Path, ranks: int, zero_stage: int, *, tiny_model: Path, dataset: Path, **settings) -> Path:
    folder.mkdir()
    training = {
        "maxSteps": STEPS,
        "globalBatchSize": 27,
        "microBatchSize": 8,
        "learningRate": 3e-3,
        "evaluateEvery": {"steps": 10},
    }
    config = training_run(
        folder,
        model=tiny_model,
        dataset=dataset,
        training=training | settings.pop("training", {}),
        gang={"nodes": 1, "gpusPerNode": 0, "processesPerNode": ranks},
        deepspeed={"stage": zero_stage},
        **{"method": {"type": "full"}, "checkpoint": {"everySteps": 100}} | settings,
    )
    return write_run(config, folder / "run.json")


def log_of(run_json: Path, kind: str) -> list[dict]:
    lines = (run_json.parent / "job" / "logs" / "train.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == kind]


def assert_same_curves(run_json: Path, reference: Path) -> None:
    steps, expected = log_of(run_json, "step"), log_of(reference, "step")
    assert [line["step"] for line in steps] == list(range(1, STEPS + 1))
    assert [line["loss"] for line in steps] == pytest.approx([line["loss"] for line in expected], abs=1e-6)
    assert [line["grad_norm"] for line in steps] == pytest.approx([line["grad_norm"] for line in expected], rel=5e-6)
    evaluations, others = log_of(run_json, "evaluation"), log_of(reference, "evaluation")
    assert [line["loss"] for line in evaluations] == pytest.approx([line["loss"] for line in others], abs=1e-5)


def weights_of(run_json: Path) -> dict:
    return load_file(run_json.parent / "job" / "weights" / "trainable.safetensors")


OPTIONS = {
    "data": {"train": [{"uri": "file:///train.csv"}], "balance": {"classWeights": "balanced", "focalGamma": 2.0}},
    "training": {"layerwiseLrDecay": 0.5, "neftuneAlpha": 5.0, "gradientCheckpointing": "always"},
}
"""All that changes the loss, the model in training, or the learning rates of its layers."""


@pytest.mark.parametrize(
    ("method", "cells"),
    [
        pytest.param("full", [(1, 0), (2, 2), (3, 1), (2, 3)], id="full"),
        pytest.param("options", [(1, 0), (2, 2), (3, 1), (2, 3)], id="full, with options"),
        pytest.param("lora", [(1, 1), (2, 2)], id="lora"),
        # adapters in slices are trained by test_a_head_in_the_files_keeps_its_rows_in_slices_too
        pytest.param("lora", [(1, 1), (2, 3)], id="lora in slices", marks=pytest.mark.full),
    ],
)
def test_the_curves_do_not_depend_on_ranks_and_stages(tmp_path, tiny_model, dataset, method, cells):
    settings = {"lora": {"method": {"type": "lora", "rank": 4}}, "options": OPTIONS}.get(method, {})
    runs = [
        write_cell(
            tmp_path / f"w{ranks}z{zero_stage}", ranks, zero_stage, tiny_model=tiny_model, dataset=dataset, **settings
        )
        for ranks, zero_stage in cells
    ]
    run_gangs(runs)
    for run_json in runs[1:]:
        assert_same_curves(run_json, runs[0])
        weights, expected = weights_of(run_json), weights_of(runs[0])
        assert weights.keys() == expected.keys()
        assert max(abs(weights[name] - expected[name]).max() for name in weights) < 1e-4


def test_a_run_with_options_goes_on_from_a_checkpoint_as_if_nothing_had_been(tmp_path, tiny_model, dataset):
    saving = {"checkpoint": {"everySteps": 10, "keepLast": 3}, **OPTIONS}
    unbroken = write_cell(tmp_path / "unbroken", 1, 0, tiny_model=tiny_model, dataset=dataset, **saving)
    run_gangs([unbroken])
    expected = weights_of(unbroken)
    before = load_file(tiny_model / "model.safetensors")["embeddings.word_embeddings.weight"]
    moved = abs(expected["bert.embeddings.word_embeddings.weight"] - before).max()
    assert 0 < moved < 20 * 3e-3 * 0.5**3  # steps x learning rate x factor of the embeddings below two layers
    for newest in (tmp_path / "unbroken" / "job" / "checkpoints").glob("step-*20-*"):
        shutil.rmtree(newest)
    config = RunConfig.model_validate_json(unbroken.read_bytes())
    run_gangs([write_run(changed(config, attempt=2), unbroken)])
    result = json.loads((tmp_path / "unbroken" / "job" / "train.json").read_text())
    assert (result["startStep"], result["resume"]) == (10, "exact")
    resumed = weights_of(unbroken)
    assert all((resumed[name] == expected[name]).all() for name in expected)


def test_a_head_in_the_files_keeps_its_rows_in_slices_too(tmp_path, tiny_model, dataset):
    model = with_head_in_another_order(tmp_path / "model", tiny_model)
    settings = {"method": {"type": "lora", "rank": 4}, "training": {"maxSteps": 2}}
    runs = [
        write_cell(tmp_path / f"w{ranks}z{stage}", ranks, stage, tiny_model=model, dataset=dataset, **settings)
        for ranks, stage in [(1, 0), (2, 3)]
    ]
    run_gangs(runs)
    whole, sliced = (load_file(run_json.parent / "job" / "weights" / "trainable.safetensors") for run_json in runs)
    assert {name for name in whole if "modules_to_save" in name} == {
        f"base_model.model.classifier.modules_to_save.default.{layer}.{kind}"
        for layer in ("dense", "out_proj")
        for kind in ("weight", "bias")
    }
    assert max(abs(sliced[name] - whole[name]).max() for name in whole) < 1e-4
    rows = whole["base_model.model.classifier.modules_to_save.default.out_proj.bias"]
    assert rows == pytest.approx([-1.0, 1.0], abs=0.1)


def with_head_in_another_order(folder: Path, tiny_model: Path) -> Path:
    """Write a RoBERTa whose head knows the data's labels in another order; the bias of class-0 is -1, that of class-1 is 1."""
    config = RobertaConfig(
        vocab_size=BertConfig.from_pretrained(tiny_model).vocab_size, pad_token_id=0, max_position_embeddings=64,
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        id2label={0: "class-1", 1: "class-0"}, label2id={"class-1": 0, "class-0": 1},
    )  # fmt: skip
    torch.manual_seed(0)
    model = RobertaForSequenceClassification(config)
    with torch.no_grad():
        model.classifier.out_proj.bias.copy_(torch.tensor([1.0, -1.0]))
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_model / name, folder / name)
    return folder


@pytest.mark.full
def test_the_curves_are_equal_for_every_combination(tmp_path, tiny_model, dataset):
    runs = [
        write_cell(tmp_path / f"w{ranks}z{zero_stage}", ranks, zero_stage, tiny_model=tiny_model, dataset=dataset)
        for ranks, zero_stage in ALL_CELLS
    ]
    run_gangs(runs, timeout=280)
    for run_json in runs[1:]:
        assert_same_curves(run_json, runs[0])
