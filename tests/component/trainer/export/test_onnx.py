"""`onnx/`: every architecture gives the logits of torch at any shape, and what is published has the proof beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from tiny_architectures import END, PAD, VOCABULARY, inputs, tiny_config

from tuneloop_trainer.export.exporters.onnx_model import OnnxSession, write_graph
from tuneloop_trainer.export.rounding import compare
from tuneloop_trainer.tasks import TASKS

TEXTS, TOKENS = TASKS["text-classification"], TASKS["token-classification"]
ARCHITECTURES = [
    *((TEXTS, name) for name in ("albert", "bart", "bert", "distilbert", "electra", "gpt2", "llama", "modernbert", "mpnet", "qwen2", "t5", "xlnet")),
    *((TOKENS, name) for name in ("deberta-v2", "roberta")),
]  # fmt: skip
SHAPES = [(1, 1), (1, 7), (3, 2), (5, 31)]


def perturbed(model_type: str, task) -> torch.nn.Module:
    torch.manual_seed(0)
    model = getattr(transformers, task.auto_class).from_config(tiny_config(model_type, ["O", "B-A", "I-A"])).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def batch(rows: int, tokens: int) -> dict[str, torch.Tensor]:
    """Return rows that end with the end token; the first is padded, where there is room."""
    ids = torch.randint(END + 1, VOCABULARY, (rows, tokens), generator=torch.Generator().manual_seed(rows))
    ids[:, -1] = END
    if rows > 1 and tokens > 3:
        ids[0, -3:] = torch.tensor([END, PAD, PAD])
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


@pytest.mark.parametrize(("task", "model_type"), [pytest.param(*both, id=both[1]) for both in ARCHITECTURES])
def test_the_file_gives_the_logits_of_torch_at_any_shape(tmp_path: Path, task, model_type: str) -> None:
    model = perturbed(model_type, task)
    write_graph(model, tmp_path / "model.onnx", inputs())
    session = OnnxSession(tmp_path / "model.onnx")
    for rows, tokens in SHAPES:
        given = batch(rows, tokens)
        with torch.inference_mode():
            expected = model(**given).logits
        found = session(**given).logits
        assert found.shape == expected.shape
        difference = compare(found.flatten(end_dim=-2).numpy(), expected.flatten(end_dim=-2).numpy(), precision="fp32")
        assert difference.is_rounding, (rows, tokens, difference.largest, difference.allowed)
