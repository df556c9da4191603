from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from tuneloop_api.contract.results import Finding, Measured
from tuneloop_trainer.export.model_card import _comparison_sentence, diagnosis_section, license_of
from tuneloop_trainer.export.stage import export
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION


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


def test_only_a_model_of_the_hub_is_named_as_the_base_model(runs, posts):
    local = card_of(export(runs.tiny(place="one"), posts))
    hub = card_of(export(runs.tiny(place="two", model={"uri": "hf://org/name"}), posts))
    assert "base_model" not in yaml.safe_load(local.split("---")[1])
    assert yaml.safe_load(hub.split("---")[1])["base_model"] == "org/name"


def test_class_names_cannot_break_the_tables(runs, posts):
    card = card_of(export(runs.tiny(labels=("a|b", "`c`\nd")), posts))
    assert "| a\\|b |" in card
    assert "| 'c' d |" in card


def test_the_baselines_stand_in_order(runs, posts):
    card = card_of(export(runs.tiny(), posts))
    places = [card.index(f"| {name}") for name in ("majority", "tfidf-linear", "before-training", "**after training**")]
    assert places == sorted(places)


def test_the_loading_code_of_the_card_runs(runs, posts, monkeypatch, capsys):
    result = export(runs.tiny(), posts)
    monkeypatch.chdir(result.artifact_path)
    exec(card_of(result).split("```python\n")[1].split("```")[0], {})
    assert "positive" in (shown := capsys.readouterr().out) or "negative" in shown


@pytest.mark.parametrize(
    ("names", "steps", "expected"),
    [
        pytest.param([], 39, "Its 39 steps are too few to tell", id="a short run"),
        pytest.param([], 40, "show no sign of over- or under-fitting", id="a healthy run"),
        pytest.param(
            ["OverFitting", "InputBound"], 40, "- **Over-fitting**: what was seen. What to change.\n\n", id="a finding"
        ),
        pytest.param(
            ["InputBound"], 40, "show no sign of over- or under-fitting", id="slow input is none of the model"
        ),
        pytest.param(
            ["Straggler"], 40, "show no sign of over- or under-fitting", id="a slow rank is none of the model"
        ),
        pytest.param(["Forgetting"], 40, "- **Forgetting**: what was seen.", id="a finding of another release"),
    ],
)
def test_the_card_tells_how_the_training_went(names, steps, expected):
    found = [Finding(name=name, message="what was seen", advice="What to change.") for name in names]
    section = diagnosis_section(SimpleNamespace(findings=found, steps=steps)) + "\n"
    assert section.startswith("## How the training went\n\n")
    assert expected in section


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        pytest.param(0.01, 0.05, "The model is better.", id="above zero"),
        pytest.param(-0.01, 0.05, "do not show that the model is better", id="around zero"),
        pytest.param(-0.05, -0.01, "worse than a far simpler one", id="below zero"),
    ],
)
def test_the_verdict_says_no_more_than_the_interval(low, high, expected):
    paired = Measured(name="gain", value=(low + high) / 2, low=low, high=high)
    assert expected in _comparison_sentence(paired, TEXT_CLASSIFICATION)


@pytest.mark.parametrize(
    ("card", "license_"),
    [
        pytest.param("---\nlicense: mit\n---\n# m", "mit", id="named"),
        pytest.param("---\nlicense: 'mit'\ntags: [a]\n---\n", "mit", id="quoted"),
        pytest.param("---\ntags: [a]\n---\nlicense: mit", None, id="only in the text"),
        pytest.param("# m", None, id="no front matter"),
        pytest.param("---\nlicense:\n---\n", None, id="empty"),
    ],
)
def test_the_license_comes_from_the_front_matter(card, license_):
    assert license_of(card) == license_
