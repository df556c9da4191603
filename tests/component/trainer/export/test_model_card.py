from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from finished_runs import Measuring
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tuneloop_api.contract.artifact import Manifest
from tuneloop_api.contract.settings import MethodSettings
from tuneloop_server.model import Window
from tuneloop_server.tasks.task import ModelFacts
from tuneloop_server.tasks.text_classification import answer, read_parameters
from tuneloop_trainer.export.stage import export
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION

TEXT = "a witty film"
QUICK = {"evaluation": {"baselines": False, "bootstrapSamples": 100}}


def card_of(result) -> str:
    return (Path(result.artifact_path) / "README.md").read_text()


def test_the_front_matter_is_yaml_that_the_hub_reads(runs, posts):
    from huggingface_hub import ModelCardData

    front = yaml.safe_load(card_of(export(runs.tiny(), posts)).split("---")[1])
    assert front["license"] == "apache-2.0"
    assert front["pipeline_tag"] == "text-classification"
    assert {result.metric_type for result in ModelCardData(**front).eval_results} == {
        "accuracy",
        "f1",
        "matthews_correlation",
        "roc_auc",
    }


def test_the_scores_of_the_classes_follow_from_the_counts_beside_them(runs, posts):
    section = card_of(export(runs.tiny(**QUICK), posts)).split("## Classes\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    (*scores,) = [row for row in rows if len(row) == 5]
    counts = {row[0].strip("*"): [int(cell) for cell in row[1:]] for row in rows if row[0].startswith("**")}
    assert scores[0] == ["class", "precision", "recall", "F1", TEXT_CLASSIFICATION.card.unit]
    assert len(counts) == len(scores) - 2 >= 2
    for place, (name, precision, recall, f1, support) in enumerate(scores[2:]):
        right, predicted = counts[name][place], sum(line[place] for line in counts.values())
        assert int(support) == sum(counts[name])
        assert float(recall) == pytest.approx(right / int(support), abs=1e-4)
        assert float(precision) == pytest.approx(right / predicted if predicted else 0.0, abs=1e-4)
        assert float(f1) == pytest.approx(2 * right / (predicted + int(support)), abs=1e-4)


SURE = Measuring(head_scale=3000.0)
"""A model that is far too sure of what it says."""


def loading_code(result) -> str:
    return card_of(result).split("```python\n")[1].split("```")[0]


@pytest.mark.parametrize(("measuring", "is_one"), [(SURE, False), (Measuring(), True)], ids=["too sure", "hardly sure"])
def test_the_code_of_the_card_gives_the_numbers_of_the_server(runs, posts, monkeypatch, capsys, measuring, is_one):
    result = export(runs.tiny(measuring=measuring, **QUICK), posts)
    monkeypatch.chdir(result.artifact_path)
    exec(loading_code(result).replace("Your text", TEXT), {})
    label, score, confidence = capsys.readouterr().out.split()
    manifest = Manifest.from_wire(json.loads(Path("manifest.json").read_text()))
    assert (manifest.temperature == 1.0) is is_one
    facts = ModelFacts(labels=manifest.labels, temperature=manifest.temperature, vocabulary=None)
    answered = answer(TEXT, [Window(None, logits_of_model(TEXT))], read_parameters({}), facts)
    assert {"label": label, "score": pytest.approx(float(score), abs=1e-6)} == answered.value[0]
    assert float(confidence) == pytest.approx(answered.predictions[0].calibrated_confidence, abs=1e-6)


def logits_of_model(text: str):
    inputs = AutoTokenizer.from_pretrained("model")([text], return_tensors="pt")
    with torch.inference_mode():
        return AutoModelForSequenceClassification.from_pretrained("model").eval()(**inputs).logits[0].numpy()


@pytest.mark.parametrize(
    ("measuring", "expected"),
    [
        pytest.param(SURE, "lowers the log loss from", id="too sure"),
        pytest.param(Measuring(), "The temperature is 1: a fitted one lowers the log loss", id="hardly sure"),
    ],
)
def test_card_and_log_say_which_temperature_and_why(runs, posts, caplog, measuring, expected):
    with caplog.at_level("INFO"):
        card = card_of(export(runs.tiny(measuring=measuring, **QUICK), posts))
    assert expected in card.split("## Calibration")[1].split("##")[0]
    assert ("Divide the logits by the temperature" in card) is (measuring is SURE)
    assert expected in next(line for line in caplog.messages if line.startswith("calibration: "))


@pytest.mark.parametrize(
    ("uri", "base"),
    [
        ("hf://org/name", '.from_pretrained("org/name", revision="r1", config=config)'),
        ("pvc://demo/model", ".from_pretrained(BASE_MODEL_FOLDER, config=config)  # pvc://demo/model"),
    ],
)
def test_the_code_for_an_adapter_loads_it_with_the_names_of_the_classes(runs, posts, monkeypatch, tiny_bert, uri, base):
    lora = MethodSettings(type="lora", rank=4)
    settings = QUICK | {"output": {"mergeAdapter": False}, "model": {"uri": uri}}
    code = loading_code(result := export(runs.tiny(method=lora, **settings), posts))
    assert base in code
    monkeypatch.chdir(result.artifact_path)
    here = code.replace('"org/name", revision="r1"', "BASE_MODEL_FOLDER")
    exec(here, names := {"BASE_MODEL_FOLDER": str(tiny_bert)})
    assert names["model"].config.id2label == {0: "negative", 1: "positive"}
