"""Single sentences of the model card, and what is read from the card of the base model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import get_args

import pytest

from tuneloop_api.contract.results import Finding, FindingName, Measured
from tuneloop_trainer.export.model_card import _comparison_sentence, diagnosis_section, license_of
from tuneloop_trainer.tasks.text_classification import TEXT_CLASSIFICATION
from tuneloop_trainer.tasks.text_generation import TEXT_GENERATION
from tuneloop_trainer.tasks.token_classification import TOKEN_CLASSIFICATION


@pytest.mark.parametrize(
    ("types", "expected"), [(["LOC"], "spans of 1 type in"), (["LOC", "PER"], "spans of 2 types in")]
)
def test_the_types_of_spans_are_counted(types, expected):
    labels = ["O", *(f"{place}-{type_}" for type_ in types for place in "BI")]
    assert expected in TOKEN_CLASSIFICATION.card.summary(labels)


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


def test_findings_stand_in_words():
    found = [Finding(name=name, message="what was seen", advice="What to change.") for name in get_args(FindingName)]
    section = diagnosis_section(SimpleNamespace(findings=found, steps=40))
    assert [line.split("**")[1] for line in section.splitlines() if line.startswith("- ")] == [
        "Over-fitting",
        "Under-fitting",
        "Learning rate too high",
        "Learning rate too low",
        "Dead gradients",
    ]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        pytest.param(0.01, 0.05, "The model is better.", id="above zero"),
        pytest.param(-0.01, 0.05, "do not show that the model is better", id="around zero"),
        pytest.param(0.0, 0.05, "do not show that the model is better", id="from zero"),
        pytest.param(-0.05, 0.0, "do not show that the model is better", id="up to zero"),
        pytest.param(-0.05, -0.01, "worse than a far simpler one", id="below zero"),
    ],
)
def test_the_verdict_says_no_more_than_the_interval(low, high, expected):
    paired = Measured(name="gain", value=(low + high) / 2, low=low, high=high)
    assert expected in _comparison_sentence(paired, TEXT_CLASSIFICATION)


def test_a_gain_of_a_metric_that_falls_is_shown_as_its_fall() -> None:
    gain = Measured(name="bits_per_byte_gain_over_n_gram", value=0.31, low=0.2, high=0.42)
    sentence = _comparison_sentence(gain, TEXT_GENERATION)
    assert "-0.3100 bits_per_byte [-0.4200, -0.2000], where less is better. The model is better." in sentence


@pytest.mark.parametrize(
    ("card", "license_"),
    [
        pytest.param("---\nlicense: mit\n---\n# m", "mit", id="named"),
        pytest.param("---\nlicense: 'mit'\ntags: [a]\n---\n", "mit", id="quoted"),
        pytest.param("---\ntags: [a]\n---\nlicense: mit\n---\n", None, id="only in the text"),
        pytest.param("---\nlicense: mit\n", None, id="a front matter without end"),
        pytest.param("a --- b\nlicense: mit\n---\n", None, id="lines in the text"),
        pytest.param("# m", None, id="no front matter"),
        pytest.param("---\nlicense:\n---\n", None, id="empty"),
    ],
)
def test_the_license_comes_from_the_front_matter(card, license_):
    assert license_of(card) == license_
