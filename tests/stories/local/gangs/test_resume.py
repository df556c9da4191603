"""Going on from a checkpoint: bit-equal in the same gang, within rounding on another stage or world size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ranks import run_ranks

SCRIPT = Path(__file__).with_name("gang_resume.py")
STAGES = [{"zero_stage": zero_stage} for zero_stage in (0, 1, 2, 3)]
BF16 = [{"zero_stage": zero_stage, "precision": "bf16"} for zero_stage in (1, 2, 3)]
OFFLOAD = [{"zero_stage": zero_stage, "offload_optimizer": True} for zero_stage in (1, 2, 3)]
CASES = {
    "net": STAGES + BF16 + OFFLOAD,
    "lora": STAGES + OFFLOAD,
    "lora in shards": STAGES[2:],
    "tied": STAGES,
    "counting": STAGES,
}


def name_of(case: dict[str, Any]) -> str:
    return ",".join(f"{key}={value}" for key, value in case.items())


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Any:
    """Return what trains a model with a save on the way, once per model and world size: (folder, histories after it)."""
    made: dict[tuple[str, int], tuple[Path, dict]] = {}

    def train(model: str, world_size: int) -> tuple[Path, dict]:
        if (model, world_size) not in made:
            folder = tmp_path_factory.mktemp(f"{model.replace(' ', '-')}-{world_size}-")
            histories, *_ = run_ranks(
                SCRIPT,
                "train_saving",
                world_size=world_size,
                folder=str(folder),
                model=model.split(maxsplit=1)[0],
                cases=CASES[model],
            )
            made[model, world_size] = folder, histories
        return made[model, world_size]

    return train


def resumed(model: str, world_size: int, cases: list[dict]) -> dict:
    outcomes, *_ = run_ranks(SCRIPT, "resume", world_size=world_size, model=model.split(maxsplit=1)[0], cases=cases)
    return outcomes


@pytest.mark.parametrize(
    ("model", "world_size"),
    [
        ("net", 2),
        ("lora in shards", 2),
        ("tied", 2),
        ("counting", 1),
        pytest.param("net", 1, marks=pytest.mark.full),
        pytest.param("net", 3, marks=pytest.mark.full),
        pytest.param("lora", 2, marks=pytest.mark.full),
        pytest.param("lora", 1, marks=pytest.mark.full),
        pytest.param("lora", 3, marks=pytest.mark.full),
    ],
)
def test_the_same_gang_goes_on_to_the_last_bit(saved: Any, model: str, world_size: int) -> None:
    folder, histories = saved(model, world_size)
    outcomes = resumed(model, world_size, [{**case, "saved": str(folder / name_of(case))} for case in CASES[model]])
    assert {name: outcome["history"] == histories[name] for name, outcome in outcomes.items()} == dict.fromkeys(
        histories, True
    )
    assert {outcome["exactness"] for outcome in outcomes.values()} == {"exact"}


@pytest.mark.parametrize(
    ("model", "before", "after"),
    [
        ("net", 2, 1),
        ("net", 2, 3),
        pytest.param("net", 1, 2, marks=pytest.mark.full),
        pytest.param("net", 3, 2, marks=pytest.mark.full),
        pytest.param("lora", 2, 3, marks=pytest.mark.full),
        pytest.param("lora", 3, 1, marks=pytest.mark.full),
        pytest.param("tied", 2, 3, marks=pytest.mark.full),
    ],
)
def test_another_gang_on_another_stage_goes_on_within_rounding(saved: Any, model: str, before: int, after: int) -> None:
    folder, histories = saved(model, before)
    outcomes = {}
    for shift in (1, 2, 3):
        old = {new["zero_stage"]: STAGES[(new["zero_stage"] + shift) % 4] for new in STAGES}
        cases = [{**new, "saved": str(folder / name_of(old[new["zero_stage"]]))} for new in STAGES]
        outcomes |= {
            (name_of(old[int(name[-1])]), name): outcome for name, outcome in resumed(model, after, cases).items()
        }
    assert len(outcomes) == 12
    for (old_name, new_name), outcome in outcomes.items():
        losses = [loss for loss, _ in outcome["history"]]
        assert losses == pytest.approx([loss for loss, _ in histories[old_name]], abs=1e-6), (old_name, new_name)
        assert outcome["exactness"] == "rounding"


def test_a_gang_that_shrinks_and_grows_and_changes_its_stage_loses_no_more_than_rounding(tmp_path: Path) -> None:
    def go_on(name: str, *, world_size: int, zero_stage: int, until: int, attempt: int = 1) -> dict:
        arguments = {"folder": str(tmp_path / name), "zero_stage": zero_stage, "until": until, "attempt": attempt}
        outcome, *_ = run_ranks(SCRIPT, "go_on", world_size=world_size, **arguments)
        return outcome

    unbroken = go_on("unbroken", world_size=2, zero_stage=2, until=12)["history"]
    parts = [
        go_on("broken", world_size=world_size, zero_stage=zero_stage, until=4 * attempt, attempt=attempt)
        for attempt, (world_size, zero_stage) in enumerate([(2, 2), (1, 3), (3, 0)], 1)
    ]
    assert [part["exactness"] for part in parts] == ["exact", "rounding", "rounding"]
    losses = [loss for part in parts for loss, _ in part["history"]]
    assert losses == pytest.approx([loss for loss, _ in unbroken], abs=1e-6)


def test_the_state_beside_the_weights_comes_back_as_it_was(saved: Any) -> None:
    folder, _ = saved("tied", 2)
    (outcome,) = resumed("tied", 1, [{"zero_stage": 0, "saved": str(folder / "zero_stage=0")}]).values()
    assert (outcome["data"], outcome["best"], outcome["extra"]) == ({"epoch": 1.5}, None, {"note": [None, 2.0]})
