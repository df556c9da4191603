"""The rules of triggers at their borders: what they just allow, and what they just refuse, with the field that is called wrong."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from tuneloop_api.crd.generator import _validation
from tuneloop_api.v1alpha1.model_deployment.retraining_triggers import Trigger, TriggerType

Given = dict[str, Any]
SMALLEST: dict[str, Given] = {
    "accuracy": {"below": 0.9},
    "drift": {},
    "promql": {"query": "sum(a)", "threshold": 1},
    "schedule": {"schedule": "30 2 * * 6"},
    "newData": {"minNewSamples": 100},
    "manual": {},
}
FIELDS: dict[str, tuple[Any, set[str]]] = {
    "below": (0.9, {"accuracy"}),
    "dropBelowBaseline": (0.05, {"accuracy"}),
    "features": (["confidence"], {"drift"}),
    "query": ("sum(a)", {"promql"}),
    "threshold": (0.5, {"promql", "drift"}),
    "clearThreshold": (0.5, {"promql"}),
    "schedule": ("0 0 * * *", {"schedule"}),
    "timeZone": ("Europe/Berlin", {"schedule"}),
    "startingDeadline": ("1h", {"schedule"}),
    "minNewSamples": (1, {"newData"}),
    "for": ("1h", {"accuracy", "drift", "promql"}),
    "clearFor": ("1h", {"accuracy", "drift", "promql"}),
    "expectedDaysBetweenFalseTriggers": (30, {"accuracy", "drift"}),
    "action": ("Alert", {*SMALLEST}),
}
"""A value of each field, and the types that have it."""


def wrong_fields(type_: str, **fields: Any) -> list[str]:
    """Return the paths of the fields that are called wrong."""
    try:
        Trigger.from_wire({"name": "watch", "type": type_} | SMALLEST[type_] | fields)
    except ValidationError as error:
        return [".".join(map(str, details["loc"])) for details in error.errors()]
    return []


def test_the_tables_have_every_type_and_field():
    assert {*SMALLEST} == {*get_args(TriggerType)}
    assert {"name", "type", *FIELDS} == {field.alias for field in Trigger.model_fields.values()}


@pytest.mark.parametrize("type_", SMALLEST)
@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_another_type_is_refused_by_its_name(type_: str, field: str):
    value, types = FIELDS[field]
    rest = {"below": None} if (type_, field) == ("accuracy", "dropBelowBaseline") else {}
    assert wrong_fields(type_, **rest, **{field: value}) == ([] if type_ in types else [field])


@pytest.mark.parametrize(
    ("type_", "fields", "wrong"),
    [
        ("accuracy", {"below": 0.999}, []),
        ("accuracy", {"below": 1}, ["below"]),
        ("accuracy", {"below": 0}, ["below"]),
        ("accuracy", {"below": None}, [""]),
        ("accuracy", {"dropBelowBaseline": 0.1}, [""]),
        ("promql", {"query": None}, [""]),
        ("promql", {"threshold": None}, [""]),
        ("promql", {"threshold": -3, "clearThreshold": -3}, []),
        ("promql", {"clearThreshold": 1.01}, ["clearThreshold"]),
        ("promql", {"for": "0s"}, ["for"]),
        ("promql", {"clearFor": "0m"}, ["clearFor"]),
        ("drift", {"threshold": 0}, ["threshold"]),
        ("drift", {"threshold": 0.001}, []),
        ("drift", {"features": []}, ["features"]),
        ("drift", {"features": ["Confidence"]}, ["features.0"]),
        ("drift", {"features": [f"a{n}" for n in range(33)]}, ["features"]),
        ("drift", {"expectedDaysBetweenFalseTriggers": 0}, ["expectedDaysBetweenFalseTriggers"]),
        ("drift", {"expectedDaysBetweenFalseTriggers": 1}, []),
        ("schedule", {"schedule": None}, [""]),
        ("schedule", {"schedule": "0 0 * *"}, ["schedule"]),
        ("schedule", {"schedule": "0 0 0 * * *"}, ["schedule"]),
        ("schedule", {"timeZone": "../etc"}, ["timeZone"]),
        ("schedule", {"timeZone": "America/Argentina/Buenos_Aires"}, []),
        ("schedule", {"startingDeadline": "0s"}, ["startingDeadline"]),
        ("newData", {"minNewSamples": None}, [""]),
        ("newData", {"minNewSamples": 0}, ["minNewSamples"]),
        ("manual", {"name": "Now"}, ["name"]),
    ],
)
def test_a_rule_calls_one_field_wrong_just_behind_its_border(type_: str, fields: Given, wrong: list[str]):
    assert wrong_fields(type_, **fields) == wrong


def test_a_field_whose_name_is_a_word_of_cel_is_escaped_in_rules_and_messages():
    written = [_validation(rule, {"for": {"type": "string"}}) for rule in Trigger.rules if rule.field == "for"]
    texts = [text for rule in written for text in (rule["rule"], rule["messageExpression"])]
    assert len(texts) == 4
    assert all("self.__for__" in text and "self.for" not in text for text in texts)
