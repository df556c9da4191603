"""Whose turn it is: each comparator every few seconds, and nobody's comparators in the way of another's."""

from __future__ import annotations

from tuneloop_operator.comparators.turns import Turns

MINE = [("mine", f"d{number}") for number in range(10)]
YOURS = [("yours", "d0")]


def test_a_comparator_is_asked_at_once_and_then_every_five_seconds() -> None:
    turns, asked = Turns(), []
    for tenths in range(121):
        for key in turns.begin(YOURS, now=tenths / 10):
            asked.append(tenths / 10)
            turns.end(key)
    assert asked == [0.0, 5.0, 10.0]


def test_it_is_not_asked_again_while_it_is_being_asked() -> None:
    turns = Turns()
    assert turns.begin(YOURS, now=0) == YOURS
    assert turns.begin(YOURS, now=60) == []
    turns.end(*YOURS)
    assert turns.begin(YOURS, now=60) == YOURS


def test_comparators_of_one_tenant_that_all_hang_keep_no_other_tenants_from_being_asked() -> None:
    turns = Turns(most=16, most_of_namespace=4)
    assert len(turns.begin(MINE, now=0)) == 4
    assert turns.begin([*MINE, *YOURS], now=60) == YOURS


def test_there_are_never_more_at_once_than_allowed() -> None:
    turns = Turns(most=6, most_of_namespace=4)
    assert len(turns.begin([(f"n{number}", "d") for number in range(20)], now=0)) == 6


def test_with_more_than_can_be_asked_at_once_all_get_their_turn() -> None:
    turns, asked = Turns(every=1, most=4, most_of_namespace=2), set()
    for second in range(5):
        begun = turns.begin(MINE, now=float(second))
        asked |= set(begun)
        for key in begun:
            turns.end(key)
    assert asked == set(MINE)


def test_one_that_comes_back_is_asked_at_once() -> None:
    turns = Turns()
    for key in turns.begin(YOURS, now=0):
        turns.end(key)
    turns.begin([], now=1)
    assert turns.begin(YOURS, now=2) == YOURS
