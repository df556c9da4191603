"""What a study asks for, and which trials end early: the same after any restart, since a study is built anew from the trials on record."""

from __future__ import annotations

import itertools

import pytest

from tuneloop_api.contract.search import Evaluated, SearchSettings, Trial
from tuneloop_api.wire.model import changed
from tuneloop_trainer.training.search.study import Study, grid, planned_trials

RATE = {"path": "training.learningRate", "type": "log-float", "low": 1e-5, "high": 1e-2}
DECAY = {"path": "training.weightDecay", "type": "float", "low": 0.0, "high": 0.3}
RANK = {"path": "method.rank", "type": "int", "low": 2, "high": 32}
METHOD = {"path": "method.type", "type": "categorical", "values": ["full", "lora", "bitfit"]}
BATCH = {"path": "training.globalBatchSize", "type": "categorical", "numbers": [8, 16]}
DORA = {"path": "method.useDora", "type": "categorical", "values": ["true", "false"]}


def settings(*space, **fields) -> SearchSettings:
    return SearchSettings.from_wire({"space": list(space), "trials": 14, "pruner": "none"} | fields)


def study(of: SearchSettings, trials=(), *, rises=True, seed=42) -> Study:
    return Study(of, method="lora", rises=rises, seed=seed, trials=trials)


def score(parameters) -> float:
    """A made-up result: the learning rate decides most of it, and 1e-3 is best."""
    rate = float(parameters.get("training.learningRate", 1e-3))
    return 1.0 - abs(rate - 1e-3) * 50 - float(parameters.get("training.weightDecay", 0)) / 100


def played(of: SearchSettings, count: int, *, seed: int = 42, evaluations: int = 3) -> list[Trial]:
    """Play a search without a break: each trial rises to its score."""
    running, trials = study(of, seed=seed), []
    for number in range(1, count + 1):
        trial = Trial(number=number, parameters=running.ask())
        is_pruned = False
        for step in range(1, evaluations + 1):
            value = score(trial.parameters) * step / evaluations
            is_pruned = running.prunes(value)
            trial = changed(trial, evaluations=[*trial.evaluations, Evaluated(step=step, value=value)])
            if is_pruned:
                break
        end = {"state": "Pruned"} if is_pruned else {"state": "Complete", "value": value}
        trials.append(changed(trial, **end))
        running.tell(trials[-1])
    return trials


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("killed_after", [0, 1, 7, 12, 13])
def test_a_study_built_from_the_record_asks_for_the_values_that_an_unbroken_one_asks_for(sampler, killed_after):
    of = settings(RATE, METHOD, RANK, DECAY, sampler=sampler)
    unbroken = played(of, 14)
    assert study(of, unbroken[:killed_after]).ask() == unbroken[killed_after].parameters


@pytest.mark.parametrize("pruner", ["asha", "median"])
def test_a_study_built_in_the_middle_of_a_trial_prunes_as_an_unbroken_one_does(pruner):
    of = settings(RATE, pruner=pruner)
    trials = played(of, 14)
    pruned = [trial for trial in trials if trial.state == "Pruned"]
    assert pruned
    for trial in trials:
        before = trials[: trial.number - 1]
        for done, evaluated in enumerate(trial.evaluations):
            cut = changed(trial, state="Running", value=None, evaluations=trial.evaluations[:done])
            is_end = trial.state == "Pruned" and done == len(trial.evaluations) - 1
            assert study(of, [*before, cut]).prunes(evaluated.value) == is_end


def test_a_record_survives_json_to_the_last_bit():
    trials = played(settings(RATE, METHOD, RANK, DORA), 12)
    assert [Trial.model_validate_json(trial.model_dump_json(by_alias=True)) for trial in trials] == trials


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_values_lie_in_their_ranges_and_have_the_type_of_their_field(sampler):
    for trial in played(settings(RATE, RANK, DECAY, BATCH, DORA, sampler=sampler), 14):
        found = trial.parameters
        assert 1e-5 <= found["training.learningRate"] <= 1e-2
        assert isinstance(found["method.rank"], int)
        assert 2 <= found["method.rank"] <= 32
        assert 0 <= found["training.weightDecay"] <= 0.3
        assert found["training.globalBatchSize"] in {8, 16}
        assert found["method.useDora"] in {True, False}


def test_a_field_is_drawn_for_the_methods_that_it_applies_to_and_for_no_other():
    layers = {"path": "training.layerwiseLrDecay", "type": "float", "low": 0.5, "high": 1.0}
    trials = played(settings(RANK, layers, METHOD, sampler="random"), 14)
    found = {(t.parameters["method.type"], *sorted(t.parameters.keys() - {"method.type"})) for t in trials}
    assert found == {
        ("lora", "method.rank"),
        ("full", "training.layerwiseLrDecay"),
        ("bitfit", "training.layerwiseLrDecay"),
    }


def test_another_seed_draws_other_values():
    of = settings(RATE)
    assert study(of, seed=1).ask() != study(of, seed=2).ask()


def test_tpe_learns_where_the_good_values_lie():
    values = [score(trial.parameters) for trial in played(settings(RATE, sampler="tpe", trials=40), 40)]
    assert sum(values[-10:]) / 10 > sum(values[:10]) / 10


def test_a_metric_that_falls_is_pruned_where_it_is_high():
    of = settings(RATE, pruner="median")
    trials = [
        Trial(number=n, parameters={RATE["path"]: 1e-4}, state="Complete", value=0.1, evaluations=[Evaluated(step=1, value=0.1)])
        for n in range(1, 7)
    ]  # fmt: skip
    for rises, high, low in ((False, True, False), (True, False, True)):
        for value, expected in ((0.9, high), (0.01, low)):
            running = study(of, trials, rises=rises)
            running.ask()
            assert running.prunes(value) == expected


@pytest.mark.parametrize("state", ["Diverged", "Refused"])
def test_a_trial_that_failed_is_on_record_and_the_next_is_drawn(state):
    of = settings(RATE)
    failed = Trial(number=1, parameters={RATE["path"]: 9e-3}, state=state, reason="the loss of step 3 is nan")
    again = study(of, [failed])
    assert again.ask() != failed.parameters


def test_a_grid_has_each_combination_once_without_fields_that_do_not_apply():
    ranks = RANK | {"type": "categorical", "numbers": [4, 8]}
    of = settings(
        METHOD | {"values": ["full", "lora"]},
        {k: v for k, v in ranks.items() if k not in {"low", "high"}},
        sampler="grid",
    )
    points = grid(of.space, method="lora")
    assert points == [
        {"method.type": "full"},
        {"method.type": "lora", "method.rank": 4},
        {"method.type": "lora", "method.rank": 8},
    ]
    assert planned_trials(of, method="lora") == 3
    trials: list[Trial] = []
    for number, point in enumerate(points, 1):
        assert study(of, trials).ask() == point
        trials.append(Trial(number=number, parameters=point, state="Complete", value=number / 10))


def test_importance_names_the_field_that_decides():
    of = settings(RATE, DECAY, sampler="random", trials=40)
    found = study(of, played(of, 40)).importance()
    assert found is not None
    assert found[RATE["path"]] > found[DECAY["path"]]
    assert found == study(of, played(of, 40)).importance()


@pytest.mark.parametrize("values", [[0.1, 0.2, 0.3, 0.4], [0.5] * 6], ids=["too few", "all alike"])
def test_importance_says_nothing_of_few_trials_or_of_equal_ones(values):
    rates = itertools.count(1)
    trials = [
        Trial(number=number, parameters={RATE["path"]: next(rates) * 1e-4}, state="Complete", value=value)
        for number, value in enumerate(values, 1)
    ]
    assert study(settings(RATE), trials).importance() is None
