"""A rank that is slower than the others is named, one that has more to do is not."""

from __future__ import annotations

import random

import pytest

from tuneloop_trainer.diagnosis.straggler import WINDOW_STEPS, WINDOWS, StragglerDetector

NAMED_AFTER = WINDOW_STEPS * WINDOWS


def train(*, ranks: int, slow: dict[int, float], steps: int, seed: int = 0, uneven: bool = False) -> StragglerDetector:
    """Watch steps of about a second in which some ranks take `slow` times as long for a token."""
    detector, chance = StragglerDetector(), random.Random(seed)
    for _ in range(steps):
        tokens = [chance.randint(200, 1000) * (1 + (uneven and rank == 0)) for rank in range(ranks)]
        seconds = [count / 1000 * slow.get(rank, 1.0) * chance.uniform(0.8, 1.25) for rank, count in enumerate(tokens)]
        detector.add_step(seconds=seconds, tokens=tokens, step_seconds=1.0)
    return detector


@pytest.mark.parametrize("ranks", [2, 8])
def test_a_rank_at_half_speed_is_named_within_minutes(ranks: int) -> None:
    assert train(ranks=ranks, slow={1: 2.0}, steps=NAMED_AFTER - 1).finding() is None
    found = train(ranks=ranks, slow={1: 2.0}, steps=NAMED_AFTER).finding()
    assert found is not None
    assert found.message.startswith("rank 1 takes ")


def test_a_rank_that_is_well_again_is_no_longer_named() -> None:
    detector = train(ranks=2, slow={1: 2.0}, steps=NAMED_AFTER)
    for _ in range(WINDOW_STEPS):
        detector.add_step(seconds=[1.0, 1.0], tokens=[1000, 1000], step_seconds=1.0)
    assert detector.finding() is None


@pytest.mark.parametrize("seed", range(100))
def test_none_is_named_in_clean_runs_with_uneven_work(seed: int) -> None:
    assert train(ranks=3, slow={}, steps=10 * WINDOW_STEPS, seed=seed, uneven=True).finding() is None


def test_a_single_rank_has_nobody_to_wait_for() -> None:
    assert train(ranks=1, slow={0: 3.0}, steps=NAMED_AFTER).finding() is None
