"""Artifacts of revisions that must not take over: each is the good model with one thing wrong."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from artifact import make_artifact, write_manifest
from tiny_models import SPECIAL, WORDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch
    from transformers import PreTrainedModel

LABELS = ("negative", "positive")
_LAYERS = 48
_FIRST_WORD = len(SPECIAL)


def write_good(folder: Path, model_folder: Path, texts: list[str]) -> None:
    """Write an artifact whose scores differ from text to text: on these texts the logits of the two classes differ by 0 ± 1.5."""
    make_artifact(folder, model_folder, LABELS)
    logits = _logits(folder, texts)
    apart = logits[:, 1] - logits[:, 0]

    def spread(model: PreTrainedModel) -> None:
        scale = float(1.5 / apart.std())
        model.classifier.weight.data *= scale
        model.classifier.bias.data[1] = model.classifier.bias.data[0] - scale * float(apart.mean())

    _change(folder, spread)
    _write_manifest(folder)


def write_changed(folder: Path, good: Path, change: Callable[[PreTrainedModel], None]) -> None:
    """Write the artifact `good` to a folder, with other weights."""
    shutil.copytree(good / "model", folder / "model")
    _change(folder, change)
    _write_manifest(folder)


def _write_manifest(folder: Path) -> None:
    write_manifest(folder, LABELS, name="reviews", max_tokens=64, temperature=1.0)


def _change(folder: Path, change: Callable[[PreTrainedModel], None]) -> None:
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder / "model")
    change(model)
    model.save_pretrained(folder / "model")


def swap_classes(model: PreTrainedModel) -> None:
    """Let each class be predicted as the other one."""
    model.classifier.weight.data = model.classifier.weight.data.flip(0)
    model.classifier.bias.data = model.classifier.bias.data.flip(0)


def grow_too_sure(model: PreTrainedModel) -> None:
    """Let the same classes be predicted with almost no doubt."""
    model.classifier.weight.data *= 10
    model.classifier.bias.data *= 10


def change_nothing_that_counts(model: PreTrainedModel) -> None:
    """Let the file differ, and no answer."""
    model.classifier.bias.data += 1e-6


def wrong_but_for(good: Path, text: str) -> Callable[[PreTrainedModel], None]:
    """Return a change after which one text has the class that `good` gives it, and most others have the wrong one."""
    low, high = _logits(good, [text])[0].tolist()

    def change(model: PreTrainedModel) -> None:
        swap_classes(model)
        model.classifier.bias.data[1] += 1.1 * (high - low)

    return change


def lose_numbers(model: PreTrainedModel) -> None:
    """Let the scores of all texts be NaN but of those without a word of the vocabulary: with all of them the server would end as it loads the model."""
    embeddings = model.base_model.embeddings.word_embeddings.weight.data
    embeddings[_FIRST_WORD : _FIRST_WORD + len(WORDS)].fill_(float("nan"))
    embeddings[_FIRST_WORD + WORDS.index("warm")].fill_(0.0)  # of the text that a server tries


def slow_down(model: PreTrainedModel) -> None:
    """Add layers that change nothing: what a layer adds to its input is 0, and to normalize twice is to normalize."""
    from copy import deepcopy

    layers = model.base_model.encoder.layer
    for _ in range(_LAYERS):
        layer = deepcopy(layers[-1])
        for dense in (layer.attention.output.dense, layer.output.dense):
            dense.weight.data.zero_()
            dense.bias.data.zero_()
        layers.append(layer)
    model.config.num_hidden_layers = len(layers)


def write_golden_set(path: Path, good: Path, texts: list[str]) -> None:
    """Label texts by chance, with the probabilities that the good model gives: its confidence is right."""
    import torch

    shares = torch.softmax(_logits(good, texts), dim=-1)
    chosen = torch.multinomial(shares, 1, generator=torch.Generator().manual_seed(0))[:, 0].tolist()
    rows = [{"inputs": text, "label": LABELS[row]} for text, row in zip(texts, chosen, strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_own_answers(path: Path, good: Path, texts: list[str]) -> None:
    """Label texts as the good model does: it is right on each of them."""
    chosen = _logits(good, texts).argmax(dim=-1).tolist()
    rows = [{"inputs": text, "label": LABELS[row]} for text, row in zip(texts, chosen, strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _logits(folder: Path, texts: list[str]) -> torch.Tensor:
    """Return the logits of an artifact's model, (texts, classes)."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder / "model").eval()
    tokens = AutoTokenizer.from_pretrained(folder / "model")(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model(**tokens).logits
