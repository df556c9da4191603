"""Faults that came out after hours of training only: `prepare` finds each, and says in which part and what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from run_configs import run_config
from safetensors.torch import load_file, save_file
from tiny_models import sentences, write_csv
from transformers import BertForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput

from tuneloop_api.wire.model import changed
from tuneloop_trainer.errors import ConfigError, StageError, UserCodeError
from tuneloop_trainer.failures import failure_of
from tuneloop_trainer.prepare import prepare
from tuneloop_trainer.report import Reporter

if TYPE_CHECKING:
    from tuneloop_api.contract.results import PrepareResult

SKIP = "preflight.rehearsal: false lets the job go on without this check"


def rehearsed(folder: Path, model: Path, **settings: Any) -> PrepareResult:
    write_csv(folder / "train.csv", sentences(200))
    config = run_config(
        folder, model=model, **{"method": {"type": "full"}, "preflight": {"rehearsal": True}} | settings
    )
    return prepare(config, Reporter(config))


def refusal(folder: Path, model: Path, **settings: Any) -> StageError:
    """Return the error of `prepare`, which must be one that is not retried and leave no files of the rehearsal behind."""
    with pytest.raises(StageError) as raised:
        rehearsed(folder, model, **settings)
    assert failure_of(raised.value).failure_class in {"Config", "UserCode"}
    assert raised.value.hint is not None
    assert raised.value.hint.endswith(SKIP)
    assert sorted(path.name for path in (folder / "job").iterdir()) == []
    return raised.value


def test_a_healthy_model_is_rehearsed_once(tmp_path: Path, model: Path) -> None:
    first = rehearsed(tmp_path, model)
    assert first.rehearsal is not None
    assert first.rehearsal.startswith("trained, saved, exported and loaded this model in ")
    assert [path.name for path in (tmp_path / "job").iterdir()] == ["rehearsal.json"]
    begun = (tmp_path / "job" / "rehearsal.json").stat().st_mtime_ns
    assert rehearsed(tmp_path, model, training={"epochs": 5.0}).rehearsal == first.rehearsal
    assert (tmp_path / "job" / "rehearsal.json").stat().st_mtime_ns == begun


def test_without_the_rehearsal_training_gets_the_same(tmp_path: Path, model: Path) -> None:
    """What training reads is `prepare.json` and the data set."""
    without = rehearsed(tmp_path, model, preflight={"rehearsal": False})
    assert without.rehearsal is None
    assert not list((tmp_path / "job").iterdir())
    files = {path: path.read_bytes() for path in Path(without.dataset_path).rglob("*") if path.is_file()}
    again = rehearsed(tmp_path, model)
    assert changed(again, rehearsal=None, cache_hit=False) == without
    assert {path: path.read_bytes() for path in Path(without.dataset_path).rglob("*") if path.is_file()} == files


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_head_that_the_loss_does_not_reach(
    tmp_path: Path, model: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> Any:
        pooled = self.bert(input_ids, attention_mask=attention_mask)[1]
        return SequenceClassifierOutput(logits=pooled[:, : self.num_labels])

    monkeypatch.setattr(BertForSequenceClassification, "forward", forward)
    found = refusal(tmp_path, model, method={"type": method})
    assert isinstance(found, UserCodeError)
    assert "the rehearsal failed in training: the loss does not reach the head (" in found.message
    assert "classifier" in found.message


def test_an_export_that_drops_the_name_of_a_label(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = BertForSequenceClassification.save_pretrained

    def without_a_label(self: Any, folder: Path, *more: Any, **named: Any) -> None:
        save(self, folder, *more, **named)
        config = json.loads((Path(folder) / "config.json").read_text())
        config["id2label"]["1"] = "LABEL_1"
        (Path(folder) / "config.json").write_text(json.dumps(config))

    monkeypatch.setattr(BertForSequenceClassification, "save_pretrained", without_a_label)
    found = refusal(tmp_path, model)
    assert found.message.startswith("the rehearsal failed as the exported files were compared with the trained model: ")
    assert "names the classes ['class-0', 'LABEL_1'], ['class-0', 'class-1'] are expected" in found.message


def test_an_export_that_loses_what_was_trained(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was trained by two steps must be more than rounding."""
    save = BertForSequenceClassification.save_pretrained

    def without_a_weight(self: Any, folder: Path, *more: Any, **named: Any) -> None:
        save(self, folder, *more, **named)
        weights, before = Path(folder) / "model.safetensors", load_file(model / "model.safetensors")
        name = "encoder.layer.0.output.dense.weight"
        save_file(load_file(weights) | {f"bert.{name}": before[name]}, weights, metadata={"format": "pt"})

    monkeypatch.setattr(BertForSequenceClassification, "save_pretrained", without_a_weight)
    found = refusal(tmp_path, model, method={"type": "lora"})
    assert "the model in the artifact is not what was trained" in found.message


def test_a_model_whose_code_refuses_its_inputs(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> Any:
        raise ValueError("this model needs the places of the words on the page\nand more")

    monkeypatch.setattr(BertForSequenceClassification, "forward", forward)
    found = refusal(tmp_path, model)
    assert isinstance(found, UserCodeError)
    assert found.message.startswith(
        "the rehearsal failed in training: ValueError: this model needs the places of the words on the page (test_faults.py, line "
    )


def test_weights_that_became_infinite_in_a_conversion(tmp_path: Path, model: Path) -> None:
    broken = shutil.copytree(model, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    name = "encoder.layer.1.output.dense.weight"
    weights[name] = (weights[name] * 1e7).half().float()
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    found = refusal(tmp_path, broken)
    assert isinstance(found, ConfigError)
    assert found.message == (
        f"the rehearsal failed in training: spec.model.uri: 1 weights of the model hold NaN or infinity, for example bert.{name}"
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_loss_that_is_no_number(tmp_path: Path, model: Path, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = BertForSequenceClassification.forward

    def too_large(self: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> Any:
        output = forward(self, input_ids=input_ids, attention_mask=attention_mask)
        return SequenceClassifierOutput(logits=output.logits.half() * 1e30 - output.logits.half() * 1e30)

    monkeypatch.setattr(BertForSequenceClassification, "forward", too_large)
    found = refusal(tmp_path, model, training={"precision": precision})
    assert found.message == "the rehearsal failed in training: the loss of step 1 is nan"
    assert found.hint is not None
    assert ("take training.precision: fp32" in found.hint) == (precision == "bf16")


def test_a_padding_token_without_an_embedding(tmp_path: Path, model: Path) -> None:
    larger = shutil.copytree(model, tmp_path / "larger")
    tokenizer = json.loads((larger / "tokenizer.json").read_text())
    size = len(tokenizer["model"]["vocab"])
    added = {"id": size, "content": "<pad>", "special": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    tokenizer["added_tokens"].append(added | flags)
    (larger / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = json.loads((larger / "tokenizer_config.json").read_text())
    (larger / "tokenizer_config.json").write_text(json.dumps(settings | {"pad_token": "<pad>"}))
    found = refusal(tmp_path, larger)
    assert found.message == (
        f"the rehearsal failed as the tokenizer was compared with the model: spec.model.uri: the tokenizer pads with the id {size}, "
        f"the model has {size} embeddings, from 0 on"
    )
