"""What `tuneloop plan` shows of a plan."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop_api.contract.job_plan import JobPlan
from tuneloop_cli.commands.plan import show_plan
from tuneloop_cli.exits import Exit, TuneloopExit
from tuneloop_cli.views.plan_page import plan_page

MIB = 2**20
RANK = {
    "weights": 100 * MIB,
    "gradients": 100 * MIB,
    "optimizer": 200 * MIB,
    "activations": 0,
    "framework": 0,
    "total": 400 * MIB,
}
PLAN: dict[str, Any] = {
    "model": {"type": "bert", "revision": "r", "parameters": 22_713_986, "trainable": 676_610},
    "resolved": {
        "labels": ["a", "b"], "maxTokens": 64, "globalBatchSize": 32, "microBatchSize": 16, "stepsPerEpoch": 10, "totalSteps": 30,
        "warmupSteps": 2, "learningRate": 2e-4, "precision": "fp32", "stage": 2,
    },
    "rows": {"train": 8000, "validation": 1000, "test": 1000},
    "nodes": 2,
    "ranks": 4,
    "memory": {"rank": RANK, "pod": 500 * MIB, "limit": 600 * MIB},
    "space": {"needs": {"data set": 20 * MIB, "checkpoints": 1004 * MIB}, "free": 2048 * MIB},
}  # fmt: skip


def lines(**changes: Any) -> list[str]:
    text = plan_page("reviews", JobPlan.from_wire(PLAN | changes))
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_plan_says_what_is_trained_on_what() -> None:
    assert {
        "Model: bert, 22,713,986 parameters, 676,610 of them trained",
        "Ranks: 4 on 2 nodes",
        "Rows: train 8,000, validation 1,000, test 1,000",
        "microBatchSize: 16",
        "maxTokens: 64",
    } <= {*lines()}


def test_a_plan_says_what_a_person_should_know_of_the_rows() -> None:
    notes = ["3 of 600 rows were left out", "labels that look alike are different classes"]
    found = lines(notes=notes)
    assert found[found.index("Notes:") + 1 :][:2] == notes
    assert "Notes:" not in lines()


def test_a_plan_says_where_the_head_comes_from() -> None:
    assert "Head: new: the model's files hold none" in lines(
        model=PLAN["model"] | {"head": "new: the model's files hold none"}
    )


def test_the_memory_of_a_rank_is_a_table_beside_the_limit_of_its_pod() -> None:
    assert {"weights 100.0 MiB 25%", "total 400.0 MiB", "needs: 500.0 MiB", "limit: 600.0 MiB"} <= {*lines()}


def test_the_room_that_is_needed_stands_beside_what_is_free() -> None:
    assert {"checkpoints 1004.0 MiB", "needed 1.0 GiB", "free 2.0 GiB"} <= {*lines()}


def test_an_estimate_is_called_one() -> None:
    assert "maxTokens: about 64 (from 1,616 rows of train; prepare looks at all)" in lines(sampled=1616)


def test_where_nothing_stands_in_the_way_it_can_run() -> None:
    assert lines()[-1] == "It can run."


def test_what_stands_in_the_way_comes_last_with_a_hint() -> None:
    shown = lines(problems=[{"message": "resources.memory: too little", "hint": "set more"}])
    assert shown[-4:] == [
        "Problems:",
        "error: resources.memory: too little",
        "hint: set more",
        "It cannot run as it is.",
    ]


def test_a_model_that_cannot_be_traced_has_no_plan_of_memory() -> None:
    assert "not known: the model cannot be traced" in lines(memory=None)


def test_no_line_is_longer_than_a_terminal() -> None:
    problem = {"message": "resources.memory: 1.6 GiB is too little. " * 9, "hint": "set it higher. " * 20}
    assert (
        max(len(line) for line in plan_page("reviews", JobPlan.from_wire(PLAN | {"problems": [problem]})).splitlines())
        <= 110
    )


def test_an_unknown_output_is_refused(tmp_path) -> None:
    with pytest.raises(TuneloopExit, match="'xml' is not allowed; must be one of table, json") as ended:
        show_plan([], folder=tmp_path, output="xml")
    assert ended.value.code == Exit.BAD_INPUT


def test_the_rehearsal_has_a_line_where_there_was_one() -> None:
    done = "trained, saved, exported and loaded this model in 3.1 s"
    assert f"Rehearsal: {done}" in lines(rehearsal=done)
    assert not [line for line in lines() if line.startswith("Rehearsal")]
