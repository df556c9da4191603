"""Never two leaders, whatever is lost, late or stopped."""

from __future__ import annotations

import copy
from random import Random

from elections import Asked, Operator, two
from hypothesis import given, settings
from hypothesis import strategies as st

PAUSES = (0.1, 1.0, 4.9, 9.9, 14.9)
"""Seconds; so that what is a little too early and a little too late both happen often."""
WEIGHTS = {
    "begin": 6, "arrive": 5, "answer": 8, "step": 4, "lose": 1, "late": 1, "release": 0.2, "edit": 0.3, "start_again": 0.5,
}  # fmt: skip
RATES = (0.85, 1.0, 1.15)


class Election:
    """Two operators, their server, and whatever may go wrong between them."""

    def __init__(self, dice: Random) -> None:
        self.server, self.time, *self.operators = two(rates=(dice.choice(RATES), dice.choice(RATES)))
        self._dice = dice
        self._late: list[Asked] = []

    def do(self, action: str, which: int) -> None:
        operator = self.operators[which]
        if action == "lose":
            self._late += [lost] if (lost := operator.lose()) is not None else []
        elif action == "late":
            self._dice.shuffle(self._late)
            for request in self._late[:1]:
                self.server.carry_out(request.verb, request.manifest)
            del self._late[:1]
        elif action == "edit" and self.server.lease is not None:
            self.server.carry_out("replace", copy.deepcopy(self.server.lease))
        elif action == "start_again" and operator.doing is None and (operator.gone or operator.released):
            self.operators[which] = Operator(
                self.server, operator.name, self.time, rate=operator.rate, offset=operator.offset
            )
        elif action == "release" and operator.doing is None:
            operator.begin(operator.leader.release())
        elif action in {"arrive", "answer"} or (
            action in {"begin", "step"} and operator.doing is None and not operator.released
        ):
            getattr(operator, action)()

    @property
    def leaders(self) -> list[str]:
        return [operator.name for operator in self.operators if operator.leader.leads()]


def leaders_of(seed: int) -> set[str]:
    """Run an election of chance, in which never two lead at once; return who led at some time."""
    dice, led = Random(seed), set[str]()
    election, history = Election(dice), list[tuple[str, int, float]]()
    for _ in range(60):
        share_of_first = dice.choice((0.0, 0.1, 0.5, 0.9, 1.0))  # the second is stopped, or almost
        for action in dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=dice.randrange(1, 12)):
            which = int(dice.random() >= share_of_first)
            history.append((action, which, election.time[0]))
            election.do(action, which)
            assert len(election.leaders) < 2, history[-40:]
            led.update(election.leaders)
        election.time[0] += dice.choice(PAUSES)
        assert len(election.leaders) < 2, history[-40:]
    return led


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**64 - 1))
def test_two_never_lead_at_once(seed: int) -> None:
    """Whatever arrives late or never, whoever is stopped for how long, and though their seconds differ by a third."""
    leaders_of(seed)


def test_the_elections_of_chance_have_leaders_that_take_over_from_each_other() -> None:
    assert sum(len(leaders_of(seed)) == 2 for seed in range(20)) >= 10
