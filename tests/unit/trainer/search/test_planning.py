"""The settings by which a search is planned."""

from __future__ import annotations

import pytest
from bad_manifest import GOOD, JOB

from tuneloop_api.contract.defaults import as_set, with_defaults
from tuneloop_api.v1alpha1 import FineTuneJobSpec
from tuneloop_trainer.data.plan import resolve
from tuneloop_trainer.preflight.searched import planning_settings

RANK = {"path": "method.rank", "type": "int", "low": 4, "high": 32}
METHOD = {"path": "method.type", "type": "categorical", "values": ["full", "lora"]}


def planned(*space: dict) -> list:
    spec = FineTuneJobSpec.from_wire(GOOD[JOB] | {"search": {"space": list(space)}})
    return planning_settings(with_defaults(as_set(spec)))


def test_a_search_is_planned_for_the_largest_trial_of_each_method():
    full, lora = planned(METHOD, RANK)
    assert (full.method.type, lora.method.type, lora.method.rank) == ("full", "lora", 32)


@pytest.mark.parametrize(
    "warmup",
    [
        {"type": "int", "low": 10, "high": 1000},
        {"type": "categorical", "numbers": [10, 1000]},
    ],
)
def test_a_long_warm_up_that_a_trial_may_draw_does_not_end_the_job(warmup):
    """No memory depends on it, and a trial that cannot have it is refused by itself."""
    (settings,) = planned({"path": "training.warmupSteps"} | warmup, RANK)
    found = resolve(settings, labels=["a", "b"], max_tokens=16, train_rows=64, architecture="encoder")
    assert found.warmup_steps < found.total_steps
