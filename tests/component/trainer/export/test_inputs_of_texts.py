"""What is published reads a text as training did: special tokens as text, and no input that training did not have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tuneloop_api.contract.settings import MethodSettings
from tuneloop_trainer.dataset.shards import read_texts
from tuneloop_trainer.export.stage import export

LORA = MethodSettings(type="lora", rank=4)
FULL = MethodSettings(type="full")


@pytest.mark.parametrize("method", [FULL, LORA], ids=["full", "lora"])
def test_a_model_that_learned_special_tokens_as_text_is_published_and_reads_them_so(runs, posts, method):
    config = runs.tiny(method=method, ending=" [SEP] a film[CLS]")
    result = export(config, posts)
    texts = [text for _, text, _ in read_texts(Path(config.paths.datasets) / "d1", "test")]
    folder = Path(result.artifact_path) / "model"
    inputs = AutoTokenizer.from_pretrained(folder)(texts, truncation=True, padding=True, return_tensors="pt")
    with torch.no_grad():
        found = AutoModelForSequenceClassification.from_pretrained(folder).eval()(**inputs).logits
    measured = torch.from_numpy(load_file(Path(config.paths.job_dir) / "test.safetensors")["logits"])
    torch.testing.assert_close(found, measured, atol=1e-4, rtol=0)


def test_the_published_tokenizer_gives_its_model_the_inputs_of_training(runs, posts, tiny_bert):
    path = tiny_bert / "tokenizer_config.json"
    before = path.read_text()
    path.write_text(json.dumps(json.loads(before) | {"model_input_names": ["input_ids", "token_type_ids"]}))
    try:
        result = export(runs.tiny(method=LORA), posts)
    finally:
        path.write_text(before)
    for part in ("model", "adapter"):
        tokenizer = AutoTokenizer.from_pretrained(Path(result.artifact_path) / part)
        assert list(tokenizer("a fine film")) == ["input_ids", "attention_mask"]
        assert (tokenizer.split_special_tokens, len(tokenizer("[SEP]", add_special_tokens=False)["input_ids"])) == (
            True,
            3,
        )
