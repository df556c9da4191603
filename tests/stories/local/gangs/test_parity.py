"""The engine makes the same steps on every ZeRO stage and any number of ranks, and those of plain torch."""

from __future__ import annotations

from pathlib import Path

import pytest
from ranks import run_ranks

SCRIPT = Path(__file__).with_name("gang_parity.py")
STAGES = [0, 1, 2, 3]


@pytest.mark.parametrize("world_size", [1, 2])
def test_gradients_are_those_of_plain_torch_in_every_pattern_of_passes(world_size: int) -> None:
    differences, *_ = run_ranks(SCRIPT, "largest_difference_from_plain_torch", world_size=world_size, stages=STAGES)
    assert len(differences) == 6 * len(STAGES)
    wrong = {case: difference for case, difference in differences.items() if difference > 2e-6}
    assert not wrong


@pytest.fixture(scope="module")
def runs() -> dict[tuple[str, int, int], dict]:
    """Histories by model, world size and stage: ten steps with dropout and clipping."""
    found = {}
    for model, world_sizes in (("net", (1, 2, 3)), ("lora", (1, 2))):
        for world_size in world_sizes:
            outcomes, *_ = run_ranks(
                SCRIPT,
                "same_steps",
                world_size=world_size,
                model=model,
                cases=[{"zero_stage": s} for s in STAGES],
                steps=10,
            )
            found |= {
                (model, world_size, zero_stage): outcome for zero_stage, outcome in zip(STAGES, outcomes, strict=True)
            }
    return found


@pytest.mark.parametrize("model", ["net", "lora"])
def test_every_stage_and_world_size_makes_the_same_steps(runs: dict, model: str) -> None:
    reference = runs[model, 1, 0]["history"]
    for (name, world_size, zero_stage), outcome in runs.items():
        if name != model:
            continue
        for (loss, norm), (expected_loss, expected_norm) in zip(outcome["history"], reference, strict=True):
            assert loss == pytest.approx(expected_loss, abs=1e-6), (world_size, zero_stage)
            assert norm == pytest.approx(expected_norm, rel=5e-6), (world_size, zero_stage)


def test_some_steps_are_clipped_and_some_are_not(runs: dict) -> None:
    clipped = {norm > 1.0 for _, norm in runs["net", 1, 0]["history"] + runs["lora", 1, 0]["history"]}
    assert clipped == {True, False}


def test_every_stage_ends_with_the_same_weights_by_the_same_names(runs: dict) -> None:
    expected = runs["lora", 1, 0]["state"]
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in expected if "lora" not in name} == {"default"}
    for (model, world_size, zero_stage), outcome in runs.items():
        if model != "lora":
            continue
        assert outcome["state"].keys() == expected.keys()
        for name, values in outcome["state"].items():
            assert values == pytest.approx(expected[name], abs=1e-4), (name, world_size, zero_stage)


def test_the_frozen_base_has_one_digest_on_every_stage_and_world_size(runs: dict) -> None:
    assert len({outcome["digest"] for (model, *_), outcome in runs.items() if model == "lora"}) == 1


def test_bf16_makes_the_same_steps_on_every_stage_and_stays_near_fp32(runs: dict) -> None:
    cases = [{"zero_stage": zero_stage, "precision": "bf16"} for zero_stage in STAGES]
    outcomes, *_ = run_ranks(SCRIPT, "same_steps", world_size=2, model="net", cases=cases, steps=10)
    without_zero, *_ = outcomes
    for outcome in outcomes:
        for (loss, norm), (other_loss, other_norm) in zip(outcome["history"], without_zero["history"], strict=True):
            assert loss == pytest.approx(other_loss, abs=2e-3)
            assert norm == pytest.approx(other_norm, rel=2e-2)
        for (loss, _), (exact, _) in zip(outcome["history"], runs["net", 2, 0]["history"], strict=True):
            assert loss == pytest.approx(exact, abs=1e-2)
