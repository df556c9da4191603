"""Rules that hold two fields of a spec together, without an API server: each refuses exactly what its message says."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tuneloop_api.v1alpha1.fine_tune_job.deepspeed import DeepSpeed
from tuneloop_api.v1alpha1.fine_tune_job.spec import FineTuneJobSpec

LEAST = {
    "model": {"uri": "hf://acme/model"},
    "task": "text-classification",
    "data": {"train": [{"uri": "pvc://work/rows.csv"}]},
}


@pytest.mark.parametrize(
    ("deepspeed", "allowed"),
    [
        ({"stage": 0, "offloadOptimizer": "cpu"}, False),
        ({"stage": 0, "offloadOptimizer": "none"}, True),
        ({"stage": 0}, True),
        ({"stage": 1, "offloadOptimizer": "cpu"}, True),
        ({"offloadOptimizer": "cpu"}, True),
    ],
)
def test_the_optimizer_is_offloaded_only_where_it_is_shared_out(deepspeed, allowed):
    assert is_allowed(DeepSpeed, deepspeed, but="cannot be cpu with stage: 0") is allowed


@pytest.mark.parametrize(
    ("blocks", "allowed"),
    [
        ({"scheduling": {"minNodes": 2}}, False),
        ({"scheduling": {"minNodes": 2}, "resources": {"gpusPerNode": 1}}, False),
        ({"scheduling": {"minNodes": 3}, "resources": {"nodes": 2}}, False),
        ({"scheduling": {"minNodes": 2}, "resources": {"nodes": 2}}, True),
        ({"scheduling": {"minNodes": 1}}, True),
        ({"resources": {"nodes": 2}}, True),
        ({}, True),
    ],
)
def test_a_gang_does_not_need_more_nodes_than_it_has(blocks, allowed):
    assert is_allowed(FineTuneJobSpec, LEAST | blocks, but="must be at most resources.nodes") is allowed


def is_allowed(model: Any, wire: dict, *, but: str) -> bool:
    """Tell whether a model takes JSON data; it may refuse it for this reason alone."""
    try:
        model.from_wire(wire)
    except ValidationError as error:
        assert but in str(error)  # noqa: PT017  (the message is the point)
        return False
    return True
