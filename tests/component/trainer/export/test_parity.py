"""The proof before publishing: rounding is no fault, and no fault hides behind rounding."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from finished_runs import Measuring, RunMaker, invented_rows
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors

from tuneloop_api.contract.results import PrepareResult, TrainResult
from tuneloop_api.contract.settings import MethodSettings
from tuneloop_trainer.errors import StageError
from tuneloop_trainer.export.checked_files import check_files, write_files
from tuneloop_trainer.export.exporters.exporter import ExportInputs
from tuneloop_trainer.export.inputs import read_split
from tuneloop_trainer.export.parity import sample
from tuneloop_trainer.export.stage import export
from tuneloop_trainer.stage_result import read_result

LORA = MethodSettings(type="lora", rank=4)
FULL = MethodSettings(type="full")
LARGE = 3000.0
"""Scale of the head at which the logits have two digits before the point."""
NO_FRILLS = {"evaluation": {"baselines": False, "bootstrapSamples": 100}}


def inputs_of(config: Any) -> ExportInputs:
    return ExportInputs(
        settings=config.settings,
        prepared=read_result(config.prepare_result, PrepareResult, field="prepareResult"),
        trained=read_result(config.train_result, TrainResult, field="trainResult"),
    )


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
def test_large_logits_of_a_deep_model_in_bf16_are_published(runs, posts, deep_bert, method):
    measuring = Measuring(precision="bf16", head_scale=LARGE)
    config = runs.make(deep_bert, invented_rows(), method=method, measuring=measuring, **NO_FRILLS)
    measured = load_file(Path(config.paths.job_dir) / "test.safetensors")["logits"]
    assert 10 < np.abs(measured).max() < 1000
    assert export(config, posts).digest


def test_large_logits_in_fp32_are_published(runs, posts, tiny_bert):
    config = runs.make(tiny_bert, invented_rows(), measuring=Measuring(head_scale=1e6), **NO_FRILLS)
    assert export(config, posts).digest


def in_weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def spoil(artifact: Path) -> None:
        path = artifact / "model" / "model.safetensors"
        tensors = load_tensors(path)
        change(tensors)
        save_tensors({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})

    return spoil


def swapped_labels(tensors: dict[str, torch.Tensor]) -> None:
    for name in ("classifier.weight", "classifier.bias"):
        tensors[name] = tensors[name].flip(0)


def without_a_layer(tensors: dict[str, torch.Tensor]) -> None:
    for name in [name for name in tensors if ".layer.1." in name]:
        del tensors[name]


def one_row_altered(tensors: dict[str, torch.Tensor]) -> None:
    tensors["bert.encoder.layer.1.output.dense.weight"][5] *= 0.5


def one_row_of_the_head_altered(tensors: dict[str, torch.Tensor]) -> None:
    tensors["classifier.weight"][1] *= 1.01


def one_row_of_the_head_doubled(tensors: dict[str, torch.Tensor]) -> None:
    tensors["classifier.weight"][1] *= 2


def other_names(artifact: Path) -> None:
    path = artifact / "model" / "config.json"
    config = json.loads(path.read_text()) | {"id2label": {"0": "positive", "1": "negative"}}
    path.write_text(json.dumps(config))


def an_adapter_less(artifact: Path) -> None:
    path = artifact / "adapter" / "adapter_model.safetensors"
    tensors = load_tensors(path)
    name = next(name for name in tensors if "lora_B" in name)
    tensors[name].zero_()
    save_tensors(tensors, path, metadata={"format": "pt"})


FAULTS = [
    pytest.param(in_weights(swapped_labels), "is not what was trained", id="labels swapped"),
    pytest.param(in_weights(without_a_layer), "is not what was trained", id="a layer not written"),
    pytest.param(in_weights(one_row_altered), "is not what was trained", id="one row of a weight altered"),
    pytest.param(in_weights(one_row_of_the_head_altered), "is not what was trained", id="one row of the head altered"),
    pytest.param(an_adapter_less, "the adapter in the artifact is not what was trained", id="an adapter not written"),
    pytest.param(other_names, "names the classes", id="names of labels swapped"),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory, tiny_bert, deep_bert) -> Callable[[str], Any]:
    """Runs whose files were written, by precision."""
    made = {}

    def of(precision: str) -> Any:
        if precision not in made:
            maker = RunMaker(folder=tmp_path_factory.mktemp(precision), tiny_bert=tiny_bert)
            base, measuring = (
                (tiny_bert, Measuring(head_scale=30.0))
                if precision == "fp32"
                else (deep_bert, Measuring(precision="bf16", head_scale=LARGE))
            )
            inputs = inputs_of(maker.make(base, invented_rows(), method=LORA, measuring=measuring, **NO_FRILLS))
            folder = maker.folder / "artifact"
            test = read_split(inputs.trained.predictions, "test")
            expected = sample(test, task=inputs.task, dataset=Path(inputs.prepared.dataset_path))
            exporters, trained = write_files(folder, inputs, expected)
            made[precision] = SimpleNamespace(
                folder=folder,
                check=lambda place: check_files(place, exporters, inputs, expected=expected, trained=trained),
            )
            made[precision].check(folder)
        return made[precision]

    return of


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("spoil", "message"), FAULTS)
def test_a_wrong_export_is_not_published_whatever_the_precision(written, tmp_path, precision, spoil, message):
    run = written(precision)
    artifact = tmp_path / "artifact"
    shutil.copytree(run.folder, artifact)
    spoil(artifact)
    with pytest.raises(StageError, match=message):
        run.check(artifact)


@pytest.mark.parametrize(
    "change", [swapped_labels, one_row_of_the_head_doubled], ids=["labels swapped", "a row doubled"]
)
def test_weights_that_training_did_not_measure_are_not_published_in_bf16(runs, posts, deep_bert, change):
    measuring = Measuring(precision="bf16", head_scale=LARGE)
    config = runs.make(deep_bert, invented_rows(), measuring=measuring, **NO_FRILLS)
    path = Path(config.paths.job_dir) / "weights" / "trainable.safetensors"
    tensors = load_tensors(path)
    change(tensors)
    save_tensors({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    with pytest.raises(StageError, match="from what training measured.*nothing was published"):
        export(config, posts)
