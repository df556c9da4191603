"""A recorded run of the story of drift that never was: its events and series follow from a seed, so that the page has all its parts."""

from __future__ import annotations

import random

from demo_loop.events import Event, Feedback, Mark, Request
from demo_loop.series import Series

BEGAN = 1_700_000_000.0
TURN, TRIGGER, PROMOTED, END = 180.0, 300.0, 600.0, 840.0
OLD, NEW = "reviews-3fa1", "reviews-9c02"
_ACCURACY = {("movies", OLD): 0.83, ("tweets", OLD): 0.74, ("tweets", NEW): 0.85}


def story_events(*, per_second: float = 5.0, seed: int = 1) -> list[Event]:
    """Return the events of fourteen minutes: the traffic turns after three, and another model takes over after ten."""
    chance = random.Random(seed)
    events: list[Event] = [
        Mark(at=BEGAN + TURN, name="turn", text="traffic turns from movies to tweets"),
        Mark(
            at=BEGAN + TRIGGER,
            name="trigger",
            text="trigger accuracy fires: 74 % of 240 labels, allowed is 80 % <or more>",
        ),
        Mark(at=BEGAN + PROMOTED, name="promoted", text="the new model takes over"),
    ]
    for number in range(round(END * per_second)):
        seconds = number / per_second
        domain = "movies" if seconds < TURN else "tweets"
        share = min(1.0, max(0.0, (seconds - TRIGGER - 180) / 120))
        revision = NEW if chance.random() < share else OLD
        truth = chance.choice(["negative", "positive"])
        other = "negative" if truth == "positive" else "positive"
        right = chance.random() < _ACCURACY.get((domain, revision), 0.83)
        at = BEGAN + seconds
        events.append(
            Request(
                number=number, at=at, domain=domain, truth=truth, prediction=truth if right else other, score=0.9,
                revision=revision, status=200, milliseconds=12.0, repeated=number >= END * per_second - 30,
            )
        )  # fmt: skip
        if chance.random() < 0.5 and seconds < END - 10:
            events.append(
                Feedback(number=number, at=at + 5, label=truth, correct=right, wrong_on_purpose=False, status=200)
            )
    return events


def story_series() -> dict[str, list[Series]]:
    """Return the series that go with the events."""
    times = [BEGAN + second for second in range(0, int(END), 15)]
    psi = [(at, 0.01 if at < BEGAN + TURN else 0.35) for at in times]
    critical = [(at, 0.06) for at in times]
    return {
        "psi": [
            Series(labels={"feature": "confidence"}, points=tuple(psi)),
            Series(labels={"feature": "tokens"}, points=tuple((at, value * 2) for at, value in psi)),
        ],
        "psi_critical": [
            Series(labels={"feature": "confidence"}, points=tuple(critical)),
            Series(labels={"feature": "tokens"}, points=tuple((at, value * 1.3) for at, value in critical)),
        ],
        "weight": [
            Series(labels={"revision": NEW.removeprefix("reviews-")}, points=tuple((at, _weight(at)) for at in times)),
            Series(
                labels={"revision": OLD.removeprefix("reviews-")}, points=tuple((at, 1 - _weight(at)) for at in times)
            ),
        ],
    }


def _weight(at: float) -> float:
    seconds = at - BEGAN
    return 0.0 if seconds < 480 else 0.2 if seconds < 540 else 0.5 if seconds < PROMOTED else 1.0
