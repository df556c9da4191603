"""Questions and contexts through the whole trainer and the server: windows, a threshold, and answers that plain transformers gives too."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plain_answers import PlainAnswers
from questions_in_contexts import asked_questions, write_squad
from run_configs import run_config
from server_process import configuration, running_fork
from tiny_models import tiny_bert
from whole_job import FinishedJob, finished

from tuneloop_api.contract.monitoring_profile import MonitoringProfile
from tuneloop_trainer.dataset.shards import open_split

LONGEST, STRIDE, TOKENS = 4, 8, 24


def threshold_of(done: FinishedJob) -> float:
    return json.loads((done.artifact / "manifest.json").read_bytes())["answerSpans"]["nullThreshold"]


def whole_job(folder: Path, *, steps: int, ranks: int, **settings: Any) -> FinishedJob:
    config = run_config(
        folder,
        task="question-answering",
        taskOptions={"docStride": STRIDE, "maxAnswerTokens": LONGEST},
        sources=[write_squad(folder / "train.json", asked_questions(500))],
        model=tiny_bert(folder / "model"),
        data={"maxTokens": TOKENS},
        training={
            "maxSteps": steps,
            "learningRate": 5e-3,
            "microBatchSize": 8,
            "scheduler": "constant",
            "warmupRatio": 0.0,
            "bestMetric": "f1",
        },
        gang={"gpusPerNode": 0, "processesPerNode": ranks},
        checkpoint={"everySteps": 100},
        **{"evaluation": {"bootstrapSamples": 200}, "method": {"type": "full"}} | settings,
    )
    return finished(config)


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> FinishedJob:
    """A model that was trained on two ranks and rehearsed."""
    return whole_job(tmp_path_factory.mktemp("job"), steps=100, ranks=2, preflight={"rehearsal": True})


@pytest.fixture(scope="module")
def plain(done) -> list[dict[str, Any]]:
    """What plain transformers answers to the test questions, with the threshold of the artifact."""
    model = PlainAnswers(done.artifact / "model", max_tokens=TOKENS, stride=STRIDE, longest=LONGEST)
    found = []
    for row in done.rows("test"):
        (best, *_), null = model.spans(row["question"], row["context"])
        silent = math.log(null) - threshold_of(done) > math.log(best.score)
        found.append(
            {"answer": "", "score": null, "start": 0, "end": 0}
            if silent
            else {"answer": best.answer, "score": best.score, "start": best.start, "end": best.end}
        )
    return found


def test_answers_are_learned_in_windows_and_beat_the_sentence_that_is_most_like_the_question(done):
    losses, found = done.losses(), done.values()
    split = open_split(Path(done.prepared.dataset_path), "train")
    baselines = {baseline.name: baseline.value for baseline in done.exported.baselines}
    assert done.prepared.rehearsal.startswith("trained, saved, exported and loaded")
    assert len(split.rows) > len(split.first_windows) == len(done.rows("train"))
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:10])
    assert list(baselines) == ["first-sentence", "no-answer", "tfidf-sentence", "before-training"]
    assert found["f1"] > max(baselines.values()) + 0.2


def test_the_metrics_are_those_of_what_plain_transformers_answers(done, plain):
    rows = done.rows("test")
    exact = [said["answer"] in (row["answers"]["text"] or [""]) for row, said in zip(rows, plain, strict=True)]
    has_answer = np.array([bool(row["answers"]["text"]) for row in rows])
    assert done.values()["exact_match"] == pytest.approx(np.mean(exact))
    assert done.values()["has_answer_exact_match"] == pytest.approx(np.mean(np.array(exact)[has_answer]))
    assert done.values()["no_answer_f1"] == pytest.approx(np.mean(np.array(exact)[~has_answer]))


def test_the_server_answers_as_plain_transformers_does_and_counts_into_the_bins_of_export(done, plain, tmp_path):
    inputs = [{"question": row["question"], "context": row["context"]} for row in done.rows("test")]
    profile = MonitoringProfile.from_wire(json.loads((done.artifact / "monitoring.json").read_bytes()))
    with running_fork(configuration(done.artifact, batching={"max_queue": 4 * len(inputs)}), tmp_path) as server:
        answers = server.ask({"inputs": inputs}).json()
        counted = server.feature_counts()
    places = [(said["answer"], said["start"], said["end"]) for said in plain]
    assert [(said["answer"], said["start"], said["end"]) for said in answers] == places
    assert [said["score"] for said in answers] == pytest.approx([said["score"] for said in plain], rel=1e-4)
    assert counted == {feature.name: feature.counts for feature in profile.features}
    assert {"confidence", "no_answer", "windows"} <= set(counted)


def test_one_rank_trains_the_same_model(done, tmp_path):
    alone = whole_job(tmp_path, steps=10, ranks=1, evaluation={"bootstrapSamples": 200, "baselines": False})
    assert alone.losses() == pytest.approx(done.losses()[:10], abs=1e-5)
