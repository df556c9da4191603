"""The two models of the matrix of domains: logistic regression on TF-IDF, and MiniLM fine-tuned by `tuneloop run`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from demo_loop.domains import TEST, VALIDATION, Row
from demo_loop.files import write_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    Predict = Callable[[list[str]], list[str]]

STRENGTHS = (0.3, 1.0, 3.0, 10.0)
"""Of logistic regression (C); chosen on validation rows of the domain that the model learns from."""
MAX_TOKENS = 64
_BATCH = 64


def fit_linear(train: list[Row], validation: list[Row]) -> Predict:
    """Fit logistic regression on TF-IDF of words and word pairs."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    inputs = features.fit_transform([row.text for row in train])
    held_out = features.transform([row.text for row in validation])
    labels = [row.label for row in train]
    candidates = [LogisticRegression(C=strength, max_iter=1000).fit(inputs, labels) for strength in STRENGTHS]
    best = max(candidates, key=lambda model: model.score(held_out, [row.label for row in validation]))
    return lambda texts: list(best.predict(features.transform(texts)))


def fine_tune(name: str, train: list[Row], splits: dict[str, list[Row]], *, folder: Path, claim: Path) -> Predict:
    """Fine-tune MiniLM with a job of the local mode below `folder`, which goes on from a run that is there."""
    rows = {"train": train, VALIDATION: splits[VALIDATION], TEST: splits[TEST]}
    place = folder / "claims" / "demo"
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "minilm").exists():
        (place / "minilm").symlink_to(claim.resolve() / "minilm")
    for split, found in rows.items():
        write_rows(found, place / f"{name}-{split}.csv")
    manifest = folder / f"{name}.yaml"
    manifest.write_text(yaml.safe_dump(_job(name)))
    tuneloop = [
        str(Path(sys.executable).parent / "tuneloop"),
        "run",
        "-f",
        str(manifest),
        "--dir",
        str(folder),
        "--plain",
    ]
    subprocess.run(tuneloop, check=True)
    get = [tuneloop[0], "get", "ftj", name, "-o", "json", "--dir", str(folder)]
    job = json.loads(subprocess.run(get, check=True, capture_output=True).stdout)
    artifact = job["status"]["artifact"]
    known = folder / f"answers-{artifact['digest'].removeprefix('sha256:')[:16]}.json"
    return _remembered(_predictor(folder / "claims" / artifact["uri"].removeprefix("pvc://") / "model"), known)


def _job(name: str) -> dict:
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": name},
        "spec": {
            "model": {"uri": "pvc://demo/minilm", "labels": ["negative", "positive"]},
            "task": "text-classification",
            "data": {
                "train": [{"uri": f"pvc://demo/{name}-train.csv"}],
                "validation": [{"uri": f"pvc://demo/{name}-{VALIDATION}.csv"}],
                "test": [{"uri": f"pvc://demo/{name}-{TEST}.csv"}],
                "maxTokens": MAX_TOKENS,
            },
            "method": {"type": "full"},
            "training": {"epochs": 1, "globalBatchSize": 32, "microBatchSize": 16, "learningRate": 2e-4},
            "evaluation": {"baselines": False},
            "resources": {"nodes": 2, "gpusPerNode": 0},
            "storage": {"claim": "demo"},
        },
    }


def _remembered(predict: Predict, path: Path) -> Predict:
    """Return the same predictions, of which each text's is computed once and kept in a file."""
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def remembered(texts: list[str]) -> list[str]:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, predict(new), strict=True))
        path.write_text(json.dumps(known))
        return [known[text] for text in texts]

    return remembered


def _predictor(model_folder: Path) -> Predict:
    """Return the predictions of a published model by transformers alone."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForSequenceClassification.from_pretrained(model_folder).eval()

    def predict(texts: list[str]) -> list[str]:
        answers = [""] * len(texts)
        torch.set_num_threads(1)  # on a busy machine threads that wait for each other cost most of the time
        by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        with torch.inference_mode():
            for start in range(0, len(texts), _BATCH):
                rows = by_length[start : start + _BATCH]
                batch = tokenizer(
                    [texts[row] for row in rows],
                    truncation=True,
                    max_length=MAX_TOKENS,
                    padding=True,
                    return_tensors="pt",
                )
                for row, best in zip(rows, model(**batch).logits.argmax(dim=1), strict=True):
                    answers[row] = model.config.id2label[int(best)]
        return answers

    return predict
