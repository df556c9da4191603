"""The configuration: what is wrong is named, with what is allowed."""

from __future__ import annotations

import pytest

from tuneloop_api.contract.comparator_config import ComparatorConfig, ComparatorLimits
from tuneloop_server.comparator.config_check import _RANGES, check_config
from tuneloop_server.errors import CannotServe

CONFIG = {
    "namespace": "team",
    "name": "reviews",
    "task": "text-classification",
    "labels": ["no", "yes"],
    "stable": {"name": "5f0a1b2c", "host": "reviews-5f0a1b2c.team.svc"},
    "canary": {"name": "9d8e7f6a", "host": "reviews-9d8e7f6a.team.svc"},
}


def test_the_least_configuration_is_good():
    check_config(ComparatorConfig.from_wire(CONFIG))


@pytest.mark.parametrize("task", ["text-generation", "fill-mask", "question-answering"])
def test_a_model_without_labels_has_a_comparator_where_its_task_has_no_classes(task):
    check_config(ComparatorConfig.from_wire(CONFIG | {"task": task, "labels": []}))


def test_every_limit_has_a_range_with_its_default_as_the_example():
    assert {name: example for name, (_, _, example) in _RANGES.items()} == ComparatorLimits().model_dump()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"task": "poetry"},
            "task: poetry was given, allowed: text-classification, text-classification/multi-label, text-classification/regression, token-classification, question-answering, text-generation, text2text-generation, fill-mask; example: ",
        ),
        ({"labels": []}, "labels: [] was given, at least one is needed; example: "),
        ({"canary": CONFIG["stable"]}, "canary.name: 5f0a1b2c was given, stable has this name; "),
        ({"controlPort": 8080}, "controlPort: 8080 was given, copies come in on this port; "),
        ({"limits": {"concurrency": 0}}, "limits.concurrency: 0 was given, allowed: 1 to 64; example: 4"),
        ({"limits": {"requestsPerSecond": 0}}, "limits.requestsPerSecond: 0 was given, allowed: 0.01 to 10,000; "),
        ({"limits": {"answerSeconds": 0}}, "limits.answerSeconds: 0 was given, allowed: 0.1 to 600; example: 10"),
        ({"warmUpPairs": -1}, "warmUpPairs: -1 was given, allowed: 0 to 10,000; example: 20"),
        ({"drainSeconds": -1}, "drainSeconds: -1 was given, allowed: 0 to 3,600; example: 30"),
        ({"golden": {"path": "/g", "times": 101}}, "golden.times: 101 was given, allowed: 0 to 100; example: 1"),
        (
            {"golden": {"path": "/g", "maxBadFraction": 2}},
            "golden.maxBadFraction: 2 was given, allowed: 0 to 1; example: 0.01",
        ),
    ],
)
def test_a_value_that_cannot_work_is_named_with_what_is_allowed_and_an_example(changes, message):
    with pytest.raises(CannotServe) as refused:
        check_config(ComparatorConfig.from_wire(CONFIG | changes))
    assert str(refused.value).startswith(message)
