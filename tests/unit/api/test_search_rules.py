"""The rules of a search at their borders, and the values of a search held to the rules of their own fields."""

from __future__ import annotations

import pytest
from bad_manifest import GOOD, JOB
from rule_borders import wrong_fields

from tuneloop_api.contract.defaults import as_set, with_defaults
from tuneloop_api.contract.trial_settings import trial_settings
from tuneloop_api.v1alpha1 import FineTuneJobSpec
from tuneloop_api.v1alpha1.fine_tune_job.search import Dimension, Search
from tuneloop_api.v1alpha1.fine_tune_job.search_fields import (
    CHOICES,
    METHODS_OF,
    SEARCHED,
    SWITCHES,
    WHOLE_NUMBERS,
    WORDS,
)
from tuneloop_api.v1alpha1.fine_tune_job.search_points import applies, refused_values

RATE = {"path": "training.learningRate", "type": "log-float", "low": 1e-5, "high": 1e-3}
RANK = {"path": "method.rank", "type": "int", "low": 4, "high": 32}
METHOD = {"path": "method.type", "type": "categorical", "values": ["full", "lora"]}
DORA = {"path": "method.useDora", "type": "categorical", "values": ["true", "false"]}


def without(dimension: dict, *names: str) -> dict:
    return {name: value for name, value in dimension.items() if name not in names}


@pytest.mark.parametrize(
    ("dimension", "wrong"),
    [
        (RATE, []),
        (RATE | {"type": "float"}, []),
        (RATE | {"type": "int"}, ["type"]),
        (RANK, []),
        (RANK | {"type": "float"}, ["type"]),
        (METHOD, []),
        ({"path": "method.type", "type": "int", "low": 1, "high": 2}, ["type"]),
        ({"path": "training.globalBatchSize", "type": "int", "low": 8, "high": 64}, ["type"]),
        (RATE | {"low": 1e-3}, ["low"]),
        (RATE | {"low": 0}, ["low"]),
        (RATE | {"type": "float", "low": 0}, []),
        (without(RATE, "high"), [""]),
        (RATE | {"numbers": [1e-4]}, [""]),
        (RATE | {"values": ["a"]}, [""]),
        ({"path": RATE["path"], "type": "categorical", "numbers": [1e-4]}, []),
        ({"path": RATE["path"], "type": "categorical", "values": ["1e-4"]}, [""]),
        (METHOD | {"numbers": [1]}, [""]),
        ({"path": "method.type", "type": "categorical", "numbers": [1]}, [""]),
        ({"path": "training.globalBatchSize", "type": "categorical", "numbers": [8, 16]}, []),
        (without(METHOD, "values"), [""]),
        (METHOD | {"low": 1}, [""]),
        (METHOD | {"values": []}, ["values"]),
        (METHOD | {"values": ["lora"] * 17}, ["values"]),
        (RATE | {"path": "training.learningrate"}, ["path"]),
        (RATE | {"path": "data.maxTokens"}, ["path"]),
        (RATE | {"path": "model.uri"}, ["path"]),
        (RATE | {"path": "training.seed"}, ["path"]),
    ],
)
def test_a_dimension(dimension, wrong):
    assert wrong_fields(Dimension, dimension) == wrong


@pytest.mark.parametrize(
    ("search", "wrong"),
    [
        ({"space": [RATE]}, []),
        ({"space": [RATE, RANK]}, []),
        ({"space": [RATE, RATE | {"low": 1e-6}]}, ["space"]),
        ({"space": []}, ["space"]),
        ({"space": [RATE], "sampler": "grid"}, ["sampler"]),
        ({"space": [METHOD], "sampler": "grid"}, []),
        ({"space": [METHOD], "sampler": "grid", "trials": 2}, ["trials"]),
        ({"space": [METHOD], "sampler": "random", "trials": 1000}, []),
        ({"space": [METHOD], "trials": 1001}, ["trials"]),
        ({"space": [METHOD], "trials": 0}, ["trials"]),
        ({"space": [METHOD], "metric": "speed"}, ["metric"]),
    ],
)
def test_a_search(search, wrong):
    assert wrong_fields(Search, search) == wrong


def spec_of(space: list[dict], **given) -> FineTuneJobSpec:
    search = {"space": space} | given.pop("search", {})
    return FineTuneJobSpec.from_wire(GOOD[JOB] | given | {"search": search})


@pytest.mark.parametrize("resume_from", [None, "pvc://models/jobs/old-1a2b3c4d"])
def test_a_search_begins_with_no_checkpoint_of_another_job(resume_from):
    checkpoint = {} if resume_from is None else {"resumeFrom": resume_from}
    given = GOOD[JOB] | {"search": {"space": [RATE]}, "checkpoint": checkpoint}
    assert wrong_fields(FineTuneJobSpec, given) == (["search"] if resume_from else [])


@pytest.mark.parametrize(
    ("space", "given", "said"),
    [
        ([RATE, RANK], {}, None),
        ([METHOD, RANK, DORA], {}, None),
        ([METHOD | {"values": ["full", "lorra"]}], {}, "method.type: 'lorra'"),
        ([RANK | {"high": 2000}], {}, "method.rank: 2000"),
        ([RANK | {"low": 4.5}], {}, "method.rank: 4.5"),
        ([RATE | {"high": 20}], {}, "training.learningRate: 20"),
        ([RATE], {"training": {"learningRate": 1e-4}}, "0.0001"),
        ([RANK], {"method": {"type": "full"}}, None),
        ([METHOD | {"values": ["lora", "prefix"]}], {}, "method.type: 'prefix'"),
        ([DORA], {"deepspeed": {"stage": 3}}, "method.useDora: True"),
        ([{"path": "training.warmupSteps", "type": "int", "low": 0, "high": 100}], {"training": {"maxSteps": 50}}, "training.warmupSteps: 100"),
        ([{"path": "training.maxSteps", "type": "int", "low": 10, "high": 100}], {"training": {"epochs": 1}}, "training.maxSteps: 10"),
        ([{"path": "training.globalBatchSize", "type": "categorical", "numbers": [8, 12]}], {"training": {"microBatchSize": 8}}, "training.globalBatchSize: 12"),
        (
            [
                {"path": "training.labelSmoothing", "type": "float", "low": 0, "high": 0.2},
                {"path": "data.balance.focalGamma", "type": "categorical", "numbers": [0, 2]},
            ],
            {},
            "training.labelSmoothing: 0.2, data.balance.focalGamma: 2",
        ),
        ([RATE], {"search": {"metric": "accuracy"}}, None),
        ([RATE], {"search": {"metric": "span_f1"}}, "span_f1"),
        ([RATE], {"search": {"metric": "accuracy"}, "training": {"bestMetric": "loss"}}, "accuracy"),
        ([RATE], {"search": {"metric": "accuracy"}, "training": {"bestMetric": "accuracy"}}, None),
    ],
)  # fmt: skip
def test_every_value_of_a_search_is_held_to_the_rules_of_its_field(space, given, said):
    found = [refused.given for refused in refused_values(spec_of(space, **given))]
    assert found == ([] if said is None else [said])


@pytest.mark.parametrize(
    ("counts", "sampler", "said"),
    [
        ((10, 10, 10), "grid", None),
        ((7, 11, 13), "grid", "1001 combinations"),
        ((16, 16, 16), "grid", "4096 combinations"),
        ((16, 16, 16), "random", None),
    ],
)
def test_a_grid_has_no_more_combinations_than_a_search_has_trials(counts, sampler, said):
    paths = ("training.learningRate", "training.weightDecay", "training.beta1")
    space = [
        {"path": path, "type": "categorical", "numbers": [0.1 + number / 100 for number in range(count)]}
        for path, count in zip(paths, counts, strict=True)
    ]
    found = [refused.given for refused in refused_values(spec_of(space, search={"sampler": sampler}))]
    assert found == ([] if said is None else [said])


@pytest.mark.parametrize("path", METHODS_OF)
@pytest.mark.parametrize("method", ["full", "lora", "ia3", "bitfit", "prefix", "prompt", "p-tuning"])
def test_a_field_applies_to_the_methods_whose_manifests_may_have_it(path, method):
    block, name = path.split(".")
    merges = {"output": {"mergeAdapter": False}} if method in {"prefix", "prompt", "p-tuning"} else {}
    value = 0.5 if name in {"dropout", "layerwiseLrDecay"} else name.startswith("use") or 4
    spec = GOOD[JOB] | merges | {"method": {"type": method}}
    spec[block] = spec.get(block, {}) | {name: value}
    assert applies(path, method) == (wrong_fields(FineTuneJobSpec, spec) == [])


def test_every_searched_field_is_a_field_of_the_spec_and_of_the_settings():
    example = {"training.scheduler": "cosine", "method.type": "lora", "data.balance.classWeights": "balanced"}
    for path in SEARCHED:
        value = example.get(path, True if path in SWITCHES else 1 if path in (*WHOLE_NUMBERS, *CHOICES) else 0.5)
        given = {"values": [str(value).lower()]} if path in WORDS else {"numbers": [value]}
        spec = spec_of([{"path": path, "type": "categorical"} | given])
        assert spec.search.space[0].extremes == [value]
        assert list(refused_values(spec)) == [], path
        found = trial_settings(with_defaults(as_set(spec)), {path: value})
        assert path.split(".")[-1] in str(found.to_wire()), path
        assert found != with_defaults(as_set(spec)), path


def test_the_settings_of_a_trial_have_its_values_and_no_default_that_contradicts_them():
    settings = with_defaults(as_set(spec_of([RATE], search={"metric": "accuracy"})))
    found = trial_settings(settings, {"training.maxSteps": 7, "training.learningRate": 0.5, "method.rank": 3})
    assert (found.training.max_steps, found.training.epochs, found.training.learning_rate) == (7, None, 0.5)
    assert (found.method.rank, found.training.best_metric, found.search) == (3, "accuracy", None)
    assert found.training.warmup_ratio == settings.training.warmup_ratio
