"""The table of combinations: what its rows refuse, and that its page, its rules and the schema say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tuneloop_api.combinations.page import PAGE, page
from tuneloop_api.combinations.rules import combination_rules
from tuneloop_api.combinations.table import METHODS, OPTIONS, REFUSED, TASKS, Combination, Refused, refusal
from tuneloop_api.v1alpha1 import FineTuneJob

DOCS = Path(__file__).parents[4] / "docs"
ROW = Refused(
    field="method.type", methods=("lora", "ia3"), options=("useDora",), families=("decoder",), models=("gpt2", "opt"), zero_stages=(2, 3), precisions=("bf16",), lacks="biases",
    reason="cannot be", advice="leave out",
)  # fmt: skip
FULL: dict[str, Any] = {
    "method": "lora", "options": frozenset(["useDora", "useRslora"]), "task": TASKS[0], "family": "decoder", "model_type": "opt", "zero_stage": 3,
    "precision": "bf16", "lacks": frozenset(["biases", "more"]),
}  # fmt: skip


def test_a_row_refuses_what_has_all_its_values() -> None:
    assert ROW.refuses(Combination(**FULL))


@pytest.mark.parametrize(
    "other",
    [
        {"method": "full"},
        {"options": frozenset(["useRslora"])},
        {"family": "encoder"},
        {"family": None},
        {"model_type": "llama"},
        {"model_type": None},
        {"zero_stage": 1},
        {"zero_stage": None},
        {"precision": "fp32"},
        {"precision": None},
        {"lacks": frozenset(["more"])},
    ],
    ids=str,
)
def test_a_row_lets_pass_what_lacks_one_of_its_values_or_is_not_known(other: dict[str, Any]) -> None:
    assert not ROW.refuses(Combination(**FULL | other))


@pytest.mark.parametrize(
    ("combination", "field"),
    [
        (Combination(method="lora", options=frozenset(["useDora"]), zero_stage=3), "deepspeed.stage"),
        (Combination(method="lora", options=frozenset(["useDora"]), zero_stage=2), None),
        (Combination(method="lora", options=frozenset(["useRslora"]), zero_stage=3), None),
        (Combination(method="bitfit", lacks=frozenset(["biases"])), "method.type"),
        (Combination(method="bitfit"), None),
        (Combination(method="lora", lacks=frozenset(["biases"])), None),
        (Combination(method="prefix", model_type="falcon"), "method.type"),
        (Combination(method="prefix", model_type="llama"), None),
        (Combination(method="prefix", model_type="roformer", task="text-classification"), "method.type"),
        (Combination(method="prefix", model_type="roformer", task="token-classification"), None),
        (Combination(method="prompt", model_type="longformer", task="text-classification"), "method.type"),
        (Combination(method="lora", model_type="longformer"), None),
    ],
)
def test_the_table_refuses_what_was_found_to_break(combination: Combination, field: str | None) -> None:
    found = refusal(combination)
    assert (found and found.field) == field


def test_the_spec_gets_a_rule_of_each_row_that_it_decides_alone() -> None:
    decided = [row for row in REFUSED if row.is_of_the_spec]
    assert [rule.field for rule in combination_rules()] == [row.field for row in decided]
    assert all(
        f"{row.reason}; {row.advice}" == rule.message for row, rule in zip(decided, combination_rules(), strict=True)
    )
    assert not any(row.models for row in decided)
    assert not any("{" in rule.message for rule in combination_rules())


def test_the_table_and_the_schema_know_the_same_methods_and_tasks() -> None:
    schema = FineTuneJob.model_json_schema(by_alias=True)["$defs"]
    assert tuple(values_of(schema["Method"]["properties"]["type"])) == METHODS
    assert tuple(values_of(schema["FineTuneJobSpec"]["properties"]["task"])) == TASKS
    assert OPTIONS.keys() <= schema["Method"]["properties"].keys()


def values_of(node: dict[str, Any]) -> list[str]:
    return node.get("enum") or next(values_of(part) for part in node["anyOf"])


def test_the_page_of_the_docs_is_current() -> None:
    assert (DOCS / PAGE).read_text(encoding="utf-8") == page(), "run python -m tuneloop_api.combinations docs"
