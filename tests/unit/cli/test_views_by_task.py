"""The pages of a finished job, for each kind of task: any metrics and baselines that the status holds, the primary metric first."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tuneloop_cli.views.page import page
from tuneloop_cli.views.result import result

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
GOLDEN = Path(__file__).parents[2] / "golden" / "views"


def measured(name: str, value: float, spread: float | None = None, **fields: str) -> dict:
    ends = {} if spread is None else {"low": value - spread, "high": value + spread}
    return {"name": name, "value": value} | ends | fields


def metric(name: str, value: float, spread: float | None = None) -> dict:
    return measured(name, value, spread, split="test")


def finished_job(task: str, evaluation: dict) -> dict:
    return {
        "apiVersion": "tuneloop.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": "reviews", "namespace": "default", "creationTimestamp": "2026-01-01T11:45:00+00:00"},
        "spec": {"model": {"uri": "pvc://demo/minilm"}, "task": task},
        "status": {
            "phase": "Succeeded",
            "attempt": 1,
            "data": {"rows": 1000, "splits": {"train": 800, "validation": 100, "test": 100}, "bad": 0},
            "evaluation": evaluation,
            "artifact": {"uri": "pvc://demo/jobs/reviews-1/artifact", "digest": "sha256:0123"},
        },
    }


TEXT_CLASSIFICATION = finished_job(
    "text-classification",
    {
        "metrics": [
            metric("accuracy", 0.8612, 0.02),
            metric("macro_f1", 0.86, 0.021),
            metric("ece_calibrated", 0.0211),
            metric("accuracy_gain_over_tfidf_linear", 0.1, 0.02),
        ],
        "baselines": [
            measured("majority", 0.5093, 0.03),
            measured("tfidf-linear", 0.7612, 0.025),
            measured("before-training", 0.49, 0.03),
        ],
    },
)

TOKEN_CLASSIFICATION = finished_job(
    "token-classification",
    {
        "metrics": [
            metric("f1", 0.8123, 0.02),
            metric("precision", 0.8, 0.02),
            metric("recall", 0.825, 0.02),
            metric("accuracy", 0.97, 0.002),
            metric("loss", 0.1042, 0.01),
            metric("f1_gain_over_most_frequent_tag", 0.3, 0.05),
        ],
        "baselines": [
            measured("majority", 0.0),
            measured("most-frequent-tag", 0.5123, 0.03),
            measured("before-training", 0.01, 0.005),
        ],
    },
)


@pytest.mark.parametrize(
    ("name", "job"),
    [("text-classification", TEXT_CLASSIFICATION), ("token-classification", TOKEN_CLASSIFICATION)],
)
def test_the_pages_of_a_finished_job(name: str, job: dict) -> None:
    shown = f"{page(job, now=NOW, has_session=False)}\n---\n{result(job)}\n"
    assert shown == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_baselines_are_shown_with_the_primary_metric_which_comes_first() -> None:
    lines = result(TOKEN_CLASSIFICATION).splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["majority", "f1"],
        ["most-frequent-tag", "f1"],
        ["before-training", "f1"],
    ]
    assert "accuracy" not in "".join(lines[:7])


@pytest.mark.parametrize("evaluation", [None, {}, {"baselines": [measured("majority", 0.5)]}])
def test_a_job_without_metrics_has_its_pages_too(evaluation: dict | None) -> None:
    job = finished_job("text-classification", {})
    job["status"]["evaluation"] = evaluation
    assert "Artifact:" in page(job, now=NOW, has_session=False)
    assert result(job).startswith("reviews succeeded.")


def test_the_page_and_the_closing_lines_say_how_the_model_stands_beside_the_champion() -> None:
    comparison = {
        "verdict": "Better",
        "message": "better on 150 golden rows",
        "metric": "accuracy",
        "championDigest": "sha256:0",
    }
    job = finished_job("text-classification", {"metrics": [metric("accuracy", 0.9)], "comparison": comparison})
    assert "beside the champion: Better: better on 150 golden rows" in result(job)
    assert "champion: Better: better on 150 golden rows" in " ".join(page(job, now=NOW, has_session=False).split())


def test_the_closing_lines_of_a_search_name_the_trial_that_is_published() -> None:
    job = finished_job("text-classification", {"metrics": [metric("accuracy", 0.9)]})
    job["status"]["search"] = {
        "trial": "12/12",
        "best": 7,
        "metric": "macro_f1",
        "value": 0.81234,
        "parameters": {"training.learningRate": "0.0003", "method.type": "lora"},
    }
    line = "best trial: 7 of 12: training.learningRate: 0.0003, method.type: lora (macro_f1 0.8123 on validation rows)"
    assert line in result(job).splitlines()
    job["status"]["search"] = {"trial": "0/12"}
    assert "best trial" not in result(job)
