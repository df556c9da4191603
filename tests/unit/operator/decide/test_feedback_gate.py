"""How often the gate on late labels is wrong, simulated with the limits that its query computes."""

from __future__ import annotations

import math
import random

import pytest

from tuneloop_operator.decide.model_deployment.feedback_gate import LOOKS, critical, feedback_query, labels_needed


def wilson(right: int, labels: int, z: float, sign: int) -> float:
    spread = z * math.sqrt(right * (labels - right) / labels + z * z / 4)
    return (right + z * z / 2 + sign * spread) / (labels + z * z)


def least_harm(right: int, labels: int, before: int, labels_before: int, *, z: float) -> float:
    share, share_before = right / labels, before / labels_before
    below = math.hypot(wilson(right, labels, z, 1) - share, share_before - wilson(before, labels_before, z, -1))
    return share_before - share - below


def failed(
    accuracy: float, accuracy_before: float, *, labels: int, margin: float, days: int = 1, seed: int = 7
) -> float:
    """Return how often the gate fails, of 1000 bakings whose labels come on so many days."""
    chance, z = random.Random(seed), critical(0.05)

    def right(share: float, count: int) -> int:
        mean = share * count
        drawn = round(chance.gauss(mean, math.sqrt(mean * (1 - share))))
        return min(max(drawn, 0), count)

    def fails() -> bool:
        now = before = 0
        for day in range(1, days + 1):
            now, before = now + right(accuracy, labels), before + right(accuracy_before, labels)
            if least_harm(now, day * labels, before, day * labels, z=z) > margin:
                return True
        return False

    return sum(fails() for _ in range(1000)) / 1000


@pytest.mark.parametrize(("accuracy", "labels"), [(0.9, 1000), (0.7, 300), (0.95, 5000)])
def test_a_revision_at_the_margin_is_taken_back_less_often_than_alpha_over_all_days(accuracy, labels):
    assert failed(accuracy - 0.02, accuracy, labels=labels, margin=0.02, days=LOOKS) <= 0.05


def test_an_equal_revision_is_hardly_ever_taken_back():
    assert failed(0.9, 0.9, labels=1000, margin=0.02, days=LOOKS) == 0


@pytest.mark.parametrize("margin", [0.02, 0.05])
def test_the_labels_that_validate_names_find_a_worse_revision(margin):
    labels = labels_needed(margin=margin, alpha=0.05)
    assert failed(0.9 - 2 * margin, 0.9, labels=labels, margin=margin) == pytest.approx(0.8, abs=0.05)


def test_a_smaller_alpha_asks_for_more():
    assert critical(0.01) > critical(0.05) > 2
    assert feedback_query(alpha=0.01) != feedback_query(alpha=0.05)
