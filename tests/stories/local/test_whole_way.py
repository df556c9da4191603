"""From a manifest to predictions over HTTP, with the command line alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import stand_ins
from tiny_models import sentences, tiny_bert
from workspace import CLAIM, Workspace, deployment_manifest, job_manifest, processes_of, until

pytestmark = pytest.mark.local_story

LABELLED = sentences(60, seed=9)
PLAIN_TRANSFORMERS = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, texts = sys.argv[1], json.load(sys.stdin)
model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
with torch.no_grad():
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt", truncation=True)
        scores = model(**inputs).logits.softmax(-1)[0]
        print(json.dumps({model.config.id2label[i]: float(score) for i, score in enumerate(scores)}))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("trained"))
    tiny_bert(workspace.claim / "model")
    workspace.write_rows("rows.csv", sentences(300))
    workspace.write(
        "job.yaml",
        job_manifest(training={"epochs": 3, "globalBatchSize": 16, "microBatchSize": 4, "learningRate": 3e-3}),
    )
    workspace.write(
        "deployment.yaml", deployment_manifest(feedback={"storeInputs": "all", "storage": {"claim": "labels"}})
    )
    ended = workspace.tuneloop("run", "-f", "job.yaml", **stand_ins.NONE)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return workspace


def post(url: str, body: object) -> object:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.load(reply)


def address(log: Path) -> str | None:
    lines = [line for line in log.read_text().splitlines() if " answers at " in line]
    return lines[0].rsplit(" ", 1)[1] if lines else None


@pytest.fixture(scope="module")
def served(trained: Workspace) -> tuple[list[str], list[dict[str, float]], dict]:
    """Serve the model, ask for predictions and label some; return texts, the scores of each, and the deployment."""
    texts = [text for text, _ in sentences(40, seed=5)]
    server = trained.start("serve", "-f", "deployment.yaml", "--port", "0", log="serve.log", **stand_ins.NONE)
    try:
        url = until(
            lambda: address(trained.path / "serve.log"), seconds=90, what="the server's address", process=server
        )
        answers = [
            {label["label"]: label["score"] for label in labels}
            for labels in post(url, {"inputs": texts, "parameters": {"top_k": 2}})
        ]
        deployment = json.loads(trained.tuneloop("get", "mdep", "reviews", "-o", "json").stdout)
        for half in (LABELLED[:30], LABELLED[30:]):  # a request has 32 texts at most
            label(url, half)
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0
    return texts, answers, deployment


def test_the_server_answers_as_plain_transformers_does_on_the_exported_folder(
    trained: Workspace, served: tuple[list[str], list[dict[str, float]], dict]
) -> None:
    texts, answers, deployment = served
    assert deployment["status"]["phase"] == "Ready"
    folder = trained.job_folder() / "artifact" / "model"
    plain = subprocess.run(
        [sys.executable, "-c", PLAIN_TRANSFORMERS, str(folder)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [json.loads(line) for line in plain.stdout.splitlines()]
    assert [max(scores, key=scores.get) for scores in answers] == [max(scores, key=scores.get) for scores in expected]
    assert (
        max(
            abs(ours[label] - theirs[label]) for ours, theirs in zip(answers, expected, strict=True) for label in theirs
        )
        < 1e-4
    )
    assert not processes_of(trained.path)


def label(url: str, rows: list[tuple[str, str]]) -> None:
    """Ask for predictions as a client does, and send back what would have been right, with the texts."""
    request = urllib.request.Request(
        f"{url}/predict",
        json.dumps({"inputs": [text for text, _ in rows]}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as reply:
        tokens = reply.headers["x-tuneloop-feedback"].split(",")
    items = [{"token": token, "label": right, "input": text} for token, (text, right) in zip(tokens, rows, strict=True)]
    assert post(f"{url}/v1/feedback", items) == {"counted": len(rows), "repeated": 0}


@pytest.mark.usefixtures("served")
def test_what_clients_have_labelled_trains_the_next_model_and_judges_it_each_text_doing_one_of_the_two(
    trained: Workspace,
) -> None:
    sources = [{"uri": f"pvc://{CLAIM}/rows.csv"}, {"uri": "feedback://reviews"}]
    champion = trained.job()["status"]["artifact"]["uri"]
    retrained = job_manifest(
        data={"train": sources},
        training={"maxSteps": 2, "globalBatchSize": 16, "microBatchSize": 4},
        resources={"nodes": 1, "gpusPerNode": 0},
        evaluation={
            "compareWith": {"uri": champion, "recent": [{"uri": "feedback://reviews"}]},
            "baselines": False,
            "bootstrapSamples": 100,
        },
    )
    trained.write("retrained.yaml", retrained | {"metadata": {"name": "retrained"}})
    ended = trained.tuneloop("run", "-f", "retrained.yaml", **stand_ins.NONE)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    notes = trained.tuneloop("logs", "retrained", "--stage", "prepare").stdout
    assert "for 60 predictions, 0 of them without a text, 0 with a text and without a label; 49 rows are" in notes
    compared = trained.job("retrained")["status"]["evaluation"]["comparison"]
    assert [(found["name"], found["rows"]) for found in compared["sets"]][1:] == [("recent", 5)]


def test_describe_and_logs_tell_the_story(trained: Workspace) -> None:
    described = trained.tuneloop("describe", "ftj", "reviews").stdout
    assert "Succeeded" in described
    assert "tfidf-linear" in described
    assert "sha256:" in described
    assert "data: 300 rows" in trained.tuneloop("logs", "reviews", "--stage", "prepare").stdout
    assert "test accuracy" in trained.tuneloop("logs", "reviews", "--stage", "train").stdout


def test_the_model_learns_what_can_be_learned(trained: Workspace) -> None:
    metrics = {metric["name"]: metric["value"] for metric in trained.job()["status"]["evaluation"]["metrics"]}
    assert metrics["accuracy"] > 0.8


def jsonl_in_three_languages(workspace: Workspace) -> dict:
    words = {
        "de": ["der", "gute", "Film", "läuft", "schön", "über", "Größe"],
        "ru": ["хороший", "фильм", "о", "любви", "и", "мире"],
        "el": ["η", "καλή", "ταινία", "για", "την", "αγάπη"],
    }
    rows = [
        {"Sprache ✓": label, "Text mit Leer": f"{' '.join(words[label])} {n}"} for n in range(60) for label in words
    ]
    (workspace.claim / "rows.jsonl").write_text(
        "\n".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return {"uri": f"pvc://{CLAIM}/rows.jsonl", "columns": {"text": "Text mit Leer", "label": "Sprache ✓"}}


def csv_with_quotes_and_newlines(workspace: Workspace) -> dict:
    rows = [(f'{text}, "{n}"\nsecond line; {text}', label) for n, (text, label) in enumerate(sentences(150, classes=5))]
    workspace.write_rows("odd rows.csv", rows, header=("the text, as typed", "which one?"))
    return {"uri": f"pvc://{CLAIM}/odd rows.csv", "columns": {"text": "the text, as typed", "label": "which one?"}}


@pytest.mark.parametrize(
    ("write", "rows"),
    [(jsonl_in_three_languages, 180), pytest.param(csv_with_quotes_and_newlines, 150, marks=pytest.mark.full)],
)
def test_up_trains_on_other_data_by_changing_only_the_manifest_and_then_serves(tmp_path, write, rows: int) -> None:
    workspace = Workspace(tmp_path)
    tiny_bert(workspace.claim / "model")
    (tmp_path / "all").mkdir()
    job = job_manifest(
        data={"train": [write(workspace)], "split": {"method": "random"}},
        training={"maxSteps": 3, "globalBatchSize": 16, "microBatchSize": 4},
        resources={"nodes": 1, "gpusPerNode": 0},
        scheduling={"queueName": "team-a", "priorityClassName": "low", "nodeSelector": {"pool": "gpu"}},
    )
    workspace.write("all/job.yaml", job)
    workspace.write("all/deployment.yaml", deployment_manifest())
    up = workspace.start("up", "-f", "all", log="up.log")
    try:
        until(
            lambda: "ModelDeployment reviews: Ready" in (tmp_path / "up.log").read_text(),
            seconds=150,
            what="a served model",
            process=up,
        )
        url = json.loads(workspace.tuneloop("get", "mdep", "reviews", "-o", "json").stdout)["status"]["url"]
        assert post(url, {"inputs": "a good film"})
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(timeout=60) == 0
    assert not processes_of(tmp_path)
    shown = (tmp_path / "up.log").read_text()
    assert "spec.scheduling.queueName: left out, there is no queue on one machine" in shown
    assert "spec.scheduling.nodeSelector: left out, there is one machine" in shown
    data = workspace.job()["status"]["data"]
    assert (data["bad"], data["rows"]) == (0, rows)
