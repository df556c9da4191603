"""The line that says where the story is."""

from __future__ import annotations

import io

import pytest
from demo_loop.events import Feedback, Mark, Request
from demo_loop.progress import EXPECTED, Phase, Progress, seconds_left

STATUS = {
    "rollout": {"canary": "new", "split": {"weights": [{"revision": "new", "weight": 20}]}},
    "retraining": {"state": "Canary", "triggers": [{"name": "accuracy", "state": "Firing"}]},
}


def label(at: float, *, correct: bool = True, status: int = 200) -> Feedback:
    return Feedback(number=1, at=at, label="positive", correct=correct, wrong_on_purpose=False, status=status)


def unanswered(at: float) -> Request:
    return Request(
        number=1, at=at, domain="tweets", truth="positive", prediction=None, score=None, revision="", status=0,
        milliseconds=1.0, repeated=False,
    )  # fmt: skip


def progress() -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    return Progress(out, began=100.0, trigger="accuracy"), out


@pytest.mark.parametrize(
    ("phase", "spent", "left"),
    [
        (Phase.TRAINING, 0.0, sum(EXPECTED.values())),
        (Phase.AFTER, 30.0, EXPECTED[Phase.AFTER] - 30),
        (Phase.AFTER, 1000.0, 0.0),
        (Phase.ROLLOUT, 1000.0, EXPECTED[Phase.AFTER]),
    ],
)
def test_the_time_left_is_that_of_this_phase_and_the_later_ones(phase: Phase, spent: float, left: float) -> None:
    assert seconds_left(phase, spent) == left


def test_the_line_has_what_is_known() -> None:
    found, _ = progress()
    found.enter(Phase.ROLLOUT, at=100.0)
    found.status, found.note = STATUS, "reviews-1: Running"
    for event in (label(100.0), label(101.0, correct=False), unanswered(102.0)):
        found.add(event)
    text = found.text(102.0)
    assert "roll-out, about 4 min left" in text
    assert "right by labels: 50.0% of 2" in text
    assert "trigger Firing  loop Canary  canary 20 %  failed 1  reviews-1: Running" in text


def test_accuracy_is_of_the_labels_of_the_last_minute_that_were_taken() -> None:
    found, _ = progress()
    found.status = STATUS
    for event in (label(100.0, correct=False), label(150.0), label(151.0, correct=False, status=410)):
        found.add(event)
    assert "right by labels: 100.0% of 1" in found.text(161.0)
    assert "right by labels: no label" in found.text(300.0)


def test_a_mark_has_a_line_of_its_own_and_others_come_every_fifteen_seconds() -> None:
    found, out = progress()
    found.add(Mark(at=101.0, name="turn", text="traffic turns"))
    for second in range(101, 131):
        found.add(label(float(second)))
    lines = out.getvalue().splitlines()
    assert lines[0] == "    1 s  ● traffic turns"
    assert len(lines) == 1 + 2
