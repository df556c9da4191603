"""What looks like a loss of quality and is none: from the answers of Prometheus to no run, and to what a person reads about it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from retrained_in_memory import DAY, HOUR, Retrained
from trigger_looks import FIT, Played, look

from tuneloop_cli.views.retraining import retraining_story
from tuneloop_operator.decide.model_deployment.retraining import data_quality
from tuneloop_operator.prometheus.answer import Unanswered

DRIFT = {"name": "drift", "type": "drift", "action": "Retrain"}
ACCURACY = {"name": "accuracy", "type": "accuracy", "below": 0.9}
QUERY = {"name": "wrong", "type": "promql", "query": "share_of_wrong_answers", "threshold": 0.2}
DOWN = Unanswered(verdict="Error", reason="no answer within 10 s")
EMPTY = Unanswered(verdict="NoData", reason="the query has an empty result")
CORRECT, MATURE = "feedback_correct:mature", "feedback_labels:mature"
POISON = FIT | {
    data_quality.LABELS: 1000.0,
    data_quality.RIGHT: 640.0,
    data_quality.CLIENT_LABELS: 330.0,
    data_quality.CLIENT_RIGHT: 10.0,
}
"""One client of many says of 330 answers that 320 are wrong; of the 670 labels of the others 94 % say right."""


@dataclass(frozen=True)
class Alarm:
    """Looks at one trigger, and where the loop is after them."""

    trigger: dict[str, Any]
    looks: list[Played]
    every: float = DAY
    """Seconds between two looks."""
    place: tuple[str, str] = ("Idle", "")
    state: str = "Inactive"
    """Of the trigger."""
    says: str = "no trigger fires"
    """What a person reads of the loop, in part."""
    data: dict[str, float] = field(default_factory=lambda: dict(FIT))


def labels(right: float, count: float) -> Played:
    return {CORRECT: right, MATURE: count}


def of_pairs(days: int, *, accuracy: float, users: int) -> Iterator[Played]:
    """Yield what labels say at a daily look, of the last 8 days: each user sends two labels, which agree."""
    chance = random.Random(4)
    right_of_day = [2 * sum(chance.random() < accuracy for _ in range(users)) for _ in range(days + 8)]
    for day in range(days):
        yield labels(sum(right_of_day[day : day + 8]), 8 * 2 * users)


WEEK = [0.4, 0.5, 0.4, 0.4, 0.5, 1.8, 1.9]
FLAPPING = [0.5 if number % 2 else 0.1 for number in range(20)]
ALARMS = {
    "weekends of four weeks": Alarm(DRIFT, WEEK * 4 + [0.4]),
    "a season that comes slowly and goes": Alarm(DRIFT, [0.3, 0.6, 0.8, 0.9, 0.95, 0.9, 0.8, 0.6, 0.3]),
    "a burst of two days": Alarm(DRIFT, [0.4, 3.0, 3.0, 0.4]),
    "users whose labels are alike": Alarm(ACCURACY | {"below": 0.88}, list(of_pairs(30, accuracy=0.88, users=40))),
    "a Prometheus that is gone": Alarm(
        ACCURACY,
        [labels(500, 1000), *[DOWN] * 40],
        every=60.0,
        state="Unknown",
        says="no trigger fires",
    ),
    "a number that flaps for ten minutes": Alarm(QUERY, [*FLAPPING, 0.1, 0.1], every=30.0),
    "a number that flaps, always looked at when it is high": Alarm(QUERY, [*[0.5] * 20, 0.1], every=30.0),
    "too few labels": Alarm(ACCURACY, [labels(60, 120)] * 5, state="Unknown"),
    "labels for less than 1 % of the predictions": Alarm(
        ACCURACY, [{CORRECT: 100.0, MATURE: EMPTY}] * 5, state="Unknown"
    ),
    "poisoned feedback of one client": Alarm(
        ACCURACY,
        [labels(640, 1000)] * 3,
        data=dict(POISON),
        place=("Blocked", "DataQuality"),
        state="Firing",
        says="one client sent 89% of the labels that say wrong: 3% of its labels say right, of all others 94%",
    ),
    "labels that only some still send": Alarm(
        ACCURACY,
        [labels(640, 1000)] * 3,
        data=FIT | {data_quality.COVERAGE: 0.1},
        place=("Blocked", "DataQuality"),
        state="Firing",
        says="labels cover 10% as many predictions of the newest day as of all days; at least 25% are needed",
    ),
    **{
        f"broken input: {part}": Alarm(
            DRIFT,
            [4.0] * 4,
            data=FIT | {part: 0.6},
            place=("Blocked", "DataQuality"),
            state="Firing",
            says=f"{share.words} are 60% of those of a day, beyond their share 8 days ago; at most {share.most:.0%} are allowed",
        )
        for part, share in data_quality.SHARES.items()
    },
}


@pytest.mark.parametrize("name", ALARMS)
def test_what_looks_like_a_loss_and_is_none_starts_no_run(name: str) -> None:
    alarm = ALARMS[name]

    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[alarm.trigger])
        for value in alarm.looks:
            await look(deployed, value, later=alarm.every, data=alarm.data)
            assert deployed.created == []
        assert deployed.place == alarm.place
        assert deployed.loop["triggers"][0]["state"] == alarm.state
        assert alarm.says in retraining_story(deployed.stored)
        is_blocked = alarm.place[0] == "Blocked"
        assert deployed.condition("RetrainingBlocked") == (str(is_blocked), alarm.place[1] or alarm.place[0])
        written = [event for event in deployed.harness.events if event.reason == "RetrainingBlocked"]
        assert [alarm.says in event.message for event in written] == [True] * is_blocked

    asyncio.run(life())


REASONS = {
    "a Prometheus that is gone": "no answer within 10 s",
    "too few labels": "120 labels of days that are mature, and 200 are needed",
    "labels for less than 1 % of the predictions": "there are no labels of days that are mature, or for less than 1% of the predictions",
}


@pytest.mark.parametrize("name", REASONS)
def test_a_trigger_without_data_says_why(name: str) -> None:
    alarm = ALARMS[name]

    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[alarm.trigger])
        for value in alarm.looks:
            await look(deployed, value, later=alarm.every)
        assert deployed.loop["triggers"][0]["reason"] == REASONS[name]
        assert deployed.condition("QualityDegraded") == ("Unknown", "NoData")

    asyncio.run(life())


async def broken_for_days(deployed: Retrained) -> None:
    await deployed.begin(triggers=[DRIFT])
    for _ in range(4):
        await look(deployed, 4.0, later=DAY, data=FIT | {"garbled": 0.4})
    assert deployed.place == ("Blocked", "DataQuality")


def test_what_broken_data_made_fire_starts_no_run_once_they_are_mended() -> None:
    async def life() -> None:
        deployed = Retrained()
        await broken_for_days(deployed)
        await look(deployed, 4.0, later=HOUR)
        assert deployed.place == ("Idle", "")
        for _ in range(4):
            await look(deployed, 0.3, later=DAY)
        assert (deployed.place, deployed.created) == (("Idle", ""), [])
        assert deployed.loop["message"] == "no trigger fires"

    asyncio.run(life())


def test_the_loop_goes_on_with_what_is_measured_after_the_data_were_mended() -> None:
    async def life() -> None:
        deployed = Retrained()
        await broken_for_days(deployed)
        await look(deployed, 4.0, later=HOUR)
        assert deployed.place == ("Idle", "")
        mended = deployed.harness.now
        while not deployed.created:
            await look(deployed, 4.0, later=DAY)
        assert deployed.place == ("Training", "")
        assert deployed.loop["history"][0]["trigger"] == "drift"
        assert deployed.harness.now - mended >= timedelta(days=2), "three looks in a row, all after that"

    asyncio.run(life())


def test_labels_that_came_meanwhile_are_new_data_once_nobody_contradicts_them() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[{"name": "labels", "type": "newData", "minNewSamples": 100}])
        for _ in range(3):
            await look(deployed, 1000.0, later=DAY, data=POISON)
        assert deployed.place == ("Blocked", "DataQuality")
        await look(deployed, 1000.0, later=DAY)
        assert deployed.place == ("Training", "")

    asyncio.run(life())


def test_a_person_may_train_on_any_data() -> None:
    async def life() -> None:
        deployed = Retrained()
        await broken_for_days(deployed)
        await deployed.ask()
        assert deployed.place == ("Training", "")
        assert deployed.loop["history"][0]["trigger"] == "manual"

    asyncio.run(life())


def test_no_run_starts_while_nothing_is_known_of_the_data() -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[DRIFT])
        for _ in range(5):
            await look(deployed, 4.0, later=DAY, data=DOWN)
        assert (deployed.place, deployed.created) == (("Suspected", ""), [])
        assert deployed.loop["message"] == (
            "drift fires, and whether its data are fit is not known yet: no answer within 10 s"
        )
        await look(deployed, 4.0, later=30.0)
        assert deployed.place == ("Training", "")

    asyncio.run(life())


NOT_OF_ONE_CLIENT = {
    "no client is known": {"client_labels": 0.0, "client_right": 0.0},
    "the only client": {"labels": 330.0, "right": 10.0},
    "the others say nearly nothing": {"labels": 370.0, "right": 40.0},
    "the others say the same": {"right": 250.0},
    "half of what is wrong": {"right": 350.0},
    "few labels": {"client_labels": 4.0, "client_right": 0.0, "right": 996.0},
    "numbers that cannot be": {"client_right": 700.0},
}


@pytest.mark.parametrize("name", NOT_OF_ONE_CLIENT)
def test_where_one_client_is_not_alone_its_labels_count(name: str) -> None:
    async def life() -> None:
        deployed = Retrained()
        await deployed.begin(triggers=[ACCURACY])
        for _ in range(2):
            await look(deployed, labels(640, 1000), later=DAY, data=POISON | NOT_OF_ONE_CLIENT[name])
        assert deployed.place == ("Training", "")

    asyncio.run(life())
