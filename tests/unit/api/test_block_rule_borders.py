"""Each rule over several blocks of a job's spec at its border, whatever the task: what it just allows, and what it just refuses, with the field that is called wrong."""

from __future__ import annotations

import pytest
from bad_manifest import GOOD, JOB
from rule_borders import COMPARED, READ, Given, wrong_fields

from tuneloop_api.combinations.table import METHODS, PROMPTS
from tuneloop_api.v1alpha1 import FineTuneJobSpec
from tuneloop_api.v1alpha1.fine_tune_job.training_options import PACKED

UNMERGED: dict[str, Given] = {method: {"output": {"mergeAdapter": False}} for method in PROMPTS}
"""What a method needs beside itself."""
SPECS: list[tuple[Given, list[str]]] = [
    ({"output": {"mergeAdapter": False}}, []),
    ({"output": {"mergeAdapter": False}, "method": {}}, []),
    ({"output": {"mergeAdapter": False}, "method": {"type": "lora"}}, []),
    ({"output": {"mergeAdapter": False}, "method": {"type": "full"}}, ["output.mergeAdapter"]),
    ({"output": {"mergeAdapter": False}, "method": {"type": "ia3"}}, []),
    ({"output": {"mergeAdapter": False}, "method": {"type": "bitfit"}}, ["output.mergeAdapter"]),
    *(
        ({"method": {"type": method}, "output": {"mergeAdapter": False}}, [])
        for method in ("prefix", "prompt", "p-tuning")
    ),
    *(
        ({"method": {"type": "prompt"}} | output, ["method.type"])
        for output in ({}, {"output": {}}, {"output": {"mergeAdapter": True}})
    ),
    ({"method": {"useDora": True}}, []),
    ({"method": {"useDora": True}, "deepspeed": {}}, []),
    *(({"method": {"useDora": True}, "deepspeed": {"stage": stage}}, []) for stage in (0, 1, 2)),
    ({"method": {"useDora": True}, "deepspeed": {"stage": 3}}, ["deepspeed.stage"]),
    ({"method": {"useDora": False}, "deepspeed": {"stage": 3}}, []),
    ({"deepspeed": {"stage": 3}}, []),
    ({"output": {"checkpoint": "best"}, "method": {"type": "full"}}, []),
    ({"output": {"formats": ["onnx"]}, "method": {"type": "full"}}, []),
    ({"output": {"formats": ["safetensors", "onnx-int8"], "mergeAdapter": True}}, []),
    ({"output": {"formats": ["safetensors"], "mergeAdapter": False}}, []),
    ({"output": {"formats": ["safetensors", "onnx"], "mergeAdapter": False}}, ["output.formats"]),
    ({"output": {"formats": ["onnx-int8"], "mergeAdapter": False}}, ["output.formats"]),
    ({"evaluation": {}, "output": {"mergeAdapter": False}}, []),
    (COMPARED | {"output": {}}, []),
    (COMPARED | {"output": {"mergeAdapter": True}}, []),
    (COMPARED | {"output": {"mergeAdapter": False}}, ["evaluation.compareWith"]),
    (COMPARED | {"data": {"train": [READ], "split": {}}}, []),
    (COMPARED | {"data": {"train": [READ], "split": {"method": "hash"}}}, []),
    (COMPARED | {"data": {"train": [READ], "split": {"method": "random"}}}, ["evaluation.compareWith"]),
    (COMPARED | {"data": {"train": [READ], "test": [READ], "split": {"method": "random"}}}, []),
    ({"data": {"train": [READ], "split": {"method": "random"}}}, []),
    (
        {"data": {"train": [READ], "balance": {"focalGamma": 2}}, "training": {"labelSmoothing": 0.1}},
        ["data.balance.focalGamma"],
    ),
    ({"data": {"train": [READ], "balance": {"focalGamma": 2}}, "training": {"labelSmoothing": 0}}, []),
    ({"data": {"train": [READ], "balance": {"focalGamma": 2}}, "training": {}}, []),
    ({"data": {"train": [READ], "balance": {"focalGamma": 0}}, "training": {"labelSmoothing": 0.1}}, []),
    ({"data": {"train": [READ], "balance": {"classWeights": "balanced"}}, "training": {"labelSmoothing": 0.1}}, []),
    *(
        (
            {"method": {"type": method}, "training": {"layerwiseLrDecay": 0.9}} | UNMERGED.get(method, {}),
            [] if method in {"full", "bitfit"} else ["training.layerwiseLrDecay"],
        )
        for method in METHODS
    ),
    ({"training": {"layerwiseLrDecay": 0.99}}, ["training.layerwiseLrDecay"]),
    ({"training": {"layerwiseLrDecay": 1}}, []),
    *(
        (
            {"method": {"type": method}, "training": {"gradientCheckpointing": "always"}} | UNMERGED.get(method, {}),
            ["training.gradientCheckpointing"] if method == "prefix" else [],
        )
        for method in METHODS
    ),
    ({"method": {"type": "prefix"}, "training": {"gradientCheckpointing": "never"}} | UNMERGED["prefix"], []),
    ({"training": {"gradientCheckpointing": "always"}}, []),
    ({"data": {"train": [READ], "packing": "always"}}, ["data.packing"]),
    *(({"data": {"train": [READ], "packing": packing}}, []) for packing in ("auto", "never")),
    *(({"task": task, "data": {"train": [READ], "packing": "always"}}, []) for task in PACKED),
    ({"training": {"neftuneAlpha": 5}}, []),
    ({"scheduling": {"minNodes": 1}}, []),
    ({"scheduling": {"minNodes": 2}}, ["scheduling.minNodes"]),
    ({"scheduling": {"minNodes": 2}, "resources": {}}, ["scheduling.minNodes"]),
    ({"scheduling": {"minNodes": 2}, "resources": {"nodes": 2}}, []),
    ({"scheduling": {"minNodes": 3}, "resources": {"nodes": 2}}, ["scheduling.minNodes"]),
    ({"scheduling": {}, "resources": {"nodes": 1}}, []),
]


@pytest.mark.parametrize(("fields", "wrong"), SPECS, ids=str)
def test_a_rule_over_blocks_of_the_spec_calls_one_field_wrong(fields: Given, wrong: list[str]) -> None:
    assert wrong_fields(FineTuneJobSpec, GOOD[JOB] | fields) == wrong
