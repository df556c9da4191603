"""Model cards, whole, as people read them: each number and each word. `TUNELOOP_UPDATE_GOLDEN=1 pytest …` writes the files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuneloop_api.contract.results import DataCounts, Finding, Measured, PrepareResult, Resolved, SavedStep, TrainResult
from tuneloop_api.contract.settings import Settings
from tuneloop_trainer.evaluation.measure import Evaluation
from tuneloop_trainer.evaluation.metrics import ClassScore
from tuneloop_trainer.export.baseline_comparison import BaselineComparison
from tuneloop_trainer.export.card_facts import Facts
from tuneloop_trainer.export.exporters.exporter import ExportInputs
from tuneloop_trainer.export.model_card import model_card

GOLDEN = Path(__file__).parents[3] / "golden" / "cards"


def value(name: str, number: float, spread: float | None = None) -> Measured:
    ends = {} if spread is None else {"low": number - spread, "high": number + spread}
    return Measured(name=name, value=number, **ends)


def prepared(labels: list[str]) -> PrepareResult:
    return PrepareResult(
        dataset_digest="d1",
        dataset_path="/datasets/d1",
        model_path="/models/m1",
        model_revision="r1",
        model_type="bert",
        counts=DataCounts(
            rows=1000,
            splits={"train": 800, "validation": 110, "test": 90},
            bad=3,
            duplicates=5,
            truncated=7,
        ),
        resolved=Resolved(
            labels=labels,
            max_tokens=128,
            global_batch_size=32,
            micro_batch_size=8,
            steps_per_epoch=25,
            total_steps=75,
            warmup_steps=4,
            learning_rate=2e-4,
            precision="bf16",
            zero_stage=2,
        ),
        report_path="/datasets/d1/report.json",
        cache_hit=False,
    )


def trained(**facts: Any) -> TrainResult:
    usual = {
        "attempt": 1,
        "world_size": 2,
        "start_step": 0,
        "steps": 75,
        "stopped_early": False,
        "last": SavedStep(step=75, path="checkpoints/step-75-a1"),
        "weights_path": "/job/weights",
        "predictions": {},
        "log_path": "/job/log.jsonl",
        "resume": "exact",
        "precision": "fp32",
        "tokens_per_second": 100.0,
        "padding_fraction": 0.02,
    }
    return TrainResult(**(usual | facts))


def scores(**supports: int) -> dict[str, ClassScore]:
    return {
        name: ClassScore(precision=0.8 + 0.01 * place, recall=0.7, f1=0.75, support=support)
        for place, (name, support) in enumerate(supports.items())
    }


def full_model_of_the_hub() -> Facts:
    settings = {
        "model": {"uri": "hf://org/name"},
        "task": "text-classification",
        "data": {
            "train": [{"uri": f"pvc://demo/part-{number}.csv"} for number in range(7)],
            "balance": {"classWeights": "effective-number", "focalGamma": 0.5},
        },
        "method": {"type": "full"},
        "training": {
            "scheduler": "cosine",
            "labelSmoothing": 0.1,
            "neftuneAlpha": 5.0,
            "layerwiseLrDecay": 0.9,
            "gradientCheckpointing": "always",
            "beta1": 0.85,
            "beta2": 0.99,
            "seed": 7,
        },
        "output": {"checkpoint": "best"},
    }
    found = [
        Finding(name="OverFitting", message="the validation loss rose by 0.2", advice="Train for fewer steps."),
        Finding(name="Straggler", message="rank 1 is slow", advice="Look at its node."),
        Finding(name="LearningRateTooHigh", message="the loss jumped twice", advice="Lower the learning rate."),
    ]
    return Facts(
        name="reviews",
        inputs=ExportInputs(
            settings=Settings.model_validate(settings),
            prepared=prepared(["negative", "positive"]),
            trained=trained(steps=50, stopped_early=True, findings=found, precision="bf16"),
        ),
        evaluation=Evaluation(
            metrics=[
                value("accuracy", 0.8612, 0.02),
                value("macro_f1", 0.86, 0.021),
                value("mcc", 0.72, 0.03),
                value("auroc", 0.93456, 0.01),
                value("log_loss", 0.41, 0.05),
                value("ece", 0.0711),
                value("log_loss_calibrated", 0.36, 0.04),
                value("ece_calibrated", 0.0211),
            ],
            confusion=np.array([[40, 6], [5, 39]]),
            classes=scores(negative=30, positive=29),
            temperature=1.23456,
            calibration="The fitted temperature lowers the log loss from 0.4000 to 0.3500.",
        ),
        comparison=BaselineComparison(
            baselines=[
                value("majority", 0.5093, 0.03),
                value("tfidf-linear", 0.7612, 0.025),
                value("before-training", 0.49, 0.03),
            ],
            paired=value("accuracy_gain_over_tfidf_linear", 0.1, 0.02),
            rival_description="word pairs",
        ),
        published_step=45,
        license="apache-2.0",
        parts=["model"],
        library="transformers",
    )


def many(classes: int) -> list[str]:
    return [f"class-{number}" for number in range(classes)]


def adapter_alone_of_many_classes(labels: Sequence[str] = tuple(many(21))) -> Facts:
    settings = {
        "model": {"uri": "pvc://demo/model"},
        "task": "text-classification",
        "data": {"train": [{"uri": f"pvc://demo/part-{number}.csv"} for number in range(5)]},
        "method": {"type": "lora", "rank": 4},
        "training": {"maxGradNorm": 0, "weightDecay": 0.02},
        "output": {"checkpoint": "last", "mergeAdapter": False},
    }
    return Facts(
        name="topics",
        inputs=ExportInputs(
            settings=Settings.model_validate(settings), prepared=prepared([*labels]), trained=trained()
        ),
        evaluation=Evaluation(
            metrics=[value("log_loss", 1.5), value("ece", 0.05), value("accuracy", 0.5, 0.1)],
            confusion=np.eye(len(labels), dtype=np.int64),
            classes=scores(**dict.fromkeys(labels, 31)),
            temperature=1.0,
            calibration="No temperature was fitted: 12 validation rows are too few, 30 are needed.",
        ),
        comparison=BaselineComparison(baselines=[]),
        published_step=75,
        license=None,
        parts=["adapter"],
        library="peft",
    )


def tags_of_an_adapter_and_its_model() -> Facts:
    settings = {
        "model": {"uri": "hf://org/name"},
        "task": "token-classification",
        "data": {"train": [{"uri": "pvc://demo/tags.jsonl"}]},
        "method": {"type": "lora", "rank": 4},
    }
    return Facts(
        name="places",
        inputs=ExportInputs(
            settings=Settings.model_validate(settings),
            prepared=prepared(["O", "B-LOC", "I-LOC"]),
            trained=trained(steps=39),
        ),
        evaluation=Evaluation(
            metrics=[
                value("span_f1", 0.61, 0.05),
                value("span_precision", 0.62, 0.06),
                value("span_recall", 0.6, 0.06),
                value("accuracy", 0.9, 0.02),
                value("log_loss", 0.3, 0.02),
                value("ece", 0.04),
            ],
            confusion=np.array([[90, 1, 2], [3, 40, 4], [5, 6, 20]]),
            classes=scores(LOC=47),
            temperature=1.0,
        ),
        comparison=BaselineComparison(
            baselines=[value("dictionary", 0.6, 0.05)], paired=value("span_f1_gain_over_dictionary", 0.01, 0.02)
        ),
        published_step=39,
        license="mit",
        parts=["adapter", "model"],
        library="transformers",
    )


@pytest.mark.parametrize(
    "facts",
    [full_model_of_the_hub, adapter_alone_of_many_classes, tags_of_an_adapter_and_its_model],
    ids=lambda facts: facts.__name__.replace("_", "-"),
)
def test_a_card_says_what_is_known_of_the_run_and_no_more(facts):
    path = GOLDEN / f"{facts.__name__.replace('_', '-')}.md"
    card = model_card(facts())
    if os.environ.get("TUNELOOP_UPDATE_GOLDEN"):
        path.write_text(card)
    assert card == path.read_text()


@pytest.mark.parametrize(("classes", "is_shown"), [(20, True), (21, False)])
def test_the_table_of_confused_classes_is_shown_while_it_can_be_read(classes, is_shown):
    card = model_card(adapter_alone_of_many_classes(many(classes)))
    assert ("Test rows by true class (line) and predicted class (column):" in card) is is_shown


def test_class_names_cannot_break_the_tables():
    card = model_card(adapter_alone_of_many_classes(["a|b|c", "`d`\n e"]))
    assert "one of 2 classes: `a\\|b\\|c`, `'d' e`." in card
    assert "|  | a\\|b\\|c | 'd' e |" in card
    assert "| 'd' e | 0.8100 |" in card
