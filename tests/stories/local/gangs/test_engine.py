"""What the engine promises beside parity: norms, steps that are refused, names, precision, a lost gang."""

from __future__ import annotations

from pathlib import Path

import pytest
from ranks import run_ranks, start_and_wait
from tiny_models import tiny_bert

SCRIPT = Path(__file__).with_name("gang_engine.py")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> dict:
    folder = tiny_bert(tmp_path_factory.mktemp("model"))
    first, _ = run_ranks(SCRIPT, "observe_steps", world_size=2, folder=str(folder))
    return first


def test_the_gradient_norm_is_exact_to_seven_digits_on_every_stage(outcome: dict) -> None:
    for reported, exact in outcome["norms"]:
        assert reported == pytest.approx(exact, rel=2e-7)


def test_a_gradient_that_is_not_finite_moves_nothing_and_leaves_no_trace(outcome: dict) -> None:
    for observed in outcome["not finite"]:
        assert observed["norm is infinite"]
        assert observed["nothing moved"]
        assert observed["adam step"] == 0
        assert 0 < observed["next norm"] < 100


def test_matrices_decay_and_vectors_do_not(outcome: dict) -> None:
    assert outcome["decays"] == [["inner.weight", "outer.weight"]] * 4


def test_each_parameter_learns_at_its_own_rate_on_every_stage(outcome: dict) -> None:
    expected = {
        "inner.weight": 0.25,
        "inner.bias": 0.25,
        "norm.weight": 1,
        "norm.bias": 1,
        "outer.weight": 1,
        "outer.bias": 1,
    }
    for moves in outcome["moves"]:
        assert moves == pytest.approx(expected, rel=0.01)


def test_bf16_trains_fp32_master_weights(outcome: dict) -> None:
    assert outcome["master weights"] == [True] * 3


def test_a_shared_parameter_is_handed_over_once(outcome: dict) -> None:
    assert outcome["tied"] == [["again.bias", "inner.bias", "inner.weight", "outer.bias", "outer.weight", "then"]] * 4


def test_a_buffer_is_handed_over_when_training_has_changed_it(outcome: dict) -> None:
    for names in outcome["buffers"]:
        assert names[-2:] == ["then", "rows"]


def test_bf16_without_zero_runs_as_stage_1(outcome: dict) -> None:
    assert outcome["stages"] == [1, 1]


def test_a_model_without_trainable_parameters_is_refused(outcome: dict) -> None:
    assert outcome["nothing to train"].startswith("method: it leaves no parameter to train")


def test_a_pre_trained_model_is_the_same_when_it_is_loaded_in_shards(outcome: dict) -> None:
    whole, shards = outcome["pre-trained"]
    assert shards["logits"][0] == pytest.approx(whole["logits"][0], abs=1e-6)
    assert shards["sums"] == pytest.approx(whole["sums"], abs=1e-5)


def test_ranks_exchange_json_values_of_any_length() -> None:
    assert run_ranks(SCRIPT, "exchange_values", world_size=3) == [[True, True]] * 3


def test_a_lost_peer_is_an_error_with_a_sentence() -> None:
    outcome = start_and_wait(SCRIPT, "lose_a_peer", world_size=2)
    assert outcome.exit_codes == (0, -9), outcome.output
    assert "another rank was lost while this one was" in outcome.results[0]


@pytest.mark.parametrize("function", ["join_alone", "wait_for_nobody"])
def test_a_gang_that_does_not_come_together_is_an_error_with_its_address(function: str) -> None:
    (message,) = run_ranks(SCRIPT, function, world_size=1)
    assert "of 2 could not join its gang at 127.0.0.1:" in message
    assert "within 1 s" in message


def test_a_rank_keeps_trying_while_the_address_has_no_name() -> None:
    (message,) = run_ranks(SCRIPT, "join_without_a_name", world_size=1)
    assert "rank 1 of 2 could not join its gang at train-0.nowhere.invalid:" in message


def test_a_variable_that_is_no_number_is_named_with_what_was_found() -> None:
    (messages,) = run_ranks(SCRIPT, "wrong_variables", world_size=1, ports=[None, "http", "-1"])
    assert [message.split(",")[0] for message in messages] == [
        "environment variable MASTER_PORT: found None",
        "environment variable MASTER_PORT: found 'http'",
        "environment variable MASTER_PORT: found '-1'",
    ]
