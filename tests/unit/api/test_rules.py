"""The base of the models reads JSON as the API server does, and a broken rule is an error at the wrong field."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BeforeValidator, ValidationError

from tuneloop_api.wire.model import SpecModel, without_nulls
from tuneloop_api.wire.rules import Rule, applies_only, exactly_one, not_together


class Inner(SpecModel):
    type: str | None = None
    max_rank: int | None = None
    first_way: int | None = None
    second_way: float | None = None

    rules = (
        applies_only(
            "max_rank",
            to="type: lora",
            hint="it is a rank",
            cel="self.type == 'lora'",
            holds=lambda inner: inner.type == "lora",
        ),
        not_together("first_way", "second_way"),
    )


class Outer(SpecModel):
    inner: Inner | None = None
    items: list[Inner] | None = None
    counts: Annotated[dict[str, int], BeforeValidator(without_nulls)] | None = None
    either: int | None = None
    other: int | None = None

    rules = (exactly_one("either", "other"),)


def errors(data):
    with pytest.raises(ValidationError) as caught:
        Outer.from_wire(data)
    return {".".join(map(str, error["loc"])): (error["msg"], error["input"]) for error in caught.value.errors()}


def test_every_broken_rule_is_an_error_at_its_field_with_what_was_given():
    found = errors({"either": 1, "inner": {"maxRank": 3, "firstWay": 1, "secondWay": 0.5}})
    assert found == {
        "inner.maxRank": ("applies only to type: lora (it is a rank)", 3),
        "inner.secondWay": ("cannot be combined with firstWay; leave one of the two out", 0.5),
    }


def test_a_rule_in_a_list_is_an_error_at_its_item():
    assert list(errors({"either": 1, "items": [{}, {"maxRank": 1}]})) == ["items.1.maxRank"]


def test_a_rule_without_a_field_is_an_error_at_the_object():
    assert errors({}) == {"": ("exactly one of either and other must be given", {})}


def test_a_rule_holds_for_a_model_made_in_python_too():
    with pytest.raises(ValidationError, match="cannot be combined with firstWay"):
        Inner(first_way=1, second_way=2)


def test_braces_in_a_message_are_kept():
    class Braces(SpecModel):
        rules = (Rule(cel="false", holds=lambda _: False, message="give {steps: 1}"),)

    with pytest.raises(ValidationError, match=r"give \{steps: 1\}"):
        Braces()


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"either": 2.0}, {"either": 2}),
        ({"either": 1e3}, {"either": 1000}),
        ({"either": 1, "inner": None}, {"either": 1}),
        ({"either": 1, "inner": {"secondWay": 2}}, {"either": 1, "inner": {"secondWay": 2.0}}),
        ({"either": 1, "counts": {"a": 1, "b": None}}, {"either": 1, "counts": {"a": 1}}),
    ],
)
def test_what_the_server_takes_is_taken(given, read):
    assert Outer.from_wire(given).to_wire() == read


@pytest.mark.parametrize(
    "given",
    [
        {"either": 2.5}, {"either": "2"}, {"either": True}, {"either": float("inf")}, {"either": 1, "Inner": {}}, {"either": 1, "unknown": None},
        {"either": 1, "items": [None]}, {"either": 1, "inner": {"second_way": 1}}, {"either": 1, "inner": {"secondWay": float("nan")}}, {"either": 1, "inner": []},
    ],
    ids=str,
)  # fmt: skip
def test_what_the_server_refuses_is_refused(given):
    assert errors(given)


@pytest.mark.parametrize(
    ("rule", "cel"),
    [
        (exactly_one("steps", "max_steps"), "[has(self.steps), has(self.maxSteps)].exists_one(given, given)"),
        (not_together("steps", "max_steps"), "!(has(self.steps) && has(self.maxSteps))"),
        (applies_only("max_steps", to="x", cel="self.x", holds=bool), "!has(self.maxSteps) || self.x"),
    ],
)
def test_the_twin_in_cel_names_the_fields_as_the_wire_does(rule, cel):
    assert rule.cel == cel
