"""A model is loaded with fused attention where its class has it, and with plain attention elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from run_configs import run_config
from tiny_models import sentences, tiny_tokenizer, write_csv
from transformers import BertConfig, BertModel, DebertaConfig, DebertaModel, MPNetConfig, MPNetModel

from tuneloop_trainer.check import check
from tuneloop_trainer.models.load import load_model
from tuneloop_trainer.prepare import prepare
from tuneloop_trainer.report import Reporter
from tuneloop_trainer.tasks import TASKS

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 60}


WITH_NEW_HEADS = {name: task for name, task in TASKS.items() if task.has_new_head}


@pytest.mark.parametrize("task", WITH_NEW_HEADS.values(), ids=WITH_NEW_HEADS)
@pytest.mark.parametrize(
    ("model", "attention"),
    [
        pytest.param(lambda: BertModel(BertConfig(**SIZES)), "sdpa", id="BERT"),
        pytest.param(lambda: DebertaModel(DebertaConfig(**SIZES)), "eager", id="DeBERTa"),
        pytest.param(lambda: MPNetModel(MPNetConfig(**SIZES)), "eager", id="MPNet"),
    ],
)
def test_the_attention_is_that_of_the_class(tmp_path: Path, model: Any, attention: str, task: Any) -> None:
    model().save_pretrained(tmp_path)
    loaded: Any = load_model(tmp_path, task=task, labels=["O", "B-A"], pad_token_id=0, dropout=None, seed=0)
    assert loaded.config._attn_implementation == attention
    ids = torch.ones(2, 5, dtype=torch.int64)
    assert task.head_values(loaded(input_ids=ids, attention_mask=ids)).isfinite().all()


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize(("kind", "attention"), [(BertModel, "sdpa"), (DebertaModel, "eager")])
def test_the_plan_and_the_job_say_which_attention_is_used(
    tmp_path: Path, kind: Any, attention: str, method: str
) -> None:
    tokenizer = tiny_tokenizer()
    sizes = SIZES | {"vocab_size": len(tokenizer), "max_position_embeddings": 64}
    kind(kind.config_class(**sizes)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    write_csv(tmp_path / "train.csv", sentences(300))
    config = run_config(tmp_path, model=tmp_path / "model", method={"type": method})
    assert check(config).resolved.attention == attention
    assert prepare(config, Reporter(config)).resolved.attention == attention
